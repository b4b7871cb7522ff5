/**
 * Moving data: parts of tensors out of strided memory, into it, and a number into it. Elements are moved as
 * 32-bit words, so that f32 (NaN payloads too) and u32 tensors share the kernels.
 */

import { type Caps, type Example, type Family, type Launch, noise } from '../core/kernel.js';
import { packed, type StoredWeights, storedName, storedWgsl, weight1 } from '../core/stored.js';
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

/** A part of strided memory, in elements. */
export interface Part {
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
}

/**
 * Y[outOffset + i] = X[the i-th element of the part]. Buffers: X, Y; Y's part is contiguous.
 * X may be stored in any format; Y gets float32.
 */
export function gatherStrided(o: Part & { outOffset?: number } & StoredWeights, _caps: Caps): Launch {
  const { stored = 'f32' } = o;
  const at = weight1(stored, 'X', 'params.offset + x');
  const walk = collapse({ shape: o.shape, strides: { x: o.strides } });
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<u32>;
@group(0) @binding(1) var<storage, read_write> Y: array<u32>;
struct Params {
  n: u32,
  offset: u32, // of the part in X
  outOffset: u32,
${walkFields(walk)}
}
@group(1) @binding(0) var<uniform> params: Params;
${storedWgsl(stored, 'X')}
${perElementMain()}
  ${walkWgsl(walk)}
  Y[params.outOffset + i] = ${stored === 'f32' ? at : `bitcast<u32>(${at})`};
}`;
  const n = sizeOf(o.shape);
  return {
    kernel: kernel(`gatherStrided/rank-${walk.shape.length}${storedName(stored)}`, code),
    params: { n, offset: o.offset, outOffset: o.outOffset ?? 0, ...walkParams(walk) },
    grid: perElement(n),
  };
}

/** Y[the i-th element of the part] = X[i]; the rest of Y stays. Buffers: X [shape] contiguous, Y in place. */
export function scatterStrided(o: Part, _caps: Caps): Launch {
  const walk = collapse({ shape: o.shape, strides: { y: o.strides } });
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<u32>;
@group(0) @binding(1) var<storage, read_write> Y: array<u32>;
struct Params {
  n: u32,
  offset: u32, // of the part in Y
${walkFields(walk)}
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  ${walkWgsl(walk)}
  Y[params.offset + y] = X[i];
}`;
  const n = sizeOf(o.shape);
  return {
    kernel: kernel(`scatterStrided/rank-${walk.shape.length}`, code),
    params: { n, offset: o.offset, ...walkParams(walk) },
    grid: perElement(n),
  };
}

/**
 * Every element of a part = value; the rest of Y stays. Buffers: Y in place.
 * @param o.dtype what `value` is written as
 */
export function fill(o: Part & { value: number; dtype?: 'f32' | 'u32' }, _caps: Caps): Launch {
  const walk = collapse({ shape: o.shape, strides: { y: o.strides } });
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read_write> Y: array<u32>;
struct Params {
  n: u32,
  offset: u32, // of the part in Y
  bits: u32, // the value
${walkFields(walk)}
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  ${walkWgsl(walk)}
  Y[params.offset + y] = params.bits;
}`;
  const n = sizeOf(o.shape);
  const bits = o.dtype === 'u32' ? o.value : new Uint32Array(Float32Array.of(o.value).buffer)[0];
  return {
    kernel: kernel(`fill/rank-${walk.shape.length}`, code),
    params: { n, offset: o.offset, bits, ...walkParams(walk) },
    grid: perElement(n),
  };
}

/** Checks of the copying kernels. */
export const copyFamily: Family = {
  name: 'copy',
  about: 'parts of strided tensors: out (slice, transpose, broadcast), in (set), filled with a number',
  examples(caps) {
    const examples: Example[] = [];
    const parts: Record<string, Part> = {
      contiguous: { shape: [3, 5, 7], strides: [35, 7, 1], offset: 2 },
      transposed: { shape: [7, 5], strides: [1, 7], offset: 0 },
      'every second column': { shape: [5, 13], strides: [26, 2], offset: 1 },
      'single element': { shape: [], strides: [], offset: 9 },
      'axis of length 1': { shape: [4, 1, 3], strides: [8, 99, 2], offset: 0 },
      'six axes': { shape: [2, 3, 2, 3, 2, 3], strides: [1, 2, 6, 12, 36, 72], offset: 5 },
      'many workgroups': { shape: [1031, 67], strides: [1, 1031], offset: 0 },
    };
    const exact = { atol: 0, rtol: 0 };
    for (const [title, part] of Object.entries(parts)) {
      const at = offsets(part.shape, part.strides, part.offset);
      const x = noise(Math.max(...at) + 3, 1);
      const about = `${title} [${part.shape}]`;
      const outOffset = 4;
      const gathered = noise(at.length + outOffset, 2);
      const values = gathered.slice();
      at.forEach((from, i) => {
        values[outOffset + i] = x[from];
      });
      examples.push({
        title: `gatherStrided, ${about}`,
        launch: gatherStrided({ ...part, outOffset }, caps),
        buffers: [x, gathered],
        expected: [{ binding: 1, values, ...exact }],
      });
      const { rounded, words } = packed(x, 'f16');
      examples.push({
        title: `gatherStrided, ${about}, halves`,
        launch: gatherStrided({ ...part, stored: 'f16' }, caps),
        buffers: [words, at.length],
        expected: [{ binding: 1, values: at.map((from) => rounded[from]), ...exact }],
      });
      const source = noise(at.length, 3);
      const scattered = x.slice();
      at.forEach((to, i) => {
        scattered[to] = source[i];
      });
      examples.push({
        title: `scatterStrided, ${about}`,
        launch: scatterStrided(part, caps),
        buffers: [source, x],
        expected: [{ binding: 1, values: scattered, ...exact }],
      });
      const filled = x.slice();
      for (const to of at) filled[to] = -0.375;
      examples.push({
        title: `fill, ${about}`,
        launch: fill({ ...part, value: -0.375 }, caps),
        buffers: [x],
        expected: [{ binding: 0, values: filled, ...exact }],
      });
    }
    for (const stored of ['Q8_0', 'Q4_0', 'Q4_1'] as const) {
      const part = { shape: [64, 5], strides: [1, 96], offset: 3 * 96 + 32 };
      const { rounded, words } = packed(noise(9 * 96, 5), stored);
      examples.push({
        title: `gatherStrided, columns of rows in blocks, ${stored}`,
        launch: gatherStrided({ ...part, stored }, caps),
        buffers: [words, 64 * 5],
        expected: [
          {
            binding: 1,
            values: offsets(part.shape, part.strides, part.offset).map((from) => rounded[from]),
            ...exact,
          },
        ],
      });
    }
    const broadcast = { shape: [4, 6], strides: [0, 1], offset: 1 };
    const x = noise(8, 4);
    examples.push({
      title: 'gatherStrided, one row four times',
      launch: gatherStrided(broadcast, caps),
      buffers: [x, 24],
      expected: [{ binding: 1, values: offsets([4, 6], [0, 1], 1).map((i) => x[i]), ...exact }],
    });
    examples.push({
      title: 'gatherStrided, the smallest and largest halves',
      launch: gatherStrided({ shape: [6], strides: [1], offset: 0, stored: 'f16' }, caps),
      buffers: [Uint32Array.of(0x03ff0001, 0x7bff8001, 0x0400bc00), 6],
      expected: [
        { binding: 1, values: [2 ** -24, 1023 * 2 ** -24, -(2 ** -24), 65504, -1, 2 ** -14], ...exact },
      ],
    });
    const many = 2_100_000; // more workgroups than fit a line
    examples.push({
      title: 'fill, two million elements',
      launch: fill({ shape: [many], strides: [1], offset: 0, value: 3 }, caps),
      buffers: [many],
      expected: [{ binding: 0, values: new Float32Array(many).fill(3), ...exact }],
    });
    examples.push({
      title: 'fill, u32',
      launch: fill({ shape: [2], strides: [1], offset: 1, value: 0xfffffffe, dtype: 'u32' }, caps),
      buffers: [Uint32Array.of(1, 2, 3, 4)],
      expected: [{ binding: 0, values: Uint32Array.of(1, 0xfffffffe, 0xfffffffe, 4), ...exact }],
    });
    return examples;
  },
};
