/**
 * Adding up gradients: a part of one tensor, times a number, into a part of another. With stride 0 in X it is
 * the gradient of a sum or mean, with a part of Y that of a slice, with neither the sum of two gradients.
 */

import { type Caps, type Example, type Family, type Launch, noise } from '../core/kernel.js';
import {
  collapse,
  kernel,
  offsets,
  perElement,
  perElementMain,
  sizeOf,
  walkFields,
  walkParams,
  walkWgsl,
} from '../core/wgsl.js';
import type { Part } from '../memory/copy.js';

/**
 * Y[the i-th element of its part] (+)= factor · X[the i-th element of its part]; the rest of Y stays.
 * Buffers: X, Y in place.
 * @param o.x strides and offset in X, 0 where it is broadcast
 * @param o.y the same in Y; no element may come twice
 */
export function addStrided(
  o: {
    shape: readonly number[];
    x: Omit<Part, 'shape'>;
    y: Omit<Part, 'shape'>;
    factor?: number;
    /** True by default; else what Y held does not matter. */
    accumulate?: boolean;
  },
  _caps: Caps,
): Launch {
  const { accumulate = true, factor = 1 } = o;
  const walk = collapse({ shape: o.shape, strides: { x: o.x.strides, y: o.y.strides } });
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;
struct Params {
  n: u32,
  xOffset: u32,
  yOffset: u32,
  factor: f32,
${walkFields(walk)}
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  ${walkWgsl(walk)}
  let at = params.yOffset + y;
  Y[at] = ${accumulate ? 'Y[at] + ' : ''}params.factor * X[params.xOffset + x];
}`;
  const n = sizeOf(o.shape);
  return {
    kernel: kernel(`addStrided/rank-${walk.shape.length}${accumulate ? '' : '/set'}`, code),
    params: { n, xOffset: o.x.offset, yOffset: o.y.offset, factor, ...walkParams(walk) },
    grid: perElement(n),
  };
}

/** Checks of the sum. */
export const addStridedFamily: Family = {
  name: 'add-strided',
  about: 'a part of Y (+)= factor · a part of X, with any strides',
  examples(caps) {
    const parts: Record<string, Parameters<typeof addStrided>[0]> = {
      'all of it': { shape: [131], x: { strides: [1], offset: 0 }, y: { strides: [1], offset: 0 } },
      'gradient of a mean': {
        shape: [4, 6, 3],
        x: { strides: [3, 0, 1], offset: 0 },
        y: { strides: [18, 3, 1], offset: 0 },
        factor: 1 / 6,
      },
      'gradient of a slice': {
        shape: [3, 5],
        x: { strides: [5, 1], offset: 0 },
        y: { strides: [26, 2], offset: 7 },
      },
      'a transposed window': {
        shape: [7, 5],
        x: { strides: [1, 9], offset: 2 },
        y: { strides: [5, 1], offset: 3 },
        factor: -2,
      },
      'a single number': { shape: [], x: { strides: [], offset: 3 }, y: { strides: [], offset: 1 } },
    };
    const examples: Example[] = [];
    for (const [title, part] of Object.entries(parts))
      for (const accumulate of [true, false]) {
        const [from, to] = [part.x, part.y].map(({ strides, offset }) =>
          offsets(part.shape, strides, offset),
        );
        const [x, y] = [noise(Math.max(...from) + 1, 1), noise(Math.max(...to) + 4, 2)];
        const values = Float64Array.from(y);
        to.forEach((at, i) => {
          values[at] = (accumulate ? y[at] : 0) + (part.factor ?? 1) * x[from[i]];
        });
        examples.push({
          title: `${title} [${part.shape}]${accumulate ? '' : ', set'}`,
          launch: addStrided({ ...part, accumulate }, caps),
          buffers: [x, y],
          expected: [{ binding: 1, values, atol: 1e-6, rtol: 1e-6 }],
        });
      }
    return examples;
  },
};
