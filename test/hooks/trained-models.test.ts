/**
 * Small trained models, where GLASSBOX_MODELS names their folder: what is published of them, and what Python
 * says.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tokenizer } from '../../engine/tokens/tokenizer.js';
import { HookedTransformer } from '../../index.js';

const folder = process.env.GLASSBOX_MODELS;
const at = (...path: string[]) => join(folder ?? '', ...path);
const json = (...path: string[]) => JSON.parse(readFileSync(at(...path), 'utf8'));
const when = (model: string): typeof test => {
  if (folder && existsSync(at(model))) return test;
  console.log(`GLASSBOX_MODELS names no folder with ${model}: its tests are skipped`);
  return test.skip as typeof test;
};

when('nano-sort')('nano-sort sorts six letters: the last one is said after a full context', async () => {
  const model = await HookedTransformer.fromPretrained(at('nano-sort'));
  try {
    for (const { tokens, greedy } of json('nano-sort', 'golden.json').cases) {
      assert.is(tokens.length + greedy.length, model.config.nCtx + 1);
      const all = await model.generate(tokens, { maxNewTokens: 6, returnType: 'tokens' });
      assert.equal(all.slice(6), greedy);
      assert.equal(all.slice(6), [...tokens].sort());
    }
    let error = '';
    await model.generate([0, 1, 2, 0, 1, 2], { maxNewTokens: 7 }).catch((e: Error) => {
      error = e.message;
    });
    assert.match(error, /maxNewTokens can be 6/);
  } finally {
    model.dispose();
  }
});

for (const name of ['TinyStories-656K', 'stories260K'])
  when(name)(`${name}: ids of prompts are Python's`, () => {
    const tokenizer = Tokenizer.fromJson(json(name, 'tokenizer.json'), json(name, 'tokenizer_config.json'));
    let compared = 0;
    for (const { text, tokens } of json(name, 'golden.json').cases) {
      if (typeof text !== 'string') continue;
      assert.equal([tokenizer.bosTokenId, ...tokenizer.encode(text)], tokens, text);
      assert.is(tokenizer.decode(tokenizer.encode(text)), text);
      compared++;
    }
    assert.ok(compared >= 3);
  });

/** A case of golden.json. */
interface Case {
  text?: string;
  tokens: number[];
  greedy: number[];
  /** Best tokens after the prompt, (their texts,) and their logits. */
  top: [token: number, ...rest: (string | number)[]][];
}

/** The best logits after a prompt, as differences from the best: processing may move all of them. */
async function checkTop(model: HookedTransformer, { tokens, top }: Case): Promise<void> {
  using logits = await model.forward(tokens);
  const last = (await logits.data()).slice(-model.config.dVocabOut);
  const [first] = top[0];
  const best = Number(top[0].at(-1));
  for (const entry of top) {
    const [token, above] = [entry[0], Number(entry.at(-1)) - best];
    assert.ok(Math.abs(last[token] - last[first] - above) < 1e-3, `token ${token} after ${tokens}`);
  }
}

for (const name of ['stories260K', 'TinyStories-656K', 'TinyStories-656K-bf16'])
  when(name)(`${name}: greedy tokens and best logits are those of transformers`, async () => {
    const { cases, published } = json(name.replace('-bf16', ''), 'golden.json');
    using model = await HookedTransformer.fromPretrained(at(name));
    for (const one of cases as Case[]) {
      const { tokens, greedy, text } = one;
      await checkTop(model, one);
      if (greedy.length > 60) continue; // said below, as text
      const all = await model.generate(tokens, {
        maxNewTokens: greedy.length,
        stopAtEos: false,
        returnType: 'tokens',
      });
      assert.equal(all.slice(tokens.length), greedy, text);
    }
    if (!published) return;
    const said = await model.generate([1], { maxNewTokens: 199, stopAtEos: false });
    const text = published['200 tokens'];
    assert.ok(said.includes(text) || text.startsWith(said.replace(/^<s>\s*/, '')), said);
  });

when('gguf')('GGUF: quantised models say what transformers says on the dequantised weights', async () => {
  const { files } = json('gguf', 'golden.json');
  let compared = 0;
  for (const [name, cases] of Object.entries<Case[]>(files)) {
    if (!existsSync(at('gguf', name))) continue;
    using model = await HookedTransformer.fromPretrained(at('gguf', name));
    assert.match(model.processing.skipped.foldLn ?? '', /quantised/);
    const { text, tokens } = json(name.replace(/-Q.*/, ''), 'golden.json').cases.find((c: Case) => c.text);
    assert.equal(model.toTokens(text)[0], tokens);
    for (const one of cases) await checkTop(model, one);
    const [first] = cases;
    const all = await model.generate(first.tokens, {
      maxNewTokens: 12,
      stopAtEos: false,
      returnType: 'tokens',
    });
    assert.equal(all.slice(first.tokens.length), first.greedy.slice(0, 12), name);
    compared++;
  }
  assert.ok(compared >= 3);
});

if (!folder)
  test('the trained models are named by GLASSBOX_MODELS, which is not set: nothing to compare with', () => {
    assert.is(folder, undefined);
  });

test.run();
