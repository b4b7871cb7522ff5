/**
 * Linear layers whose weights are quantised. Their matrices lie the other way round, [cols, inner], as files have them: blocks
 * of 32 numbers go along what a layer sums over. So the layer is the product of an unembedding, X · Wᵀ, with what follows it in
 * a linear layer, and the gradient of its input is a plain product, dY · W. Numbers are made of the blocks where they are
 * read, in registers: nothing but the blocks is in memory.
 */

import { type Caps, type Example, type Family, type Launch, noise } from '../core/kernel.js';
import { packed, type Quantised } from '../core/stored.js';
import { otherKinds } from '../core/wgsl.js';
import { activationWgsl } from '../pointwise/activation-functions.js';
import { chooseTile, type Linear, linearReference, linearWith, tilesFor } from './linear.js';
import { inputGradientReference } from './linear-backward.js';
import { type Tile, tileName } from './matmul-tiled.js';
import {
  chooseUnembedTile,
  type UnembedTile,
  unembedReference,
  unembedTilesFor,
  unembedWith,
} from './unembed.js';

/** A linear layer with quantised weights. */
export type QuantisedLinear = Omit<Linear, 'stored'> & { readonly stored: Quantised };

/**
 * Y[rows, cols] (+)= act(X[rows, inner] · W[cols, inner]ᵀ + b[cols]) + R[rows, cols], or with `times` · R.
 * Buffers in order: X, W, b (with `bias`), R (with `residual` or `times`), Y.
 */
export function quantisedLinear(o: QuantisedLinear, caps: Caps): Launch {
  return quantisedLinearWith(o, chooseUnembedTile(o, caps));
}

/** `quantisedLinear` with a tile of your choice; null is the plain kernel. */
function quantisedLinearWith({ act, ...o }: QuantisedLinear, t: UnembedTile | null): Launch {
  const active = act ? { name: act, code: activationWgsl(act) } : null;
  return unembedWith({ ...o, act: active, col0: 0, stride: o.cols }, t);
}

/** dX[rows, inner] (+)= dY[rows, cols] · W[cols, inner]. Buffers in order: dY, W, dX. */
export function quantisedInputGradient(o: QuantisedLinear, caps: Caps): Launch {
  const turned = turnedOf(o);
  return linearWith(turned, chooseTile(turned, caps));
}

const turnedOf = ({ rows, inner, cols, accumulate = false, stored }: QuantisedLinear): Linear => ({
  ...{ rows, inner: cols, cols: inner, accumulate, stored },
});

/** Allowed error for sums of `terms` products of noise(…, 1): 1e-6 · Σ|a||b|, |a||b| being ¼ on average. */
const tolerance = (terms: number) => (1e-6 * terms) / 4 + 1e-6;

/** W [cols, inner] and its transpose, for references. */
function weights({ inner, cols, stored }: QuantisedLinear) {
  const { rounded, words } = packed(noise(inner * cols, 2), stored);
  const w = Float32Array.from(
    { length: inner * cols },
    (_, i) => rounded[(i % cols) * inner + Math.floor(i / cols)],
  );
  return { words, w };
}

function forwardExample(o: QuantisedLinear, launch: Launch, title: string): Example {
  const { rows, inner, cols } = o;
  const { words, w } = weights(o);
  const x = noise(rows * inner, 1);
  const b = o.bias ? noise(cols, 3) : undefined;
  const r = o.residual || o.times ? noise(rows * cols, 4) : undefined;
  const y = o.accumulate ? noise(rows * cols, 5) : undefined;
  const what = [b && 'bias', o.act, r && (o.times ? 'times' : 'residual'), y && 'accumulate'].filter(Boolean);
  return {
    title: `${o.stored} ${rows}×${inner}×${cols}, ${what.join(', ') || 'bare'}, ${title}`,
    launch,
    buffers: [x, words, ...(b ? [b] : []), ...(r ? [r] : []), y ?? rows * cols],
    expected: [
      {
        binding: 2 + (b ? 1 : 0) + (r ? 1 : 0),
        values: linearReference({ ...o }, { x, w, b, r, y }),
        atol: tolerance(inner),
        rtol: 1e-6,
      },
    ],
  };
}

function backwardExample(o: QuantisedLinear, launch: Launch, title: string): Example {
  const { rows, inner, cols } = o;
  const { words, w } = weights(o);
  const dy = noise(rows * cols, 6);
  const dx = o.accumulate ? noise(rows * inner, 7) : undefined;
  return {
    title: `dX, ${o.stored} ${rows}×${inner}×${cols}${dx ? ', accumulate' : ''}, ${title}`,
    launch,
    buffers: [dy, words, dx ?? rows * inner],
    expected: [
      {
        binding: 2,
        values: inputGradientReference({ rows, inner, cols }, { dy, w, dx }),
        atol: tolerance(cols),
        rtol: 1e-6,
      },
    ],
  };
}

/** Checks of quantised products, with examples of every tile. */
export const quantisedFamily: Family = {
  name: 'quantised',
  about: 'Y = act(X·Wᵀ + b) + R and dX = dY·W, W [cols, inner] in blocks: Q8_0, Q4_0, Q4_1',
  examples(caps) {
    const examples: Example[] = [];
    const formats = ['Q8_0', 'Q4_0', 'Q4_1'] as const;
    const epilogues: Partial<QuantisedLinear>[] = [
      { bias: true },
      { act: 'silu' },
      { bias: true, residual: true },
      { times: true },
      { bias: true, act: 'gelu_new' },
      { accumulate: true },
    ];
    const tileOf = (t: UnembedTile | null) => (t ? `${t.path} ${t.rows}×${t.cols}` : 'plain');
    [null, ...unembedTilesFor(caps)].forEach((t, n) => {
      for (const [i, rows] of [1, 17].entries()) {
        const stored = formats[(n + i) % 3];
        const o = { rows, inner: 96, cols: 101, stored, ...epilogues[(n + i) % epilogues.length] };
        examples.push(forwardExample(o, quantisedLinearWith(o, t), tileOf(t)));
      }
    });
    [null, ...tilesFor(caps)].forEach((t: Tile | null, n) => {
      const cols = t && t.path !== 'quad' ? 100 : 101;
      const o = {
        rows: t?.rows === 1 ? 1 : 17,
        inner: 96,
        cols,
        stored: formats[n % 3],
        accumulate: n % 2 > 0,
      };
      examples.push(backwardExample(o, linearWith(turnedOf(o), t), t ? tileName(t) : 'plain'));
    });
    for (const stored of formats) {
      // A part of a vocabulary: rows 40 … 90 of a matrix of 128, for logits and for their gradient.
      const part = { first: 40, rows: 128 };
      const { rounded, words } = packed(noise(128 * 96, 2), stored);
      const w = rounded.subarray(40 * 96, 90 * 96);
      for (const kind of [caps, otherKinds(caps)[0]])
        for (const rows of [1, 9]) {
          const o = { rows, inner: 96, cols: 50, col0: 7, stride: 60, stored, window: part };
          const x = noise(rows * 96, 1);
          examples.push({
            title: `logits of a part, ${stored}, ${rows} rows`,
            launch: unembedWith(o, chooseUnembedTile(o, kind)),
            buffers: [x, words, new Float32Array(rows * 60)],
            expected: [
              { binding: 2, values: unembedReference(o, { x, w }), atol: tolerance(96), rtol: 1e-6 },
            ],
          });
          const back = { rows, inner: 50, cols: 96, stored, accumulate: true, window: part };
          const [dy, dx] = [noise(rows * 50, 3), noise(rows * 96, 4)];
          examples.push({
            title: `their gradient, ${stored}, ${rows} rows`,
            launch: linearWith(back, chooseTile(back, kind)),
            buffers: [dy, words, dx],
            expected: [
              {
                binding: 2,
                values: linearReference({ rows, inner: 50, cols: 96 }, { x: dy, w, y: dx }),
                atol: tolerance(50),
                rtol: 1e-6,
              },
            ],
          });
        }
      for (const kind of [caps, otherKinds(caps)[0]]) {
        const o = { rows: 37, inner: 160, cols: 144, stored, bias: true };
        examples.push(forwardExample(o, quantisedLinear(o, kind), 'as chosen'));
        examples.push(backwardExample(o, quantisedInputGradient(o, kind), 'as chosen'));
      }
    }
    return examples;
  },
};
