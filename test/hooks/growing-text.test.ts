/** Generated text, piece by piece: joined, the pieces are what `generate` adds to the prompt. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BYTE_TO_CHAR } from '../../engine/tokens/bytes.js';
import { Tokenizer } from '../../engine/tokens/tokenizer.js';
import { encodeStream } from '../../hooks/texts/token-stream.js';
import { type GenerateStep, HookedTransformer } from '../../index.js';

const END = 256;
const CTX = 12;
const byteLevel = { type: 'ByteLevel', add_prefix_space: false, use_regex: true };
/** Tokens are bytes, and the end of the text. */
const bytes = Tokenizer.fromJson({
  added_tokens: [{ id: END, content: '<|endoftext|>', special: true, normalized: false }],
  pre_tokenizer: byteLevel,
  decoder: byteLevel,
  model: {
    type: 'BPE',
    vocab: Object.fromEntries(BYTE_TO_CHAR.map((char, byte) => [char, byte])),
    merges: [],
  },
});
/** The same with SentencePiece's way of writing bytes, whose decoder joins runs of them. */
const fallback = Tokenizer.fromJson({
  added_tokens: [{ id: END, content: '<|endoftext|>', special: true, normalized: false }],
  decoder: { type: 'Sequence', decoders: [{ type: 'ByteFallback' }, { type: 'Fuse' }] },
  model: {
    type: 'BPE',
    byte_fallback: true,
    merges: [],
    vocab: Object.fromEntries(
      BYTE_TO_CHAR.map((char, b) => {
        const plain = b >= 0x61 && b < 0x7b; // a to z are characters, the rest is bytes
        return [plain ? char : `<0x${b.toString(16).toUpperCase().padStart(2, '0')}>`, b];
      }),
    ),
  },
});

/** A model that says the token `script[p]` after position p, whatever stands there. */
async function told(script: readonly number[], tokenizer: Tokenizer): Promise<HookedTransformer> {
  const W_pos = new Float32Array(CTX * CTX);
  const W_U = new Float32Array((END + 1) * CTX);
  for (let p = 0; p < CTX; p++) {
    W_pos[p * CTX + p] = 9;
    if (script[p] !== undefined) W_U[script[p] * CTX + p] = 1;
  }
  const model = await HookedTransformer.fromWeights(
    { nLayers: 0, nHeads: 1, dModel: CTX, nCtx: CTX, dVocab: END + 1, attnOnly: true, normalization: 'none' },
    {
      'wte.weight': { shape: [END + 1, CTX], data: new Float32Array((END + 1) * CTX) },
      'wpe.weight': { shape: [CTX, CTX], data: W_pos },
      'lm_head.weight': { shape: [END + 1, CTX], data: W_U },
    },
  );
  (model as { tokenizer: Tokenizer }).tokenizer = tokenizer;
  return model;
}

const utf8 = (text: string) => [...new TextEncoder().encode(text)];
const SMILE = utf8('😀');

async function pieces(prompt: string | number[], says: readonly number[], tokenizer = bytes, options = {}) {
  const length = typeof prompt === 'string' ? 1 + tokenizer.encode(prompt).length : prompt.length;
  const script = [...Array<number>(length - 1), ...says];
  const model = await told(script, tokenizer);
  try {
    const settings = { maxNewTokens: says.length, ...options };
    const steps: GenerateStep[] = [];
    for await (const step of model.stream(prompt, settings)) steps.push(step);
    const text = await model.generate(prompt, settings);
    const shown = typeof prompt === 'string' ? prompt : tokenizer.decodeSettled(prompt);
    assert.is(shown + steps.map((step) => step.text).join(''), text, 'joined');
    return steps.map((step) => step.text);
  } finally {
    model.dispose();
  }
}

test('a character that is split over prompt and new tokens is one piece', async () => {
  assert.equal(await pieces([120, ...SMILE.slice(0, 2)], [...SMILE.slice(2), ...utf8('ok')]), [
    '',
    '😀',
    'o',
    'k',
  ]);
});

test('bytes that never become a character come with the last token', async () => {
  assert.equal(await pieces('x', [...utf8('ab'), ...SMILE.slice(0, 2)]), ['a', 'b', '', '\ufffd']);
  assert.equal(await pieces('x', [...utf8('a'), ...SMILE.slice(0, 2), END]), ['a', '', '', '\ufffd']);
  assert.equal(await pieces('x', [0xff, 97]), ['\ufffd', 'a'], 'what can be none is shown at once');
});

test('a real U+FFFD is shown', async () => {
  assert.equal(await pieces('x', utf8('\ufffd')), ['', '', '\ufffd']);
  assert.equal(await pieces('x', [...utf8('\ufffd'), 97]), ['', '', '\ufffd', 'a']);
});

test('the token that ends a text is in no piece, unless it ends nothing', async () => {
  assert.equal(await pieces('x', [...utf8('ab'), END, 97]), ['a', 'b', '']);
  assert.equal(await pieces('x', [97, END], bytes, { stopAtEos: false }), ['a', '<|endoftext|>']);
});

test('runs of bytes that a decoder joins wait for their end', async () => {
  assert.equal(await pieces('x', [...SMILE, 97], fallback), ['', '', '', '', '😀a']);
  assert.equal(await pieces('x', [...SMILE, 0xff, 97], fallback), [
    '',
    '',
    '',
    '',
    '',
    '\ufffd\ufffd\ufffd\ufffd\ufffda',
  ]);
  assert.equal(await pieces('x', SMILE, fallback), ['', '', '', '😀']);
});

test('a long text of surrogate pairs is cut between characters only', async () => {
  const text = 'a😀 😀😀 '.repeat(25_000);
  const whole: number[] = [];
  for await (const piece of encodeStream(bytes, text)) for (const token of piece.tokens) whole.push(token);
  assert.is(whole.length, new TextEncoder().encode(text).length);
  assert.is(bytes.decode(whole), text);
});

test('the token after a full context is predicted, and none beyond', async () => {
  const says = utf8('abcdefghijk'); // the beginning-of-text token, and these, of which the last is not read
  const all = await pieces('', [...says, 108]);
  assert.is(all.join(''), 'abcdefghijkl');
  for (const kvCache of [true, false])
    assert.is((await pieces('', [...says, 108], bytes, { kvCache })).join(''), 'abcdefghijkl');
  const model = await told([], bytes);
  try {
    await model.generate('', { maxNewTokens: 13 });
    assert.unreachable();
  } catch (e) {
    assert.match(
      (e as Error).message,
      /a prompt of 1 tokens and 13 new ones: .* at most 12, so maxNewTokens can be 12/,
    );
  } finally {
    model.dispose();
  }
});

test.run();
