/**
 * Reductions over one axis. Sums are taken in blocks, so that rounding errors grow with the number of blocks
 * and not with the number of elements, and in a fixed order: same input, same bits.
 */

import { type Caps, type Example, type Family, type Launch, line, lineIndex, noise } from '../core/kernel.js';
import {
  accumulate,
  kernel,
  otherKinds,
  perElement,
  perElementMain,
  specialsWgsl,
  teamFor,
  workgroupTeam,
} from '../core/wgsl.js';

/** What to reduce with. */
export type ReduceOp = 'sum' | 'mean' | 'max' | 'min' | 'prod';

/**
 * Rows longer than this get many threads on every adapter; Mesa's software drivers also cut very long loops
 * short.
 */
const LONG = 8192;

/** Two terms taken together: in WGSL, and in float64. */
const PAIRS = {
  sum: { wgsl: (a: string, b: string) => `${a} + ${b}`, f64: (a: number, b: number) => a + b, neutral: 0 },
  prod: { wgsl: (a: string, b: string) => `${a} * ${b}`, f64: (a: number, b: number) => a * b, neutral: 1 },
  max: { wgsl: (a: string, b: string) => `larger(${a}, ${b})`, f64: Math.max, neutral: -Infinity },
  min: { wgsl: (a: string, b: string) => `smaller(${a}, ${b})`, f64: Math.min, neutral: Infinity },
};
const pairOf = (op: ReduceOp) => PAIRS[op === 'mean' ? 'sum' : op];
const combine = (op: ReduceOp) => pairOf(op).wgsl;

/** A maximum starts from an element, because WGSL has no literal for −∞. */
const neutral = (op: ReduceOp) => (op === 'max' || op === 'min' ? 'X[at]' : `${pairOf(op).neutral}f`);

/** Y[row] = reduction of X[row, :]. Buffers: X [rows, cols], Y [rows]. */
export function reduceRows(o: { rows: number; cols: number; op: ReduceOp }, caps: Caps): Launch {
  const team = o.cols > LONG ? workgroupTeam(caps.maxInvocations >= 256 ? 256 : 128) : teamFor(caps);
  const combined = combine(o.op);
  const code = () => /* wgsl */ `${team.enable}
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;
struct Params {
  rows: u32,
  cols: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${specialsWgsl}
${team.reduce('reduce', 'f32', combined('a', 'b'))}

@compute @workgroup_size(${team.threads})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = ${lineIndex};
  if (row >= params.rows) { return; }
  let at = row * params.cols;
  ${accumulate({ name: 'all', first: 'lane', step: `${team.threads}u`, end: 'params.cols', term: (i) => `X[at + ${i}]`, combine: combined, neutral: neutral(o.op) })}
  all = reduce(all, lane);
  if (lane == 0u) { Y[row] = all${o.op === 'mean' ? ' / f32(params.cols)' : ''}; }
}`;
  return {
    kernel: kernel(`reduceRows/${o.op}/${team.name}`, code),
    params: { rows: o.rows, cols: o.cols },
    grid: line(o.rows),
  };
}

/** Y[outer, inner] = reduction of X[outer, :, inner]. Buffers: X [outer, n, inner], Y [outer, inner]. */
export function reduceMiddle(
  o: { outer: number; n: number; inner: number; op: ReduceOp },
  caps: Caps,
): Launch {
  if (o.inner === 1) return reduceRows({ rows: o.outer, cols: o.n, op: o.op }, caps);
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;
struct Params {
  n: u32, // outputs: outer · inner
  length: u32, // of the axis
  inner: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${specialsWgsl}
${perElementMain('y')}
  let at = (y / params.inner) * params.length * params.inner + y % params.inner;
  ${accumulate({ name: 'all', first: '0u', step: '1u', end: 'params.length', term: (i) => `X[at + ${i} * params.inner]`, combine: combine(o.op), neutral: neutral(o.op) })}
  Y[y] = all${o.op === 'mean' ? ' / f32(params.length)' : ''};
}`;
  const n = o.outer * o.inner;
  return {
    kernel: kernel(`reduceMiddle/${o.op}`, code),
    params: { n, length: o.n, inner: o.inner },
    grid: perElement(n),
  };
}

/** Float64 reference of both. */
export function reduceReference(
  x: ArrayLike<number>,
  o: { outer: number; n: number; inner: number; op: ReduceOp },
): number[] {
  return Array.from({ length: o.outer * o.inner }, (_, y) => {
    const at = Math.floor(y / o.inner) * o.n * o.inner + (y % o.inner);
    const { f64, neutral } = pairOf(o.op);
    let all = neutral;
    for (let i = 0; i < o.n; i++) all = f64(all, x[at + i * o.inner]);
    return o.op === 'mean' ? all / o.n : all;
  });
}

/** Checks of the reductions. */
export const reduceFamily: Family = {
  name: 'reduce',
  about: 'sum, mean, maximum, minimum or product over one axis: X [outer, n, inner] → Y [outer, inner]',
  examples(caps) {
    const examples: Example[] = [];
    const shapes = [
      [3, 39, 1],
      [1, 1, 1],
      [2, 50257, 1],
      [3, 13, 7],
      [1, 1000, 65],
      [33000, 2, 1], // more workgroups than fit a line
    ];
    for (const op of ['sum', 'mean', 'max', 'min', 'prod'] as const) {
      for (const [outer, n, inner] of shapes) {
        // factors near 1, so that products neither vanish nor overflow
        const x = noise(outer * n * inner, n, 2).map((v) => (op === 'prod' ? 1 + v / n : v));
        examples.push({
          title: `${op} of [${outer}, ${n}, ${inner}] over the middle`,
          launch: reduceMiddle({ outer, n, inner, op }, caps),
          buffers: [x, outer * inner],
          expected: [
            {
              binding: 1,
              values: reduceReference(x, { outer, n, inner, op }),
              atol: op === 'sum' ? 1e-5 * Math.sqrt(n) : 1e-6,
              rtol: op === 'prod' ? 1e-7 * n : 1e-6,
            },
          ],
        });
      }
      if (op === 'prod') continue;
      const positive = noise(1 << 20, 5).map((v) => v + 1);
      examples.push({
        title: `${op} of a million positive numbers`,
        launch: reduceRows({ rows: 1, cols: positive.length, op }, caps),
        buffers: [positive, 1],
        expected: [
          {
            binding: 1,
            values: reduceReference(positive, { outer: 1, n: positive.length, inner: 1, op }),
            rtol: 1e-6,
          },
        ],
      });
    }
    for (const kind of otherKinds(caps)) {
      const x = noise(3 * 5000, 6, 2);
      examples.push({
        title: 'sum of [3, 5000, 1], as on other adapters',
        launch: reduceRows({ rows: 3, cols: 5000, op: 'sum' }, kind),
        buffers: [x, 3],
        expected: [
          {
            binding: 1,
            values: reduceReference(x, { outer: 3, n: 5000, inner: 1, op: 'sum' }),
            atol: 1e-3,
          },
        ],
      });
    }
    const low = Float32Array.of(-3e38, Number.NEGATIVE_INFINITY, -1e38, Number.NEGATIVE_INFINITY);
    examples.push({
      title: 'max of very low numbers and −∞',
      launch: reduceRows({ rows: 2, cols: 2, op: 'max' }, caps),
      buffers: [low, 2],
      expected: [{ binding: 1, values: Float32Array.of(-3e38, -1e38), rtol: 0, atol: 0 }],
    });
    const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
    const odd = Float32Array.of(1, nan, 3, -inf, nan, inf, inf, 2, 5, 1, -inf, -inf);
    for (const op of ['sum', 'mean', 'max', 'min', 'prod'] as const)
      for (const [outer, n, inner] of [
        [4, 3, 1],
        [2, 3, 2],
        [1, 6, 2],
      ])
        examples.push({
          title: `${op} of NaN and infinities, [${outer}, ${n}, ${inner}]`,
          launch: reduceMiddle({ outer, n, inner, op }, caps),
          buffers: [odd, outer * inner],
          expected: [{ binding: 1, values: reduceReference(odd, { outer, n, inner, op }), rtol: 0, atol: 0 }],
        });
    return examples;
  },
};
