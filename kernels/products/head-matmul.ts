/**
 * Matrix products with a head axis, for hook points that exist only when somebody asks: `attn.hook_result`,
 * and q, k, v from per-head inputs (`hook_q_input` …). As products with strides, or plain: one output a
 * thread.
 */

import { type Caps, type Example, type Family, type Launch, lineIndex, noise } from '../core/kernel.js';
import { kernel, perElement, WG } from '../core/wgsl.js';
import { stridedMatmul } from './strided-matmul.js';

/** Sizes of `headInput`. */
export interface HeadInput {
  readonly tokens: number;
  readonly heads: number;
  readonly dModel: number;
  readonly dHead: number;
  /** Columns of W, and the first of ours: with q, k and v side by side, 0, heads·dHead or 2·heads·dHead. */
  readonly wCols: number;
  readonly col0: number;
  /** Whether there is a bias. Default true. */
  readonly bias?: boolean;
}

/** Sizes of `headResult`. */
export interface HeadResult {
  readonly tokens: number;
  readonly heads: number;
  readonly dHead: number;
  readonly dModel: number;
}

/**
 * Y[t, h, j] = X[t, h, :] · W[:, c] + b[c] with c = col0 + h·dHead + j: q, k or v from an input of its own
 * for each head. Buffers: X [tokens, heads, dModel], W [dModel, wCols], b [wCols] (with `bias`), Y [tokens,
 * heads, dHead].
 */
export function headInput(o: HeadInput, caps: Caps): Launch {
  const { tokens, heads, dModel, dHead, wCols, col0, bias = true } = o;
  const product = {
    batch: heads,
    m: tokens,
    k: dModel,
    n: dHead,
    a: { batch: dModel, row: heads * dModel, col: 1 },
    b: { batch: dHead, row: wCols, col: 1, offset: col0 },
    c: { batch: dHead, row: heads * dHead, col: 1 },
    ...(bias && { bias: { batch: dHead, offset: col0 } }),
  };
  return stridedMatmul(product, caps);
}

/** `headInput`, one output a thread. */
function headInputPlain({ tokens, heads, dModel, dHead, wCols, col0 }: HeadInput): Launch {
  const count = tokens * heads * dHead;
  return {
    kernel: kernel('head-matmul/input', () => headInputWgsl),
    params: { count, heads, dModel, dHead, wCols, col0 },
    grid: perElement(count),
  };
}

/**
 * Y[t, h, :] = Z[t, h, :] · W_O[h·dHead … (h + 1)·dHead, :]: what each head writes (`attn.hook_result`),
 * without b_O. Buffers: Z [tokens, heads·dHead], W_O [heads·dHead, dModel], Y [tokens, heads, dModel].
 */
export function headResult({ tokens, heads, dHead, dModel }: HeadResult, caps: Caps): Launch {
  const product = {
    batch: heads,
    m: tokens,
    k: dHead,
    n: dModel,
    a: { batch: dHead, row: heads * dHead, col: 1 },
    b: { batch: dHead * dModel, row: dModel, col: 1 },
    c: { batch: dModel, row: heads * dModel, col: 1 },
  };
  return stridedMatmul(product, caps);
}

/** `headResult`, one output a thread. */
function headResultPlain({ tokens, heads, dHead, dModel }: HeadResult): Launch {
  const count = tokens * heads * dModel;
  return {
    kernel: kernel('head-matmul/result', () => headResultWgsl),
    params: { count, heads, dHead, dModel },
    grid: perElement(count),
  };
}

const headInputWgsl = /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> W: array<f32>;
@group(0) @binding(2) var<storage, read> B: array<f32>;
@group(0) @binding(3) var<storage, read_write> Y: array<f32>;
struct Params {
  count: u32,
  heads: u32,
  dModel: u32,
  dHead: u32,
  wCols: u32,
  col0: u32,
}
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(${WG})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = ${lineIndex} * ${WG}u + lane;
  if (i >= params.count) { return; }
  let th = i / params.dHead;  // t · heads + h
  let c = params.col0 + (th % params.heads) * params.dHead + i % params.dHead;
  var sum = 0f;
  for (var k = 0u; k < params.dModel; k++) {
    sum = fma(X[th * params.dModel + k], W[k * params.wCols + c], sum);
  }
  Y[i] = sum + B[c];
}`;

const headResultWgsl = /* wgsl */ `
@group(0) @binding(0) var<storage, read> Z: array<f32>;
@group(0) @binding(1) var<storage, read> W: array<f32>;
@group(0) @binding(2) var<storage, read_write> Y: array<f32>;
struct Params {
  count: u32,
  heads: u32,
  dHead: u32,
  dModel: u32,
}
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(${WG})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = ${lineIndex} * ${WG}u + lane;
  if (i >= params.count) { return; }
  let th = i / params.dModel;  // t · heads + h: row of Z, seen as [tokens · heads, dHead]
  let first = (th % params.heads) * params.dHead;
  let c = i % params.dModel;
  var sum = 0f;
  for (var j = 0u; j < params.dHead; j++) {
    sum = fma(Z[th * params.dHead + j], W[(first + j) * params.dModel + c], sum);
  }
  Y[i] = sum;
}`;

/** Float64 references: the values, and the bound |Σ| ≤ Σ|a||b| that rounding errors scale with. */
export function headInputReference(
  o: HeadInput,
  x: ArrayLike<number>,
  w: ArrayLike<number>,
  b: ArrayLike<number>,
) {
  const y = new Float64Array(o.tokens * o.heads * o.dHead);
  for (let i = 0; i < y.length; i++) {
    const th = Math.floor(i / o.dHead);
    const c = o.col0 + (th % o.heads) * o.dHead + (i % o.dHead);
    y[i] = b[c];
    for (let k = 0; k < o.dModel; k++) y[i] += x[th * o.dModel + k] * w[k * o.wCols + c];
  }
  return y;
}

/** Float64 reference of `headResult`: [tokens, heads, dModel]. */
export function headResultReference(o: HeadResult, z: ArrayLike<number>, w: ArrayLike<number>) {
  const y = new Float64Array(o.tokens * o.heads * o.dModel);
  for (let i = 0; i < y.length; i++) {
    const th = Math.floor(i / o.dModel);
    for (let j = 0; j < o.dHead; j++)
      y[i] += z[th * o.dHead + j] * w[((th % o.heads) * o.dHead + j) * o.dModel + (i % o.dModel)];
  }
  return y;
}

/** Both, with their examples. */
export const headMatmulFamily: Family = {
  name: 'head-matmul',
  about:
    'per-head products: q, k, v [tokens, heads, dHead] from per-head inputs; results [tokens, heads, dModel]',
  examples: (caps) => {
    const examples: Example[] = [];
    for (const [tokens, heads, dModel, dHead] of [
      [1, 1, 4, 4],
      [5, 3, 39, 13],
      [17, 4, 64, 16],
    ]) {
      const inner = heads * dHead;
      const x = noise(tokens * heads * dModel, 1);
      const w = noise(dModel * 3 * inner, 2);
      const b = noise(3 * inner, 3);
      for (const part of [0, 1, 2]) {
        const o = { tokens, heads, dModel, dHead, wCols: 3 * inner, col0: part * inner };
        const values = headInputReference(o, x, w, b);
        for (const [how, launch] of Object.entries({ strided: headInput(o, caps), plain: headInputPlain(o) }))
          examples.push({
            title: `input ${'qkv'[part]}, ${how}: ${tokens} tokens, ${heads} heads of ${dHead}, d_model ${dModel}`,
            launch,
            buffers: [x, w, b, tokens * inner],
            expected: [{ binding: 3, values, atol: 1e-5 * (dModel / 4), rtol: 0 }], // |a||b| averages ¼ a term
          });
      }
      const o = { tokens, heads, dHead, dModel };
      const z = noise(tokens * inner, 4);
      const wo = noise(inner * dModel, 5);
      const values = headResultReference(o, z, wo);
      for (const [how, launch] of Object.entries({ strided: headResult(o, caps), plain: headResultPlain(o) }))
        examples.push({
          title: `result, ${how}: ${tokens} tokens, ${heads} heads of ${dHead}, d_model ${dModel}`,
          launch,
          buffers: [z, wo, tokens * heads * dModel],
          expected: [{ binding: 2, values, atol: 1e-5 * (dHead / 4), rtol: 0 }],
        });
    }
    return examples;
  },
};
