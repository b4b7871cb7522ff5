/** How many kernels a block starts when nobody asks for anything inside: steps run fused. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer } from '../../index.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { familyReferences, familyWeights } from '../families.js';

/**
 * Dispatches of one more block, of a forward pass and of a step of generation with stored keys and values.
 */
async function perBlock(name: string) {
  const r = familyReferences.find((r) => r.name === name)!;
  const counts: number[][] = [];
  for (const layers of [1, 2]) {
    const types = r.config.layer_types as unknown[] | undefined;
    const layerTypes = types && { layer_types: types.slice(0, layers) };
    const config = { ...r.config, num_hidden_layers: layers, n_layer: layers, ...layerTypes };
    const all = Object.entries(familyWeights(r));
    const own = all.filter(([key]) => layers === 2 || !/\.(h|layers)\.1\./.test(key));
    using model = await HookedTransformer.fromWeights(config, Object.fromEntries(own), noProcessing);
    const { stats } = model.gpu;
    const before = stats.dispatches;
    (await model.forward(r.tokens)).dispose();
    const forward = stats.dispatches - before;
    const marks: number[] = [];
    for await (const _ of model.stream(r.tokens, { maxNewTokens: 3, stopAtEos: false }))
      marks.push(stats.dispatches);
    counts.push([forward, marks[2] - marks[1]]);
  }
  return counts[1].map((n, i) => n - counts[0][i]);
}

// norm, q·k·v, rotation, attention, output + residual; norm, gate, up ∘ gate, down + residual. With a store,
// one more keeps them.
const most: Record<string, [forward: number, step: number]> = {
  llama: [9, 10],
  // queries and keys are copied out, normed and turned one by one
  qwen3: [14, 14],
  // norm, q·k·v, rotation, attention, output + residual; the norm's result again, up, down + sum
  gptj: [7, 8],
  gpt_neox: [8, 9],
};

for (const [name, expected] of Object.entries(most))
  test(`${name}: a block is at most ${expected[0]} dispatches`, async () => {
    const found = await perBlock(name);
    assert.ok(found[0] <= expected[0] && found[1] <= expected[1], `${found}`);
  });

test.run();
