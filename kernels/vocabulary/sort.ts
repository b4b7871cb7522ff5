/**
 * Sorting rows of any length by Batcher's bitonic network (1968): log² n steps, each with a thread a pair.
 * Keys are (rank, column), all different, so that equal numbers keep their order. Rows are padded to a power
 * of two with keys behind all others.
 */

import { type Caps, type Example, type Family, type Launch, noise } from '../core/kernel.js';
import { kernel, perElement, perElementMain, rankWgsl } from '../core/wgsl.js';
import { topkReference } from './topk.js';

/** Rows, their length, and the power of two that they are padded to. */
export interface SortSizes {
  readonly rows: number;
  readonly cols: number;
  readonly padded: number;
}

/** The steps (block, distance) that sort rows of a power of two, in order. */
export function sortSteps(padded: number): [block: number, distance: number][] {
  const steps: [number, number][] = [];
  for (let block = 2; block <= padded; block *= 2)
    for (let distance = block / 2; distance > 0; distance /= 2) steps.push([block, distance]);
  return steps;
}

/**
 * Keys of the numbers: those that come first are smallest. Buffers: X [rows, cols], keys u32 [rows, padded,
 * 2].
 */
export function sortStart(o: SortSizes & { descending: boolean }, _caps: Caps): Launch {
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> keys: array<vec2u>;
struct Params {
  n: u32, // rows · padded
  cols: u32,
  padded: u32,
  flip: u32, // all bits: the largest come first
}
@group(1) @binding(0) var<uniform> params: Params;
${rankWgsl}
${perElementMain()}
  let column = i % params.padded;
  let inside = column < params.cols;
  let x = X[(i / params.padded) * params.cols + select(0u, column, inside)];
  keys[i] = vec2u(select(0xffffffffu, rank(x) ^ params.flip, inside), column);
}`;
  const n = o.rows * o.padded;
  return {
    kernel: kernel('sortStart', code),
    params: { n, cols: o.cols, padded: o.padded, flip: o.descending ? 0xffffffff : 0 },
    grid: perElement(n),
  };
}

/** One step: pairs at a distance are put in the order of their block. Buffers: keys u32 [n, 2] in place. */
export function sortStep(
  o: { n: number; padded: number; block: number; distance: number },
  _caps: Caps,
): Launch {
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> keys: array<vec2u>;
struct Params {
  n: u32, // pairs
  padded: u32,
  block: u32,
  distance: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  let low = (i / params.distance) * 2u * params.distance + i % params.distance;
  let high = low + params.distance;
  let a = keys[low];
  let b = keys[high];
  let before = a.x < b.x || (a.x == b.x && a.y < b.y);
  let place = low & (params.padded - 1u); // in its row
  if (before != ((place & params.block) == 0u)) {
    keys[low] = b;
    keys[high] = a;
  }
}`;
  return {
    kernel: kernel('sortStep', code),
    params: { n: o.n / 2, padded: o.padded, block: o.block, distance: o.distance },
    grid: perElement(o.n / 2),
  };
}

/**
 * Values and columns in order. Buffers: X [rows, cols], keys u32 [rows, padded, 2], values [rows, cols],
 * indices u32 [rows, cols].
 */
export function sortFinish(o: SortSizes, _caps: Caps): Launch {
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> keys: array<vec2u>;
@group(0) @binding(2) var<storage, read_write> values: array<f32>;
@group(0) @binding(3) var<storage, read_write> indices: array<u32>;
struct Params {
  n: u32, // rows · cols
  cols: u32,
  padded: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  let row = i / params.cols;
  let column = keys[row * params.padded + i % params.cols].y;
  values[i] = X[row * params.cols + column];
  indices[i] = column;
}`;
  const n = o.rows * o.cols;
  return {
    kernel: kernel('sortFinish', code),
    params: { n, cols: o.cols, padded: o.padded },
    grid: perElement(n),
  };
}

/** Checks of each. */
export const sortFamily: Family = {
  name: 'sort',
  about: 'rows in order, with their columns: keys, the steps of a bitonic network, values',
  examples(caps) {
    const [rows, cols, padded] = [2, 5, 8];
    const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
    const x = Float32Array.of(3, nan, -inf, 3, -0, 1, 0, inf, -2, 0);
    const row = (r: number) => Array.from(x.subarray(r * cols, (r + 1) * cols));
    const orders = [0, 1].map((r) => topkReference(row(r), cols, true));
    const keys = new Uint32Array(rows * padded * 2);
    orders.forEach((order, r) => {
      order.forEach((column, i) => {
        keys[(r * padded + i) * 2 + 1] = column;
      });
    });
    const exact = { atol: 0, rtol: 0 };
    const pairs = Uint32Array.from(noise(64, 3), (v) => Math.abs(Math.round(v * 5)));
    const stepped = pairs.slice();
    const [block, distance] = [8, 4];
    for (let low = 0; low < 32; low++) {
      if (low & distance) continue;
      const [a, b] = [low, low + distance].map((i) => [pairs[2 * i], pairs[2 * i + 1]]);
      const before = a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);
      const [first, second] = before === ((low & 7 & block) === 0) ? [a, b] : [b, a];
      stepped.set(first, 2 * low);
      stepped.set(second, 2 * (low + distance));
    }
    const examples: Example[] = [
      {
        title: 'keys of a row shorter than its block',
        launch: sortStart({ rows: 1, cols: 3, padded: 4, descending: true }, caps),
        buffers: [Float32Array.of(-0, inf, 0), 8],
        expected: [
          {
            binding: 1,
            values: Uint32Array.of(0x7fffffff, 0, 0x007fffff, 1, 0x7fffffff, 2, 0xffffffff, 3),
            ...exact,
          },
        ],
      },
      {
        title: 'a step',
        launch: sortStep({ n: 32, padded: 8, block, distance }, caps),
        buffers: [pairs],
        expected: [{ binding: 0, values: stepped, ...exact }],
      },
      {
        title: 'values and columns',
        launch: sortFinish({ rows, cols, padded }, caps),
        buffers: [x, keys, x.length, x.length],
        expected: [
          { binding: 2, values: orders.flatMap((order, r) => order.map((c) => row(r)[c])), ...exact },
          { binding: 3, values: Uint32Array.from(orders.flat()), ...exact },
        ],
      },
    ];
    return examples;
  },
};
