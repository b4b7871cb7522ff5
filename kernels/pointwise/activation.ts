/**
 * Activation functions of the MLP: as WGSL to be built into a matmul's epilogue, and as a kernel of its own
 * (when a hook has changed `mlp.hook_pre`). SoLU looks at all neurons of a position at once and is a kernel
 * only.
 */

import { type Caps, type Example, type Family, type Launch, line, lineIndex, noise } from '../core/kernel.js';
import { accumulate, kernel, otherKinds, perElement, perElementMain, teamFor } from '../core/wgsl.js';
import { ACTIVATIONS, type Activation, activate, activationWgsl } from './activation-functions.js';
import { expBelowWgsl, LOWEST, softmaxReference } from './softmax.js';

/** Y = act(X), element by element. Buffers: X [n], Y [n]. */
export function activation(o: { n: number; act: Activation }, _caps: Caps): Launch {
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;
struct Params {
  n: u32,
}
@group(1) @binding(0) var<uniform> params: Params;

${activationWgsl(o.act)}
${perElementMain()}
  Y[i] = act(X[i]);
}`;
  return { kernel: kernel(`activation/${o.act}`, code), params: { n: o.n }, grid: perElement(o.n) };
}

/**
 * SoLU (Elhage et al. 2022): Y = X · softmax(X), row by row; cannot overflow.
 * Buffers: X [rows, cols], Y [rows, cols].
 */
export function solu(o: { rows: number; cols: number }, caps: Caps): Launch {
  const team = teamFor(caps);
  const step = `${team.threads}u`;
  const code = () => /* wgsl */ `${team.enable}
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read_write> Y: array<f32>;
struct Params {
  rows: u32,
  cols: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${expBelowWgsl}
${team.reduce('highest', 'f32', 'max(a, b)')}
${team.reduce('total', 'f32')}

@compute @workgroup_size(${team.threads})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = ${lineIndex};
  if (row >= params.rows) { return; }
  let at = row * params.cols;
  let end = at + params.cols;
  var top = ${LOWEST};
  for (var i = at + lane; i < end; i += ${step}) { top = max(top, X[i]); }
  top = highest(top, lane);
  ${accumulate({ name: 'sum', first: 'at + lane', step, end: 'end', term: (i) => `expBelow(X[${i}] - top)` })}
  sum = total(sum, lane);
  for (var i = at + lane; i < end; i += ${step}) { Y[i] = X[i] * (expBelow(X[i] - top) / sum); }
}`;
  return {
    kernel: kernel(`solu/${team.name}`, code),
    params: { rows: o.rows, cols: o.cols },
    grid: line(o.rows),
  };
}

/** Float64 reference of one row. */
export function soluReference(row: readonly number[]): number[] {
  const weights = softmaxReference(row);
  return row.map((x, i) => x * weights[i]);
}

function soluExamples(caps: Caps): Example[] {
  const add = (title: string, rows: number, cols: number, scale: number, kind = caps): Example => {
    const x = noise(rows * cols, cols, scale);
    const values = Array.from({ length: rows }, (_, r) => Array.from(x.subarray(r * cols, (r + 1) * cols)));
    return {
      title: `solu, ${title} [${rows}, ${cols}]`,
      launch: solu({ rows, cols }, kind),
      buffers: [x, x.length],
      expected: [{ binding: 1, values: values.flatMap(soluReference), atol: 1e-6, rtol: 2e-5 }],
    };
  };
  return [
    add('ordinary', 5, 50, 3),
    add('one neuron', 4, 1, 3),
    add('toy models', 3, 2048, 6),
    add('pre-activations of ±1e4', 3, 77, 1e4),
    ...otherKinds(caps).map((kind) => add('as on other adapters', 3, 2121, 3, kind)),
  ];
}

/** Checks of the activation functions. */
export const activationFamily: Family = {
  name: 'activation',
  about:
    'Y = act(X), X, Y [n], for gelu_new, gelu (exact), relu, silu and others; solu over rows, X, Y [rows, cols]',
  examples: (caps) => [
    ...soluExamples(caps),
    ...ACTIVATIONS.flatMap((act) => {
      const cases = {
        'ordinary values': noise(1003, 1, 6),
        'near zero': noise(257, 2, 1e-2),
        // tanh(89) is NaN on some adapters, and x³ overflows
        'no number': Float32Array.of(Number.NaN, 1, Number.NaN),
        extremes: Float32Array.of(0, -0, 9.9, -9.9, 13, -13, 40, -40, 100, -100, 1e4, -1e4, 1e15, -1e15),
      };
      return Object.entries(cases).map(([what, x]) => ({
        title: `${act}, ${what}`,
        launch: activation({ n: x.length, act }, caps),
        buffers: [x, x.length],
        expected: [{ binding: 1, values: Array.from(x, (v) => activate(act, v)), atol: 2e-7, rtol: 1e-6 }],
      }));
    }),
  ],
};
