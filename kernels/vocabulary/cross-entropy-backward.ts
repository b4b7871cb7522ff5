/**
 * Gradient of the cross-entropy, or of any loss by the log-probability of one token a row, a chunk of the
 * vocabulary at a time: logits are made again for the chunk (`unembed`), turned into their gradient where
 * they lie, and multiplied by the chunk of W_U (`linear` with `accumulate`) or by X (`weightGradient`);
 * [rows, dVocab] never exists.
 */

import { type Caps, type Example, type Family, type Launch, line, lineIndex, noise } from '../core/kernel.js';
import { kernel, otherKinds, teamFor } from '../core/wgsl.js';
import { expBelowWgsl, softmaxReference } from '../pointwise/softmax.js';

/**
 * X = (softmax − one-hot(target)) · weight, for the columns col0 … col0 + cols − 1 of the vocabulary: the
 * gradient of Σ weight · −log p(target). Rows of weight 0 become 0, whatever they hold; a target outside of
 * the vocabulary is none. Buffers: X [rows, cols] logits in place, state [rows, 2] of the whole vocabulary
 * (see `lseChunk`), targets u32 [rows], weights [rows].
 * @param o.softCap the logits were capped: the gradient is that before the cap
 */
export function crossEntropyBackward(
  o: { rows: number; cols: number; col0: number; softCap?: number | null },
  caps: Caps,
): Launch {
  const team = teamFor(caps);
  const { softCap } = o;
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> X: array<f32>;
@group(0) @binding(1) var<storage, read> state: array<vec2f>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
struct Params {
  rows: u32,
  cols: u32,
  col0: u32, // first column of this chunk
${softCap ? '  softCap: f32,\n' : ''}}
@group(1) @binding(0) var<uniform> params: Params;
${expBelowWgsl}

@compute @workgroup_size(${team.threads})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = ${lineIndex};
  if (row >= params.rows) { return; }
  let at = row * params.cols;
  let weight = weights[row];
  let hit = targets[row] - params.col0; // wraps round to a huge number below col0
  let top = state[row].x;
  let gain = weight / state[row].y;
  for (var c = lane; c < params.cols; c += ${team.threads}u) {
    var d = 0f;
    if (weight != 0f) { d = expBelow(X[at + c] - top) * gain - select(0f, weight, c == hit); }
    ${softCap ? 'let t = X[at + c] / params.softCap; d *= 1f - t * t;' : ''}
    X[at + c] = d;
  }
}`;
  return {
    kernel: kernel(`crossEntropyBackward/${team.threads}${softCap ? '/cap' : ''}`, code),
    params: { rows: o.rows, cols: o.cols, col0: o.col0, ...(softCap && { softCap }) },
    grid: line(o.rows),
  };
}

/** Checks of the gradient. */
export const crossEntropyBackwardFamily: Family = {
  name: 'cross-entropy-backward',
  about:
    'dLogits = (softmax − one-hot) · weight in place, a chunk of the vocabulary at a time, X [rows, cols]',
  examples(ownCaps) {
    const examples: Example[] = [];
    const add = (
      title: string,
      rows: number,
      vocabulary: number,
      scale: number,
      caps = ownCaps,
      softCap: number | null = null,
    ) => {
      const logits = noise(rows * vocabulary, 1, scale);
      const row = (r: number) => Array.from(logits.subarray(r * vocabulary, (r + 1) * vocabulary));
      // one target is not there at all
      const targets = Uint32Array.from({ length: rows }, (_, r) =>
        r === 1 ? 0xffffffff : (r * 7) % vocabulary,
      );
      const weights = noise(rows, 2).map((w, r) => (r === 2 ? 0 : w));
      const state = Float32Array.from(
        Array.from({ length: rows }, (_, r) => {
          const top = Math.max(...row(r));
          return [top, row(r).reduce((a, v) => a + Math.exp(v - top), 0)];
        }).flat(),
      );
      const half = Math.ceil(vocabulary / 2);
      for (const [col0, cols] of [
        [0, half],
        [half, vocabulary - half],
      ]) {
        if (!cols) continue;
        const chunk = Array.from({ length: rows }, (_, r) => row(r).slice(col0, col0 + cols)).flat();
        const values = Array.from({ length: rows }, (_, r) => {
          const p = softmaxReference(row(r));
          const slope = (c: number) => (softCap ? 1 - (logits[r * vocabulary + c] / softCap) ** 2 : 1);
          return p
            .map((v, c) => (v - (c === targets[r] ? 1 : 0)) * weights[r] * slope(c))
            .slice(col0, col0 + cols);
        }).flat();
        examples.push({
          title: `${title} [${rows}, ${vocabulary}], columns ${col0} … ${col0 + cols - 1}`,
          launch: crossEntropyBackward({ rows, cols, col0, softCap }, caps),
          buffers: [Float32Array.from(chunk), state, targets, weights],
          expected: [{ binding: 0, values, atol: 1e-7, rtol: 2e-5 }],
        });
      }
    };
    add('ordinary', 5, 39, 8);
    add('one token', 3, 1, 8);
    add('capped', 4, 39, 3, ownCaps, 3.5);
    add('vocabulary', 2, 50257, 12);
    add('logits of ±1e4', 4, 70, 1e4);
    for (const kind of otherKinds(ownCaps)) add('as on other adapters', 3, 4242, 8, kind);
    return examples;
  },
};
