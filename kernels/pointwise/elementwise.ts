/**
 * Element-wise arithmetic with NumPy's broadcasting: a broadcast axis has stride 0.
 */

import { type Caps, type Example, type Family, type Launch, noise } from '../core/kernel.js';
import {
  collapse,
  kernel,
  offsets,
  perElement,
  perElementMain,
  sizeOf,
  specialsWgsl,
  walkFields,
  walkParams,
  walkWgsl,
} from '../core/wgsl.js';

/** Binary operations: WGSL and float64 alike. */
const binaryOps = {
  add: { wgsl: 'a + b', f64: (a: number, b: number) => a + b },
  sub: { wgsl: 'a - b', f64: (a: number, b: number) => a - b },
  mul: { wgsl: 'a * b', f64: (a: number, b: number) => a * b },
  div: { wgsl: 'a / b', f64: (a: number, b: number) => a / b },
};
/** Name of a binary operation. */
export type BinaryOp = keyof typeof binaryOps;

/** Unary operations: WGSL and float64 alike. */
const unaryOps = {
  exp: { wgsl: 'select(exp(x), special(NAN), isNan(x))', f64: Math.exp }, // SwiftShader's exp(NaN) is ∞
  // SwiftShader's log(0) is −88.03.
  log: {
    wgsl: 'select(select(log(x), special(NAN), x < 0f || isNan(x)), special(INFINITY | 0x80000000u), x == 0f)',
    f64: Math.log,
  },
  neg: { wgsl: '-x', f64: (x: number) => -x },
  abs: { wgsl: 'abs(x)', f64: Math.abs },
  sqrt: { wgsl: 'select(sqrt(x), special(NAN), x < 0f || isNan(x))', f64: Math.sqrt },
  square: { wgsl: 'x * x', f64: (x: number) => x * x },
};
/** Name of a unary operation. */
export type UnaryOp = keyof typeof unaryOps;

/**
 * Y = A op B. Buffers: A, B, Y [shape], Y contiguous.
 * @param o.aStrides in elements, one an axis of `shape`, 0 where A is broadcast; `bStrides` likewise
 */
export function binary(
  o: {
    op: BinaryOp;
    shape: readonly number[];
    aStrides: readonly number[];
    bStrides: readonly number[];
  },
  _caps: Caps,
): Launch {
  const walk = collapse({ shape: o.shape, strides: { a: o.aStrides, b: o.bStrides } });
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> A: array<f32>;
@group(0) @binding(1) var<storage, read> B: array<f32>;
@group(0) @binding(2) var<storage, read_write> Y: array<f32>;
struct Params {
  n: u32,
${walkFields(walk)}
}
@group(1) @binding(0) var<uniform> params: Params;

fn op(a: f32, b: f32) -> f32 { return ${binaryOps[o.op].wgsl}; }
${perElementMain()}
  ${walkWgsl(walk)}
  Y[i] = op(A[a], B[b]);
}`;
  const n = sizeOf(o.shape);
  return {
    kernel: kernel(`binary/${o.op}/rank-${walk.shape.length}`, code),
    params: { n, ...walkParams(walk) },
    grid: perElement(n),
  };
}

/** Y = X op value, or value op X with `reverse`. Buffers: X [n], Y [n]. */
export function binaryScalar(
  o: { op: BinaryOp; n: number; value: number; reverse?: boolean },
  _caps: Caps,
): Launch {
  const [a, b] = o.reverse ? ['params.value', 'X[i]'] : ['X[i]', 'params.value'];
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;
struct Params {
  n: u32,
  value: f32,
}
@group(1) @binding(0) var<uniform> params: Params;

fn op(a: f32, b: f32) -> f32 { return ${binaryOps[o.op].wgsl}; }
${perElementMain()}
  Y[i] = op(${a}, ${b});
}`;
  return {
    kernel: kernel(`binary/${o.op}/scalar-${o.reverse ? 'first' : 'second'}`, code),
    params: { n: o.n, value: o.value },
    grid: perElement(o.n),
  };
}

/** Y = op(X). Buffers: X [n], Y [n]. WGSL's exp and log are good to about 1e-6 relative; log is worse near 1. */
export function unary(o: { op: UnaryOp; n: number }, _caps: Caps): Launch {
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;
struct Params {
  n: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${specialsWgsl}
fn op(x: f32) -> f32 { return ${unaryOps[o.op].wgsl}; }
${perElementMain()}
  Y[i] = op(X[i]);
}`;
  return { kernel: kernel(`unary/${o.op}`, code), params: { n: o.n }, grid: perElement(o.n) };
}

/** Float64 reference of `binary`. */
export function binaryReference(
  op: BinaryOp,
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  o: { shape: readonly number[]; aStrides: readonly number[]; bStrides: readonly number[] },
): number[] {
  const bAt = offsets(o.shape, o.bStrides);
  return offsets(o.shape, o.aStrides).map((at, i) => binaryOps[op].f64(a[at], b[bAt[i]]));
}

/** Checks of the element-wise kernels. */
export const elementwiseFamily: Family = {
  name: 'elementwise',
  about: 'Y = A op B with broadcasting, Y = X op number, Y = op(X)',
  examples(caps) {
    const examples: Example[] = [];
    const walks = {
      'same shape': { shape: [3, 5, 7], aStrides: [35, 7, 1], bStrides: [35, 7, 1] },
      'row vector': { shape: [4, 39], aStrides: [39, 1], bStrides: [0, 1] },
      'column of both': { shape: [4, 5], aStrides: [1, 0], bStrides: [0, 1] },
      'single number': { shape: [], aStrides: [], bStrides: [] },
      'six axes, none merge': {
        shape: [2, 3, 2, 3, 2, 3],
        aStrides: [1, 2, 6, 12, 36, 72],
        bStrides: [0, 1, 0, 3, 0, 9],
      },
    };
    for (const op of ['add', 'sub', 'mul', 'div'] as const) {
      for (const [title, walk] of Object.entries(walks)) {
        const length = (strides: number[]) => 1 + Math.max(...offsets(walk.shape, strides));
        const a = noise(length(walk.aStrides), 1, 3);
        const b = noise(length(walk.bStrides), 2, 3).map((x) => x || 1);
        examples.push({
          title: `${op}, ${title} [${walk.shape}]`,
          launch: binary({ op, ...walk }, caps),
          buffers: [a, b, sizeOf(walk.shape)],
          expected: [{ binding: 2, values: binaryReference(op, a, b, walk), atol: 1e-6, rtol: 1e-6 }],
        });
      }
      for (const reverse of [false, true]) {
        const x = noise(131, 3, 3).map((v) => v || 1);
        const value = -1.75;
        const f = binaryOps[op].f64;
        examples.push({
          title: `${op}, ${reverse ? 'number op X' : 'X op number'}`,
          launch: binaryScalar({ op, n: x.length, value, reverse }, caps),
          buffers: [x, x.length],
          expected: [
            {
              binding: 1,
              values: Array.from(x, (v) => (reverse ? f(value, v) : f(v, value))),
              atol: 1e-6,
              rtol: 1e-6,
            },
          ],
        });
      }
    }
    for (const op of Object.keys(unaryOps) as UnaryOp[]) {
      const x = noise(131, 4, 5).map((v) => (op === 'log' || op === 'sqrt' ? Math.abs(v) + 1e-3 : v));
      examples.push({
        title: op,
        launch: unary({ op, n: x.length }, caps),
        buffers: [x, x.length],
        expected: [{ binding: 1, values: Array.from(x, unaryOps[op].f64), atol: 1e-5, rtol: 1e-5 }],
      });
    }
    const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
    const special = Float32Array.of(0, -0, 1, -1, inf, -inf, nan, 3e38);
    for (const op of Object.keys(unaryOps) as UnaryOp[])
      examples.push({
        title: `${op} of zeros, infinities and NaN`,
        launch: unary({ op, n: special.length }, caps),
        buffers: [special, special.length],
        expected: [
          { binding: 1, values: Float32Array.from(special, unaryOps[op].f64), atol: 1e-5, rtol: 1e-5 },
        ],
      });
    for (const op of Object.keys(binaryOps) as BinaryOp[]) {
      const a = Float32Array.from({ length: 64 }, (_, i) => special[i >> 3]);
      const b = Float32Array.from({ length: 64 }, (_, i) => special[i & 7]);
      const walk = { shape: [64], aStrides: [1], bStrides: [1] };
      examples.push({
        title: `${op} of zeros, infinities and NaN`,
        launch: binary({ op, ...walk }, caps),
        buffers: [a, b, 64],
        expected: [
          { binding: 2, values: Float32Array.from(binaryReference(op, a, b, walk)), atol: 1e-5, rtol: 1e-5 },
        ],
      });
    }
    return examples;
  },
};
