/**
 * Toys of every kind that TransformerLens 3.9's configuration can say: its logits, and for models with the
 * settings of published ones its loss to seven digits (test/fixtures/lens-toys/kinds.py, float64). What no
 * part does is refused.
 */

import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer } from '../../index.js';
import { noise } from '../../kernels/core/kernel.js';
import { parseConfig } from '../../weights/load/config.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { allClose, throws } from '../helpers.js';

interface Toy {
  config: Record<string, unknown>;
  seed: number;
  tensors: [name: string, shape: number[], scale: number, offset: number][];
  tokens: number[][];
  logits?: number[];
  answers?: number[];
  loss?: number;
}
const file = new URL('../fixtures/lens-toys/kinds.json', import.meta.url);
const toys = JSON.parse(readFileSync(file, 'utf8')) as Record<string, Toy>;

const weightsOf = ({ tensors, seed }: Toy) =>
  Object.fromEntries(
    tensors.map(([name, shape, scale, offset], i) => {
      const values = noise(
        shape.reduce((a, b) => a * b, 1),
        seed + i,
        scale,
      );
      return [name, { shape, data: values.map((x) => x + offset) }];
    }),
  );

for (const [name, toy] of Object.entries(toys))
  test(`${name}: ${toy.logits ? 'logits' : 'loss'} as in TransformerLens`, async () => {
    using model = await HookedTransformer.fromWeights(toy.config, weightsOf(toy), noProcessing);
    using logits = await model.forward(toy.tokens);
    const data = await logits.data();
    if (toy.logits) return allClose(data, toy.logits, { what: name });
    const [rows, length, outputs] = logits.shape;
    let loss = 0;
    for (let r = 0; r < rows; r++) {
      const own = Float64Array.from(
        data.subarray(((r + 1) * length - 1) * outputs, (r + 1) * length * outputs),
      );
      loss += Math.log(own.reduce((sum, x) => sum + Math.exp(x), 0)) - own[toy.answers![r]];
    }
    allClose([loss / rows], [toy.loss!], { atol: 0, rtol: 5e-7, what: 'loss' });
  });

test('what a configuration asks for and no part does is refused by name', async () => {
  const { config } = toys['no norm'];
  for (const [key, value] of Object.entries({
    clip_qkv: 8,
    use_logn_attn: true,
    use_dynamic_ntk_rope: true,
    use_attention_sinks: true,
    post_embedding_ln: true,
    num_experts: 4,
  }))
    await throws(async () => parseConfig({ ...config, [key]: value }), new RegExp(`${key} is ${value}`));
  assert.is(parseConfig(config).normalization, 'none');
});

test.run();
