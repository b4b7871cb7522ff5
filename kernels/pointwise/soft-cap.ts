/** Soft caps, y = C · tanh(x / C), and their gradient, dx = dy · (1 − (y / C)²). */

import { type Caps, type Example, type Family, type Launch, noise } from '../core/kernel.js';
import { kernel, notFinite, orNan, perElement, perElementMain } from '../core/wgsl.js';

/**
 * WGSL of C · tanh(x / C). tanh of large numbers is NaN on some adapters: its argument is clamped, which
 * changes no bit.
 * @param type of x: `f32` or `vec4f`
 */
export const cappedWgsl = (x: string, cap: string, type: 'f32' | 'vec4f' = 'f32'): string =>
  `(${cap} * tanh(${orNan(`clamp((${x}) / ${cap}, ${type}(-15f), ${type}(15f))`, `(${x})`, type)}))`;

/** Y = cap · tanh(X / cap). Buffers: X [n], Y [n]. */
export function softCap({ n, cap }: { n: number; cap: number }, _caps: Caps): Launch {
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;
struct Params {
  n: u32,
  cap: f32,
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  let x = X[i];
  Y[i] = ${cappedWgsl('x', 'params.cap')};
}`;
  return { kernel: kernel('softCap', code), params: { n, cap }, grid: perElement(n) };
}

/** dX = dY · (1 − (Y / cap)²), and 0 where Y is infinite: a masked score. Buffers: Y [n], dY [n], dX [n]. */
export function softCapBackward({ n, cap }: { n: number; cap: number }, _caps: Caps): Launch {
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> Y: array<f32>;
@group(0) @binding(1) var<storage, read> dY: array<f32>;
@group(0) @binding(2) var<storage, read_write> dX: array<f32>;
struct Params {
  n: u32,
  cap: f32,
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  let y = Y[i];
  let t = y / params.cap;
  dX[i] = select(dY[i] * (1f - t * t), 0f, ${notFinite('y')});
}`;
  return { kernel: kernel('softCapBackward', code), params: { n, cap }, grid: perElement(n) };
}

/** Checks of both. */
export const softCapFamily: Family = {
  name: 'soft-cap',
  about: 'Y = C · tanh(X / C), and dX = dY · (1 − (Y / C)²); X, Y [n]',
  examples: (caps) =>
    [0.7, 30].flatMap((cap): Example[] => {
      const x = noise(300, 1, 3 * cap);
      x.set([0, 1e4, -1e4, 1e30, -1e30, 1e-6]);
      const y = Float32Array.from(x, (v) => cap * Math.tanh(v / cap));
      const dy = noise(300, 2);
      y[7] = Number.NEGATIVE_INFINITY;
      const dx = dy.map((d, i) => (i === 7 ? 0 : d * (1 - (y[i] / cap) ** 2)));
      return [
        {
          title: `cap ${cap}`,
          launch: softCap({ n: x.length, cap }, caps),
          buffers: [x, x.length],
          expected: [
            { binding: 1, values: x.map((v) => cap * Math.tanh(v / cap)), atol: 1e-6 * cap, rtol: 1e-5 },
          ],
        },
        {
          title: `gradient, cap ${cap}`,
          launch: softCapBackward({ n: x.length, cap }, caps),
          buffers: [y, dy, x.length],
          expected: [{ binding: 2, values: dx, atol: 1e-6, rtol: 1e-5 }],
        },
      ];
    }),
};
