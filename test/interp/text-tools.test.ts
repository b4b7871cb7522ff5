/** Loss per token, next tokens, probability of a continuation; the perplexity of texts of any length. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { encodeStream } from '../../hooks/texts/token-stream.js';
import {
  HookedTransformer,
  lossPerToken,
  nextTokenTable,
  perplexity,
  probabilityOf,
  Tokenizer,
} from '../../index.js';
import { gpt2TokenizerJson } from '../engine/gpt2-tokenizer.js';
import { allClose, rng, throws } from '../helpers.js';

const model = await HookedTransformer.fromPretrained('tiny');
const PROMPT = 'The capital of France is';

const sum = (x: ArrayLike<number>) => Array.from(x).reduce((a, b) => a + b, 0);

test('the loss of each token is −log p, and their mean the loss', async () => {
  const { values, axes, meta } = await lossPerToken(model, `${PROMPT} Paris.`);
  const [logProbs] = await model.logProbs(`${PROMPT} Paris.`);
  allClose(
    values,
    logProbs.map((x) => -x),
  );
  assert.equal(axes[0].labels.slice(0, 2), ['1:The', '2:␣capital']);
  allClose([meta.loss as number], [await model.loss(`${PROMPT} Paris.`)]);
  await throws(lossPerToken(model, 'a', { prependBos: false }), /nothing to predict/);
});

test('the table of next tokens is what sorting all probabilities gives', async () => {
  const prompts = [PROMPT, 'John is a really great friend.'];
  const { entries, shape, values } = await nextTokenTable(model, prompts, { k: 3 });
  assert.equal(shape, [2, 3]);
  for (const [i, prompt] of prompts.entries()) {
    using logits = await model.forward(prompt);
    using probs = logits.softmax();
    using last = probs.slice([0, -1]);
    const p = await last.data();
    const order = [...p.keys()].sort((a, b) => p[b] - p[a]).slice(0, 3);
    assert.equal(
      entries[i].map((e) => e.token),
      order,
    );
    allClose(
      values.slice(3 * i, 3 * i + 3),
      order.map((t) => p[t]),
    );
  }
});

test('the probability of a continuation is the product of those of its tokens', async () => {
  const { logProb, prob, perToken, sameTokens } = await probabilityOf(model, PROMPT, ' Paris.');
  const [all] = await model.logProbs(`${PROMPT} Paris.`);
  allClose([logProb], [sum(all.slice(-2))]);
  allClose([prob], [Math.exp(logProb)]);
  assert.equal(perToken.axes[0].labels, ['6:␣Paris', '7:.']);
  assert.is(sameTokens, true);
  assert.is((await probabilityOf(model, 'The cap', 'ital of')).sameTokens, false);
  await throws(probabilityOf(model, PROMPT, ''), /empty/);
});

const TEXT = Array.from(
  { length: 60 },
  (_, i) =>
    ['When John and Mary went to the shops, ', 'it’s 12\n\n', 'The capital of France is Paris. '][
      (i * i) % 3
    ],
).join('');

/** The windows written out, one run each. */
async function naive(window: number, stride: number, prependBos: boolean) {
  const tokens = model.toTokens(TEXT, { prependBos: false })[0];
  const head = prependBos ? [model.tokenizer!.bosTokenId!] : [];
  const room = window - head.length;
  let [n, loss] = [0, 0];
  for (let end = 0, start = 0; end < tokens.length; start += stride) {
    const before = end;
    end = Math.min(tokens.length, start + room);
    const row = [...head, ...tokens.slice(start, end)];
    if (row.length < 2) continue;
    const [logProbs] = await model.logProbs([row]);
    const own = logProbs.slice(-Math.min(end - before, logProbs.length));
    n += own.length;
    loss -= sum(own);
  }
  return { tokens: n, loss: loss / n };
}

test('perplexity is that of the windows, every token predicted once', async () => {
  const all = model.toTokens(TEXT, { prependBos: false })[0].length;
  for (const [window, stride, prependBos] of [
    [128, undefined, true],
    [128, undefined, false],
    [64, 16, true],
    [64, 32, false],
    [20, 7, true],
  ] as const) {
    const found = await perplexity(model, TEXT, { window, stride, prependBos });
    const expected = await naive(window, found.stride, prependBos);
    assert.is(found.tokens, prependBos ? all : all - 1);
    assert.is(found.tokens, expected.tokens);
    allClose([found.loss], [expected.loss], { atol: 1e-5 });
    allClose([found.perplexity], [Math.exp(found.loss)]);
    assert.is(found.characters, TEXT.length);
  }
});

test('however a text is cut into pieces, the result is the same', async () => {
  const { loss } = await perplexity(model, TEXT);
  async function* letters() {
    yield* TEXT;
  }
  assert.is((await perplexity(model, letters())).loss, loss);
  assert.is((await perplexity(model, [TEXT.slice(0, 700), TEXT.slice(700)])).loss, loss);
});

test('long texts have the tokens of the whole, also where a cut would fall into a word, an emoji or a special token', async () => {
  const tokenizer = Tokenizer.fromJson(gpt2TokenizerJson());
  const random = rng(5);
  const bits = [
    'Hello',
    ' world',
    '  ',
    '\n',
    "it's",
    ' 12',
    '345',
    '!!',
    ' “',
    '日本',
    '🙂',
    '<|endoftext|>',
    'é',
    '\t ',
    '.',
  ];
  const text = Array.from({ length: 90_000 }, () => bits[random.int(bits.length)]).join('');
  const tokens: number[] = [];
  let lists = 0;
  for await (const list of encodeStream(tokenizer, [text.slice(0, 30_000), text.slice(30_000)])) {
    for (const t of list.tokens) tokens.push(t);
    lists++;
    assert.ok(list.characters < 140_000);
  }
  assert.ok(lists > 2, `${lists} lists`);
  assert.equal(tokens, tokenizer.encode(text));
});

test('progress goes up, a signal ends it, and sizes are checked', async () => {
  const seen: number[] = [];
  await perplexity(model, TEXT.repeat(20), { onProgress: (p) => seen.push(p.tokens) });
  assert.ok(seen.length > 1);
  assert.equal(
    seen,
    [...seen].sort((a, b) => a - b),
  );
  const abort = new AbortController();
  abort.abort(new Error('enough'));
  await throws(perplexity(model, TEXT, { signal: abort.signal }), /enough/);
  await throws(perplexity(model, TEXT, { window: 129 }), /window 129: a whole number from 2 to 128/);
  await throws(perplexity(model, TEXT, { window: 64, stride: 64 }), /stride 64: a whole number from 1 to 63/);
  await throws(perplexity(model, ''), /too short/);
  await throws(perplexity(model, [1 as unknown as string]), /piece of the text is number/);
});

test.after(() => model.dispose());
test.run();
