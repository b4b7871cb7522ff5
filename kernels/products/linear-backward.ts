/**
 * Gradients of a linear layer Y = X · W + b: dX = dY · Wᵀ, dW = Xᵀ · dY (db is a sum over rows, see column-sums.ts),
 * with the tiles of the forward products. The unembedding's come out of the same: for logits = X · Wᵀ it is
 * dX = dLogits · W, which is `linear` with `accumulate`, a chunk of the vocabulary at a time, and
 * dW = dLogitsᵀ · X, which is `weightGradient` with inner = the chunk and cols = d_model.
 */

import { type Caps, type Example, type Family, type Launch, lineIndex, noise } from '../core/kernel.js';
import { packed, type StoredWeights } from '../core/stored.js';
import { kernel, otherKinds, perElement, WG } from '../core/wgsl.js';
import { type Gate, slopeReference, slopeWgsl } from '../pointwise/activation-backward.js';
import type { Activation } from '../pointwise/activation-functions.js';
import { cheapest, linearReference, tilesFor } from './linear.js';
import { type Tile, tiledWgsl, tileName, tileSpan } from './matmul-tiled.js';
import {
  chooseUnembedTile,
  type UnembedTile,
  unembedReference,
  unembedTilesFor,
  unembedWith,
} from './unembed.js';

/** Sizes of a layer Y [rows, cols] = X [rows, inner] · W [inner, cols]. */
interface Layer extends StoredWeights {
  readonly rows: number;
  readonly inner: number;
  readonly cols: number;
  /** Adds to what the output holds. */
  readonly accumulate?: boolean;
}

/** A layer whose input is act(pre): the gradient is that of `pre`, through a gate that counts as a constant or not. */
type AfterActivation = Layer & { readonly act?: Activation | null; readonly gate?: Gate };

/**
 * dX[rows, inner] (+)= (dY[rows, cols] · W[inner, cols]ᵀ) · act′(pre[rows, inner]).
 * Buffers in order: dY, W, pre (with `act`), dX.
 */
export function inputGradient(o: AfterActivation, caps: Caps): Launch {
  return inputGradientWith(o, chooseUnembedTile({ rows: o.rows, inner: o.cols }, caps));
}

/** `inputGradient` with a tile of your choice; null is the plain kernel. */
function inputGradientWith(
  { rows, inner, cols, accumulate, act, gate = 'live', stored }: AfterActivation,
  t: UnembedTile | null,
): Launch {
  const slope = act ? { name: `slope-${act}-${gate}`, code: slopeWgsl(act, gate) } : null;
  return unembedWith(
    { rows, inner: cols, cols: inner, col0: 0, stride: inner, accumulate, slope, stored },
    t,
  );
}

/** Tiles that can read X transposed. */
const transposedTiles = (caps: Caps) =>
  tilesFor(caps).filter((t) => t.rows % 4 === 0 && (t.path !== 'direct' || t.depth === 1));

/** The tile for dW [inner, cols], or null: the plain kernel. */
function chooseWeightTile({ inner, cols }: Layer, caps: Caps): Tile | null {
  if (cols % 4) return null;
  const able = transposedTiles(caps).filter((t) => t.path === 'quad' || inner % 4 === 0);
  if (caps.adapterClass === 'software') return cheapest(able, inner, caps);
  return able.find((t) => t.path === (inner >= 32 ? 'shared' : 'direct')) ?? null;
}

/**
 * dW[inner, cols] (+)= X[rows, inner]ᵀ · dY[rows, cols]. Every row is added in its order: same input, same bits.
 * Buffers in order: X, dY, dW.
 */
export function weightGradient(o: Layer, caps: Caps): Launch {
  return weightGradientWith(o, chooseWeightTile(o, caps));
}

/** `weightGradient` with a tile of your choice; null is the plain kernel. */
function weightGradientWith({ rows, inner, cols, accumulate = false }: Layer, t: Tile | null): Launch {
  const name = `weightGradient/${t ? tileName(t) : 'plain'}/${cols}${accumulate ? '/accumulate' : ''}`;
  const params = { rows: inner, inner: rows }; // those of the product
  const product = {
    inner: null,
    cols,
    xTransposed: true,
    act: null,
    bias: false,
    residual: false,
    accumulate,
  };
  if (!t)
    return {
      kernel: kernel(name, () => plainWgsl(cols, accumulate)),
      params,
      grid: perElement(inner * cols),
    };
  const span = tileSpan(t);
  const grid = [Math.ceil(cols / span.cols), Math.ceil(inner / span.rows), 1] as const;
  return { kernel: kernel(name, () => tiledWgsl(product, t)), params, grid };
}

/** One output a thread. */
const plainWgsl = (cols: number, accumulate: boolean) => /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> dY: array<f32>;
@group(0) @binding(2) var<storage, read_write> dW: array<f32>;
struct Params {
  rows: u32, // of dW
  inner: u32, // rows of X
}
@group(1) @binding(0) var<uniform> params: Params;
@compute @workgroup_size(${WG})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = ${lineIndex} * ${WG}u + lane;
  if (i >= params.rows * ${cols}u) { return; }
  let row = i / ${cols}u;
  let col = i % ${cols}u;
  var sum = 0f;
  for (var k = 0u; k < params.inner; k++) {
    sum = fma(X[k * params.rows + row], dY[k * ${cols}u + col], sum);
  }
  dW[i] = sum${accumulate ? ' + dW[i]' : ''};
}`;

/** Float64 reference of dX. */
export function inputGradientReference(
  { rows, inner, cols, act, gate }: AfterActivation,
  {
    dy,
    w,
    pre,
    dx,
  }: { dy: ArrayLike<number>; w: ArrayLike<number>; pre?: ArrayLike<number>; dx?: ArrayLike<number> },
): Float64Array {
  const o = { rows, inner: cols, cols: inner, col0: 0, stride: inner };
  const slope = act && pre ? (i: number) => slopeReference(act, pre[i], gate) : undefined;
  return unembedReference(o, { x: dy, w, y: dx, slope });
}

/** Float64 reference of dW. */
export function weightGradientReference(
  { rows, inner, cols }: Layer,
  { x, dy, dw }: { x: ArrayLike<number>; dy: ArrayLike<number>; dw?: ArrayLike<number> },
): Float64Array {
  const xT = Float64Array.from(
    { length: rows * inner },
    (_, i) => x[(i % rows) * inner + Math.floor(i / rows)],
  );
  return linearReference({ rows: inner, inner: rows, cols }, { x: xT, w: dy, y: dw });
}

/** Allowed error for sums of `terms` products of noise(…, 1): 1e-6 · Σ|a||b|, |a||b| being ¼ on average. */
const tolerance = (terms: number) => (1e-6 * terms) / 4 + 1e-6;

function inputExample(o: AfterActivation, launch: Launch, title: string): Example {
  const { rows, inner, cols } = o;
  const dy = noise(rows * cols, 1);
  const { rounded: w, words } = packed(noise(inner * cols, 2), o.stored ?? 'f32');
  const pre = o.act ? noise(rows * inner, 3, 4) : undefined;
  const dx = o.accumulate ? noise(rows * inner, 4) : undefined;
  const what = [o.act && `${o.act}′`, o.gate, dx && 'accumulate', o.stored].filter(Boolean).join(', ');
  return {
    title: `dX ${rows}×${inner}×${cols}${what && `, ${what}`}, ${title}`,
    launch,
    buffers: [dy, words, ...(pre ? [pre] : []), dx ?? rows * inner],
    expected: [
      {
        binding: pre ? 3 : 2,
        values: inputGradientReference(o, { dy, w, pre, dx }),
        atol: tolerance(cols) + (pre ? 1e-5 : 0), // of a slope, times a sum
        rtol: 1e-6,
      },
    ],
  };
}

function weightExample(o: Layer, launch: Launch, title: string): Example {
  const { rows, inner, cols } = o;
  const [x, dy] = [noise(rows * inner, 5), noise(rows * cols, 6)];
  const dw = o.accumulate ? noise(inner * cols, 7) : undefined;
  return {
    title: `dW ${rows}×${inner}×${cols}${dw ? ', accumulate' : ''}, ${title}`,
    launch,
    buffers: [x, dy, dw ?? inner * cols],
    expected: [
      {
        binding: 2,
        values: weightGradientReference(o, { x, dy, dw }),
        atol: tolerance(rows),
        rtol: 1e-6,
      },
    ],
  };
}

/** Checks of the gradients, with examples of every tile. */
export const linearBackwardFamily: Family = {
  name: 'linear-backward',
  about:
    'dX = dY·Wᵀ [· act′(pre)], dW = Xᵀ·dY; X [rows, inner], W [inner, cols], either may add to its output',
  examples(caps) {
    const examples: Example[] = [];
    const epilogues: Partial<AfterActivation>[] = [
      {},
      { accumulate: true },
      { act: 'gelu_new' },
      { act: 'gelu', gate: 'frozen', accumulate: true },
      { act: 'relu' },
    ];
    [null, ...unembedTilesFor(caps)].forEach((t, n) => {
      const name = t ? `${t.path} ${t.rows}×${t.cols}` : 'plain';
      for (const [i, rows] of [1, 3, 12, 17].entries()) {
        const o = { rows, inner: 101, cols: 20, ...epilogues[(n + i) % epilogues.length] };
        examples.push(inputExample(o, inputGradientWith(o, t), name));
      }
    });
    [null, ...transposedTiles(caps)].forEach((t) => {
      for (const rows of [1, 3, 4, 13, 40]) {
        const o = { rows, inner: 84, cols: 100, accumulate: rows % 2 === 0 };
        examples.push(weightExample(o, weightGradientWith(o, t), t ? tileName(t) : 'plain'));
      }
      if (t && t.path !== 'quad') return;
      const o = { rows: 7, inner: 39, cols: 8, accumulate: true };
      examples.push(weightExample(o, weightGradientWith(o, t), t ? tileName(t) : 'plain'));
    });
    const chosen: AfterActivation[] = [
      { rows: 5, inner: 39, cols: 117 },
      { rows: 17, inner: 13, cols: 101, accumulate: true },
      { rows: 16, inner: 768, cols: 768 },
      { rows: 1, inner: 768, cols: 64 },
    ];
    const half: AfterActivation = { rows: 7, inner: 101, cols: 20, act: 'gelu_new', stored: 'f16' };
    examples.push(inputExample(half, inputGradient(half, caps), 'as chosen'));
    for (const o of chosen) {
      examples.push(inputExample(o, inputGradient(o, caps), 'as chosen'));
      examples.push(weightExample(o, weightGradient(o, caps), 'as chosen'));
    }
    for (const kind of otherKinds(caps)) {
      const o = { rows: 37, inner: 132, cols: 140 };
      examples.push(inputExample(o, inputGradient(o, kind), 'as chosen on other adapters'));
      examples.push(weightExample(o, weightGradient(o, kind), 'as chosen on other adapters'));
    }
    // a chunk of the vocabulary
    const o = { rows: 6, inner: 1105, cols: 64, accumulate: true };
    examples.push(weightExample(o, weightGradient(o, caps), 'as chosen'));
    return examples;
  },
};
