/**
 * Derivatives of the MLP's activation functions: as WGSL to be built into a matmul's epilogue, and as a
 * kernel of its own. Each function is x times a gate (for gelu the probability Φ(x), for relu 0 or 1); with a
 * frozen gate the gradient is the gate, as if it were a constant.
 */

import { type Caps, type Example, type Family, type Launch, line, lineIndex, noise } from '../core/kernel.js';
import { accumulate, kernel, otherKinds, perElement, perElementMain, teamFor } from '../core/wgsl.js';
import { ACTIVATIONS, type Activation, definitionOf } from './activation-functions.js';
import { expBelowWgsl, LOWEST, softmaxReference } from './softmax.js';

/** What the gradient takes the function's gate for. */
export type Gate = 'live' | 'frozen';

/**
 * WGSL that defines `fn slope(x: f32) -> f32`, the derivative of an activation function. Finite for every
 * finite x.
 */
export function slopeWgsl(act: Activation, gate: Gate = 'live'): string {
  const { gate: own, rest } = definitionOf(act);
  return gate === 'frozen'
    ? `${own}\nfn slope(x: f32) -> f32 { return gate(x); }`
    : `${own}\n${rest}\nfn slope(x: f32) -> f32 { return gate(x) + rest(x); }`;
}

/** Float64 reference of the derivative. */
export function slopeReference(act: Activation, x: number, gate: Gate = 'live'): number {
  const { gateAt, slope } = definitionOf(act);
  return gate === 'frozen' ? gateAt(x) : slope(x);
}

/** dX = dY · act′(X), element by element. Buffers: X [n], dY [n], dX [n]. */
export function activationBackward(o: { n: number; act: Activation; gate?: Gate }, _caps: Caps): Launch {
  const { n, act, gate = 'live' } = o;
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> dY: array<f32>;
@group(0) @binding(2) var<storage, read_write> dX: array<f32>;
struct Params {
  n: u32,
}
@group(1) @binding(0) var<uniform> params: Params;

${slopeWgsl(act, gate)}
${perElementMain()}
  dX[i] = dY[i] * slope(X[i]);
}`;
  return {
    kernel: kernel(`activationBackward/${act}/${gate}`, code),
    params: { n },
    grid: perElement(n),
  };
}

/**
 * dX of Y = X · softmax(X), row by row; with a frozen gate the softmax counts as a constant.
 * Buffers: X [rows, cols], dY [rows, cols], dX [rows, cols].
 */
export function soluBackward(o: { rows: number; cols: number; gate?: Gate }, caps: Caps): Launch {
  const { rows, cols, gate = 'live' } = o;
  const team = teamFor(caps);
  const each = { first: 'at + lane', step: `${team.threads}u`, end: 'end' };
  const loop = `for (var i = at + lane; i < end; i += ${team.threads}u)`;
  const code = () => /* wgsl */ `${team.enable}
@group(0) @binding(0) var<storage, read> X: array<f32>;
@group(0) @binding(1) var<storage, read> dY: array<f32>;
@group(0) @binding(2) var<storage, read_write> dX: array<f32>;
struct Params {
  rows: u32,
  cols: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${expBelowWgsl}
${team.reduce('highest', 'f32', 'max(a, b)')}
${team.reduce('total', 'vec2f')}

@compute @workgroup_size(${team.threads})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = ${lineIndex};
  if (row >= params.rows) { return; }
  let at = row * params.cols;
  let end = at + params.cols;
  var top = ${LOWEST};
  ${loop} { top = max(top, X[i]); }
  top = highest(top, lane);
  // of the weights, and of the gradient of each weight, weighted
  ${accumulate({ name: 'sums', ...each, neutral: 'vec2f()', term: (i) => `expBelow(X[${i}] - top) * vec2f(1f, X[${i}] * dY[${i}])` })}
  sums = total(sums, lane);
  ${loop} { dX[i] = expBelow(X[i] - top) / sums.x * (dY[i]${gate === 'live' ? ' * (1f + X[i]) - sums.y / sums.x' : ''}); }
}`;
  return {
    kernel: kernel(`soluBackward/${gate}/${team.name}`, code),
    params: { rows, cols },
    grid: line(rows),
  };
}

/** Float64 reference of one row. */
export function soluBackwardReference(x: readonly number[], dy: readonly number[], gate: Gate): number[] {
  const p = softmaxReference(x);
  const mean = p.reduce((a, w, i) => a + w * x[i] * dy[i], 0);
  return x.map((v, i) => p[i] * (gate === 'live' ? dy[i] * (1 + v) - mean : dy[i]));
}

/** Checks of the derivatives. */
export const activationBackwardFamily: Family = {
  name: 'activation-backward',
  about:
    'dX = dY · act′(X) for gelu_new, gelu (exact), relu, silu and others, and solu, gates live or frozen',
  examples(ownCaps) {
    const cases = {
      'ordinary values': noise(1003, 1, 6),
      'near zero': noise(257, 2, 1e-2),
      extremes: Float32Array.of(0, -0, 1e-30, 9.9, -9.9, 13, -13, 40, -40, 100, -100, 1e4, -1e4, 1e15, -1e15),
    };
    const examples: Example[] = [];
    for (const act of ACTIVATIONS)
      for (const gate of ['live', 'frozen'] as const)
        for (const [what, x] of Object.entries(cases)) {
          const dy = noise(x.length, 3).map((v) => v + 2);
          examples.push({
            title: `${act}, gate ${gate}, ${what}`,
            launch: activationBackward({ n: x.length, act, gate }, ownCaps),
            buffers: [x, dy, x.length],
            expected: [
              {
                binding: 2,
                values: Array.from(x, (v, i) => dy[i] * slopeReference(act, v, gate)),
                atol: 2e-6,
                rtol: 2e-6,
              },
            ],
          });
        }
    const solu = (title: string, rows: number, cols: number, scale: number, gate: Gate, caps = ownCaps) => {
      const x = noise(rows * cols, cols, scale);
      const dy = noise(rows * cols, 5);
      const row = (a: Float32Array, r: number) => Array.from(a.subarray(r * cols, (r + 1) * cols));
      examples.push({
        title: `solu, gate ${gate}, ${title} [${rows}, ${cols}]`,
        launch: soluBackward({ rows, cols, gate }, caps),
        buffers: [x, dy, x.length],
        expected: [
          {
            binding: 2,
            values: Array.from({ length: rows }, (_, r) =>
              soluBackwardReference(row(x, r), row(dy, r), gate),
            ).flat(),
            atol: 1e-6 * Math.max(1, scale),
            rtol: 2e-5,
          },
        ],
      });
    };
    for (const gate of ['live', 'frozen'] as const) {
      solu('ordinary', 5, 50, 3, gate);
      solu('one neuron', 4, 1, 3, gate);
      solu('toy models', 3, 2048, 6, gate);
    }
    solu('pre-activations of ±1e4', 3, 77, 1e4, 'live');
    for (const kind of otherKinds(ownCaps)) solu('as on other adapters', 3, 2121, 3, 'live', kind);
    return examples;
  },
};
