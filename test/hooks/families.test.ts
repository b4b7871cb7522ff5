/** Every family, from its files: what transformers computes in float64 (test/fixtures/families/make.py). */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer, loss } from '../../index.js';
import { openSafetensors } from '../../weights/formats/safetensors.js';
import { nodeFolder } from '../../weights/node/files-node.js';
import { allClose } from '../helpers.js';

const folder = fileURLToPath(new URL('../fixtures/families/', import.meta.url));
const names = readdirSync(folder, { withFileTypes: true }).flatMap((e) =>
  e.isDirectory() && e.name !== 'expected' ? [e.name] : [],
);
const tolerance = { atol: 1e-4, rtol: 1e-4 };

async function expectedOf(name: string): Promise<Record<string, Float32Array>> {
  const files = await nodeFolder(`${folder}expected`);
  const file = await openSafetensors((await files.open(`${name}.safetensors`))!);
  const all = await Promise.all(file.names().map(async (key) => [key, await file.read(key)] as const));
  return Object.fromEntries(all);
}

/** One of each family; others differ in a setting, and are held by their logits. */
const first = names.filter((name) => !name.includes('-'));
/** Those that speak: with windows, with rotary positions of each kind, with blocks of each kind. */
const speaking = ['llama', 'mistral', 'gpt_neox', 'gptj', 'gemma2', 'gemma3'];

for (const name of first)
  test(`${name}: logits, hidden states, patterns and gradients are those of transformers`, async () => {
    const expected = await expectedOf(name);
    const tokens = Array.from(expected.tokens);
    using model = await HookedTransformer.fromPretrainedNoProcessing(`${folder}${name}`);
    const { nLayers } = model.config;
    const layers = [...Array(nLayers).keys()];
    const resid = layers.map((i) => `blocks.${i}.hook_resid_pre`);
    const patterns = layers.map((l) => `blocks.${l}.attn.hook_pattern`);
    const { cache, logits } = await model.runWithCache(tokens, { names: [...resid, ...patterns] });
    allClose(await logits.data(), expected.logits, { ...tolerance, what: 'logits' });
    for (const i of layers) {
      allClose(await cache.get(resid[i]).data(), expected[`hidden.${i}`], { ...tolerance, what: resid[i] });
      const pattern = await cache.get(patterns[i]).data();
      allClose(pattern, expected[`pattern.${i}`], { ...tolerance, what: patterns[i] });
    }
    cache.dispose();
    logits.dispose();
    const { grads, cache: forward } = await model.runWithGrads(tokens, loss(), { names: resid });
    for (const i of layers)
      allClose(await grads.get(resid[i]).data(), expected[`grad.${i}`], { ...tolerance, what: `grad ${i}` });
    forward?.dispose();
    grads.dispose();
    if (!speaking.includes(name)) return;
    const said = await model.generate(tokens.slice(0, 3), { maxNewTokens: 12, returnType: 'tokens' });
    const [wanted, end] = [Array.from(expected.greedy), 36];
    assert.equal(said, wanted.includes(end) ? wanted.slice(0, wanted.indexOf(end) + 1) : wanted);
  });

for (const name of names.filter((name) => !first.includes(name)))
  test(`${name}: logits are those of transformers`, async () => {
    const expected = await expectedOf(name);
    using model = await HookedTransformer.fromPretrainedNoProcessing(`${folder}${name}`);
    using logits = await model.forward(Array.from(expected.tokens));
    allClose(await logits.data(), expected.logits, { ...tolerance, what: 'logits' });
  });

test('processing keeps the log probabilities of every family', async () => {
  for (const name of first) {
    const expected = await expectedOf(name);
    const tokens = Array.from(expected.tokens);
    using model = await HookedTransformer.fromPretrained(`${folder}${name}`);
    const got = await (await model.forward(tokens)).data();
    const { dVocab } = model.config;
    const logProbs = (x: Float32Array) =>
      Array.from({ length: tokens.length }, (_, pos) => {
        const row = x.subarray(pos * dVocab, (pos + 1) * dVocab);
        const total = Math.log(row.reduce((sum, v) => sum + Math.exp(v), 0));
        return Array.from(row, (v) => v - total);
      }).flat();
    allClose(logProbs(got), logProbs(expected.logits), { ...tolerance, what: name });
  }
});

test.run();
