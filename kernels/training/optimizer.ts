/**
 * What a training step does once the gradients are there: AdamW (Loshchilov and Hutter 2019) in place, and
 * the sum of squares of all gradients, for clipping by their common norm. The norm never leaves the GPU.
 */

import { type Caps, type Example, type Family, type Launch, line, lineIndex, noise } from '../core/kernel.js';
import { accumulate, kernel, otherKinds, perElement, perElementMain, teamFor } from '../core/wgsl.js';

/** Hyperparameters of one step. */
export interface AdamWStep {
  /** 1 for the first step: the bias correction needs it. */
  readonly step: number;
  readonly lr: number;
  readonly beta1?: number;
  readonly beta2?: number;
  readonly eps?: number;
  /** Decoupled: every step takes lr · weightDecay off the parameter itself. */
  readonly weightDecay?: number;
  /** Largest norm of all gradients together; more is scaled down. Needs the sum of their squares. */
  readonly maxNorm?: number | null;
}

/**
 * g = gradient, clipped; m = β₁·m + (1 − β₁)·g; v = β₂·v + (1 − β₂)·g²;
 * parameter −= lr · (m / (1 − β₁^step) / (√(v / (1 − β₂^step)) + eps) + weightDecay · parameter). As PyTorch
 * has it. Buffers: gradient [n], squares [1] (with `maxNorm`: Σ gradient² of all parameters), parameter [n],
 * m [n], v [n]: the last three in place.
 */
export function adamW(o: AdamWStep & { n: number }, _caps: Caps): Launch {
  const { n, step, lr, beta1 = 0.9, beta2 = 0.999, eps = 1e-8 } = o;
  const { weightDecay = 0.01, maxNorm = null } = o;
  const clip = maxNorm !== null;
  const width = n % 4 ? 1 : 4;
  const type = width === 4 ? 'vec4f' : 'f32';
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> G: array<${type}>;
${clip ? '@group(0) @binding(1) var<storage, read> squares: array<f32>;' : ''}
@group(0) @binding(${clip ? 2 : 1}) var<storage, read_write> W: array<${type}>;
@group(0) @binding(${clip ? 3 : 2}) var<storage, read_write> M: array<${type}>;
@group(0) @binding(${clip ? 4 : 3}) var<storage, read_write> V: array<${type}>;
struct Params {
  n: u32,
  beta1: f32,
  rest1: f32, // 1 − beta1, from the host: in f32 it would lose digits
  beta2: f32,
  rest2: f32,
  rate: f32, // lr / (1 − beta1^step)
  root: f32, // 1 / √(1 − beta2^step)
  eps: f32,
  keep: f32, // 1 − lr · weightDecay
  maxNorm: f32,
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  ${clip ? 'let g = G[i] * min(1f, params.maxNorm / (sqrt(squares[0]) + 1e-6f));' : 'let g = G[i];'}
  let m = params.beta1 * M[i] + params.rest1 * g;
  let v = params.beta2 * V[i] + params.rest2 * g * g;
  M[i] = m;
  V[i] = v;
  W[i] = W[i] * params.keep - params.rate * m / (sqrt(v) * params.root + params.eps);
}`;
  return {
    kernel: kernel(`adamW/${type}${clip ? '/clip' : ''}`, code),
    params: {
      n: n / width,
      beta1,
      rest1: 1 - beta1,
      beta2,
      rest2: 1 - beta2,
      rate: lr / (1 - beta1 ** step),
      root: 1 / Math.sqrt(1 - beta2 ** step),
      eps,
      keep: 1 - lr * weightDecay,
      maxNorm: maxNorm ?? 0,
    },
    grid: perElement(n / width),
  };
}

/** Elements of a part of `sumSquares`, and its most parts. */
const PART = 4096;
const MOST_PARTS = 256;

/** How many numbers `sumSquares` makes of n. */
export const sumSquaresParts = (n: number): number => Math.max(1, Math.min(MOST_PARTS, Math.ceil(n / PART)));

/**
 * Y[outOffset + part] = Σ X² over neighbouring elements, in `sumSquaresParts(n)` parts. The parts of all
 * gradients go into one Y, and a `reduceRows` over it gives the sum that `adamW` clips by. Buffers: X [n], Y.
 */
export function sumSquares(o: { n: number; outOffset?: number }, caps: Caps): Launch {
  const { n, outOffset = 0 } = o;
  const team = teamFor(caps);
  const parts = sumSquaresParts(n);
  const each = { first: 'start + lane', step: `${team.threads}u`, end: 'end' };
  const code = () => /* wgsl */ `${team.enable}
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;
struct Params {
  n: u32,
  parts: u32,
  part: u32, // elements of a part
  outOffset: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${team.reduce('total', 'f32')}

@compute @workgroup_size(${team.threads})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let which = ${lineIndex};
  if (which >= params.parts) { return; }
  let start = which * params.part;
  let end = min(start + params.part, params.n);
  ${accumulate({ name: 'sum', ...each, term: (i) => `X[${i}] * X[${i}]` })}
  sum = total(sum, lane);
  if (lane == 0u) { Y[params.outOffset + which] = sum; }
}`;
  return {
    kernel: kernel(`sumSquares/${team.name}`, code),
    params: { n, parts, part: Math.ceil(n / parts), outOffset },
    grid: line(parts),
  };
}

/** Whether `x` is neither NaN nor infinite. By its bits: a compiler may assume that no number is NaN. */
const finite = (x: string): string => `(bitcast<u32>(${x}) & 0x7f800000u) != 0x7f800000u`;

/**
 * Whether training has gone wrong: failed = 1 once the loss or the gradients' norm is not a number, and for
 * ever after. The loss then becomes NaN, so that whoever reads it knows. Buffers: squares [1], loss [1] in
 * place, failed [1] (f32) in place.
 */
export function checkStep(_o: object, _caps: Caps): Launch {
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> squares: array<f32>;
@group(0) @binding(1) var<storage, read_write> loss: array<f32>;
@group(0) @binding(2) var<storage, read_write> failed: array<f32>;
struct Params {
  n: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  if (failed[0] == 0f && ${finite('squares[0]')} && ${finite('loss[0]')}) { return; }
  failed[0] = 1f;
  loss[0] = bitcast<f32>(0x7fc00000u + u32(failed[0]) - 1u); // NaN; a constant one is an error in WGSL
}`;
  return { kernel: kernel('checkStep', code), params: { n: 1 }, grid: perElement(1) };
}

/**
 * Keeps a copy of a parameter while training goes well, and brings it back once it has failed.
 * Buffers: failed [1], parameter [n] in place, copy [n] in place.
 */
export function keepGood(o: { n: number }, _caps: Caps): Launch {
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> failed: array<f32>;
@group(0) @binding(1) var<storage, read_write> W: array<f32>;
@group(0) @binding(2) var<storage, read_write> K: array<f32>;
struct Params {
  n: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  if (failed[0] == 0f) { K[i] = W[i]; } else { W[i] = K[i]; }
}`;
  return { kernel: kernel('keepGood', code), params: { n: o.n }, grid: perElement(o.n) };
}

/**
 * Float64 reference of `adamW`: parameters, m and v after a step. `squares`: Σ gradient² of all parameters.
 */
export function adamWReference(
  o: AdamWStep,
  { g, w, m, v }: Record<'g' | 'w' | 'm' | 'v', ArrayLike<number>>,
  squares = 0,
): Record<'w' | 'm' | 'v', Float64Array> {
  const { step, lr, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0.01 } = o;
  const scale = o.maxNorm != null ? Math.min(1, o.maxNorm / (Math.sqrt(squares) + 1e-6)) : 1;
  const grad = Float64Array.from(g, (x) => x * scale);
  const m1 = Float64Array.from(m, (x, i) => beta1 * x + (1 - beta1) * grad[i]);
  const v1 = Float64Array.from(v, (x, i) => beta2 * x + (1 - beta2) * grad[i] ** 2);
  const w1 = Float64Array.from(w, (x, i) => {
    const direction = m1[i] / (1 - beta1 ** step) / (Math.sqrt(v1[i] / (1 - beta2 ** step)) + eps);
    return x - lr * weightDecay * x - lr * direction;
  });
  return { w: w1, m: m1, v: v1 };
}

/** Checks of the optimiser. */
export const optimizerFamily: Family = {
  name: 'optimizer',
  about:
    'AdamW in place over parameters, m, v [n]; Σ X² in parts, for clipping; whether a step went well, copies of parameters',
  examples(caps) {
    const examples: Example[] = [];
    const steps: Record<string, AdamWStep> = {
      'first step': { step: 1, lr: 1e-3 },
      'step 1000, no decay': { step: 1000, lr: 6e-4, beta2: 0.95, weightDecay: 0 },
      'clipped to norm 1': { step: 7, lr: 1e-2, maxNorm: 1, weightDecay: 0.1 },
      'below the norm': { step: 7, lr: 1e-2, maxNorm: 1e4 },
    };
    for (const n of [1, 39, 1000])
      for (const [title, o] of Object.entries(steps)) {
        const first = o.step === 1;
        const data = {
          g: noise(n, 1, 2).map((x, i) => (i % 7 ? x : 0)), // 0 / 0 must not happen
          w: noise(n, 2),
          m: first ? new Float32Array(n) : noise(n, 3),
          v: first ? new Float32Array(n) : noise(n, 4).map((x) => x * x),
        };
        const squares = 3 * data.g.reduce((a, x) => a + x * x, 0); // others have gradients too
        const after = adamWReference(o, data, squares);
        const clip = o.maxNorm != null ? [Float32Array.of(squares)] : [];
        const at = 1 + clip.length;
        examples.push({
          title: `AdamW, ${title} [${n}]`,
          launch: adamW({ ...o, n }, caps),
          buffers: [data.g, ...clip, data.w, data.m, data.v],
          expected: [
            { binding: at, values: after.w, atol: 1e-7, rtol: 1e-6 },
            { binding: at + 1, values: after.m, atol: 1e-7, rtol: 1e-6 },
            { binding: at + 2, values: after.v, atol: 1e-9, rtol: 1e-6 },
          ],
        });
      }
    const [w, k] = [noise(39, 6), noise(39, 7)];
    for (const failed of [0, 1]) {
      const values = failed ? k : w;
      examples.push({
        title: failed ? 'the copy is brought back' : 'a copy is kept',
        launch: keepGood({ n: 39 }, caps),
        buffers: [Float32Array.of(failed), w, k],
        expected: [1, 2].map((binding) => ({ binding, values, atol: 0, rtol: 0 })),
      });
    }
    const { NaN: none, POSITIVE_INFINITY: infinite } = Number;
    for (const [squares, loss, before, after] of [
      [2, 3, 0, 0],
      [0, 0, 0, 0],
      [none, 3, 0, 1],
      [infinite, 3, 0, 1],
      [2, none, 0, 1],
      [2, -infinite, 0, 1],
      [2, 3, 1, 1],
    ])
      examples.push({
        title: `|g|² ${squares}, loss ${loss}${before ? ', failed before' : ''}`,
        launch: checkStep({}, caps),
        buffers: [squares, loss, before].map((x) => Float32Array.of(x)),
        expected: [
          { binding: 1, values: [after ? none : loss], atol: 0, rtol: 0 },
          { binding: 2, values: [after], atol: 0, rtol: 0 },
        ],
      });
    for (const kind of [caps, ...otherKinds(caps)])
      for (const n of [1, 4097, 100_003]) {
        const x = noise(n, 5);
        const parts = sumSquaresParts(n);
        const [part, outOffset] = [Math.ceil(n / parts), 2];
        const values = new Float64Array(outOffset + parts).fill(9);
        for (let p = 0; p < parts; p++)
          values[outOffset + p] = x
            .subarray(p * part, (p + 1) * part)
            .reduce((a: number, v: number) => a + v * v, 0);
        examples.push({
          title: `Σ X² of ${n} in ${parts}`,
          launch: sumSquares({ n, outOffset }, kind),
          buffers: [x, new Float32Array(outOffset + parts).fill(9)],
          expected: [{ binding: 1, values, rtol: 1e-6, atol: 0 }],
        });
      }
    return examples;
  },
};
