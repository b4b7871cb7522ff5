/**
 * Picking entries along an axis by a tensor of indices, and putting entries there: Y[o, j, i] = X[o, index[o,
 * j, i], i]. The indices may be broadcast: with strides 0, 1, 0 they are one list for all. What an index
 * beyond the axis names does not exist.
 */

import { type Caps, type Example, type Family, type Launch, noise } from '../core/kernel.js';
import { kernel, perElement, perElementMain, specialsWgsl } from '../core/wgsl.js';

/** X [outer, n, inner], the picked [outer, k, inner], and strides of the indices along those three. */
export interface AlongAxis {
  readonly outer: number;
  readonly n: number;
  readonly k: number;
  readonly inner: number;
  readonly strides: readonly [outer: number, k: number, inner: number];
}

const PARAMS = /* wgsl */ `
  length: u32, // of the axis of X
  k: u32,
  inner: u32,
  strideOuter: u32, // of the indices
  strideK: u32,
  strideInner: u32,`;

const paramsOf = ({ n, k, inner, strides }: AlongAxis) => ({
  length: n,
  k,
  inner,
  strideOuter: strides[0],
  strideK: strides[1],
  strideInner: strides[2],
});

/**
 * Y[o, j, i] = X[o, index, i], NaN (of integers 0) where the index lies beyond. Buffers: X, indices u32, Y
 * [outer, k, inner].
 */
export function gatherAxis(o: AlongAxis & { dtype?: 'f32' | 'u32' }, _caps: Caps): Launch {
  const { dtype = 'f32' } = o;
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<${dtype}>;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read_write> Y: array<${dtype}>;
struct Params {
  n: u32, // outer · k · inner${PARAMS}
}
@group(1) @binding(0) var<uniform> params: Params;
${specialsWgsl}
${perElementMain()}
  let column = i % params.inner;
  let j = (i / params.inner) % params.k;
  let row = i / params.inner / params.k;
  let index = indices[row * params.strideOuter + j * params.strideK + column * params.strideInner];
  let inside = index < params.length; // an index from elsewhere must not leave the axis
  let at = (row * params.length + select(0u, index, inside)) * params.inner + column;
  Y[i] = select(${dtype === 'f32' ? 'special(NAN)' : '0u'}, X[at], inside);
}`;
  const n = o.outer * o.k * o.inner;
  return { kernel: kernel(`gatherAxis/${dtype}`, code), params: { n, ...paramsOf(o) }, grid: perElement(n) };
}

/**
 * Y[o, index, i] = X[o, j, i] for j = 0, 1, … (the last one counts), or with `add` += X[o, j, i]; indices
 * beyond the axis are passed over. Always in the same order: a thread for each line. Buffers: X [outer, k,
 * inner], indices u32, Y [outer, n, inner] in place.
 */
export function scatterAxis(o: AlongAxis & { add: boolean; dtype?: 'f32' | 'u32' }, _caps: Caps): Launch {
  const { dtype = 'f32' } = o;
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<${dtype}>;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read_write> Y: array<${dtype}>;
struct Params {
  n: u32, // lines: outer · inner${PARAMS}
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  let column = i % params.inner;
  let row = i / params.inner;
  for (var j = 0u; j < params.k; j++) {
    let index = indices[row * params.strideOuter + j * params.strideK + column * params.strideInner];
    if (index < params.length) {
      Y[(row * params.length + index) * params.inner + column] ${o.add ? '+=' : '='} X[(row * params.k + j) * params.inner + column];
    }
  }
}`;
  const n = o.outer * o.inner;
  return {
    kernel: kernel(`scatterAxis/${dtype}${o.add ? '/add' : ''}`, code),
    params: { n, ...paramsOf(o) },
    grid: perElement(n),
  };
}

/** Calls f with the places of each pick: in X, and in the picked; a pick beyond the axis has none in X. */
function places(
  { outer, n, k, inner, strides }: AlongAxis,
  indices: ArrayLike<number>,
  f: (x: number | null, y: number) => void,
): void {
  for (let o = 0; o < outer; o++)
    for (let j = 0; j < k; j++)
      for (let i = 0; i < inner; i++) {
        const index = indices[o * strides[0] + j * strides[1] + i * strides[2]];
        f(index < n ? (o * n + index) * inner + i : null, (o * k + j) * inner + i);
      }
}

/** Checks of both. */
export const gatherFamily: Family = {
  name: 'gather',
  about: 'Y[o, j, i] = X[o, index, i], and Y[o, index, i] (+)= X[o, j, i]; X [outer, n, inner]',
  examples(caps) {
    const examples: Example[] = [];
    const exact = { atol: 0, rtol: 0 };
    const sizes: [title: string, o: AlongAxis][] = [
      ['one list for all', { outer: 3, n: 13, k: 4, inner: 5, strides: [0, 1, 0] }],
      ['a list each, last axis', { outer: 5, n: 39, k: 7, inner: 1, strides: [7, 1, 1] }],
      ['an index each', { outer: 2, n: 6, k: 9, inner: 3, strides: [27, 3, 1] }],
      ['rows', { outer: 1, n: 7, k: 130, inner: 65, strides: [0, 1, 0] }],
      ['a single one', { outer: 1, n: 1, k: 1, inner: 1, strides: [0, 1, 0] }],
    ];
    for (const [title, o] of sizes) {
      const { outer, n, k, inner, strides } = o;
      const count = 1 + (outer - 1) * strides[0] + (k - 1) * strides[1] + (inner - 1) * strides[2];
      // some several times, one beyond the axis
      const indices = Uint32Array.from({ length: count }, (_, i) => (i === 2 ? 4e9 : (i * 7) % (n + 1)));
      const x = noise(outer * n * inner, 7);
      const gathered = new Float32Array(outer * k * inner).fill(Number.NaN);
      places(o, indices, (from, to) => {
        if (from !== null) gathered[to] = x[from];
      });
      const about = `${title} [${outer}, ${n}, ${inner}], ${k}`;
      examples.push({
        title: `gather, ${about}`,
        launch: gatherAxis(o, caps),
        buffers: [x, indices, gathered.length],
        expected: [{ binding: 2, values: gathered, ...exact }],
      });
      for (const add of [false, true]) {
        const source = noise(outer * k * inner, 3);
        const values = Float64Array.from(x);
        places(o, indices, (to, from) => {
          if (to !== null) values[to] = (add ? values[to] : 0) + source[from];
        });
        examples.push({
          title: `scatter${add ? ', added' : ''}, ${about}`,
          launch: scatterAxis({ ...o, add }, caps),
          buffers: [source, indices, x],
          expected: [{ binding: 2, values, atol: add ? 1e-5 : 0, rtol: add ? 1e-6 : 0 }],
        });
      }
    }
    const o: AlongAxis = { outer: 1, n: 4, k: 3, inner: 1, strides: [0, 1, 0] };
    examples.push({
      title: 'gather of integers, one beyond',
      launch: gatherAxis({ ...o, dtype: 'u32' }, caps),
      buffers: [Uint32Array.of(5, 4e9, 7, 8), Uint32Array.of(1, 9, 3), 3],
      expected: [{ binding: 2, values: Uint32Array.of(4e9, 0, 8), ...exact }],
    });
    return examples;
  },
};
