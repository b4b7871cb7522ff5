/**
 * Activation functions of the MLP: as WGSL to be built into a matmul's epilogue, and as a kernel of its own
 * (when a hook has changed `mlp.hook_pre`). SoLU looks at all neurons of a position at once and is a kernel only.
 */

import { type Caps, type Example, type Family, type Launch, line, lineIndex, noise } from './kernel.js';
import { expBelowWgsl, LOWEST, softmaxReference } from './softmax.js';
import { accumulate, kernel, orNan, otherKinds, perElement, perElementMain, teamFor } from './wgsl.js';

/** `gelu_new`: GPT-2's tanh approximation; `gelu`: exact, x·Φ(x); `relu`. */
export type Activation = 'gelu_new' | 'gelu' | 'relu';

const SQRT_2_OVER_PI = 0.7978845608028654;
const SQRT_HALF = Math.SQRT1_2;

/**
 * erfc(a)·exp(a²) for a ≥ 0, as a polynomial in t = 1 / (1 + 0.4·a) without constant term (lowest power first):
 * least squares on Chebyshev nodes; gives erfc within 2.2e-8, GELU within 1e-8 before rounding.
 */
const ERFC = [
  0.22526932706034822, 0.23264969448288964, 0.15818357493245747, 0.3603506556837011, -0.3005288770628845,
  0.6195747332858761, -0.36361103065854444, 0.06811190086861815,
];

const source: Record<Activation, string> = {
  // ½(1 + tanh u) = 1 / (1 + e^(−2u)): one exp, no cancellation. Clamped, because e^88 overflows f32.
  gelu_new: /* wgsl */ `
fn act(x: f32) -> f32 {
  let u = clamp(${SQRT_2_OVER_PI}f * (x + 0.044715f * x * x * x), -43f, 43f);
  return x / (1f + exp(-2f * u));
}`,
  // x·Φ(x) = max(x, 0) − ½|x|·erfc(|x|/√2): no cancellation on either side. At 9 erfc is 0 in f32.
  gelu: /* wgsl */ `
fn act(x: f32) -> f32 {
  let a = min(abs(x) * ${SQRT_HALF}f, 9f);
  let t = 1f / (1f + 0.4f * a);
  let p = t * ${ERFC.reduceRight((inner, c) => (inner ? `(${c}f + t * ${inner})` : `${c}f`), '')};
  return ${orNan('max(x, 0f)', 'x')} - 0.5f * (a * ${Math.SQRT2}f) * p * exp(-a * a);
}`,
  relu: /* wgsl */ `
fn act(x: f32) -> f32 { return ${orNan('max(x, 0f)', 'x')}; }`,
};

/** WGSL that defines `fn act(x: f32) -> f32`. Finite for every finite x. */
export const activationWgsl = (act: Activation): string => source[act].trim();

/** Float64 reference. */
export function activate(act: Activation, x: number): number {
  if (act === 'relu') return Math.max(x, 0);
  if (act === 'gelu_new') return 0.5 * x * (1 + Math.tanh(SQRT_2_OVER_PI * (x + 0.044715 * x ** 3)));
  return x > 0 ? x - 0.5 * x * erfc(x * SQRT_HALF) : 0.5 * x * erfc(-x * SQRT_HALF);
}

/** Complementary error function: Taylor series near 0, continued fraction beyond (Abramowitz & Stegun 7.1.5, 7.1.14). */
function erfc(x: number): number {
  if (x < 0) return 2 - erfc(-x);
  if (x < 2) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-18; n++) {
      term *= -(x * x) / n;
      sum += term / (2 * n + 1);
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 80; n > 0; n--) fraction = n / 2 / (x + fraction);
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + fraction);
}

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
    ...otherKinds(caps).map((kind) => add('as on other adapters', 3, 333, 3, kind)),
  ];
}

/** Checks of the activation functions. */
export const activationFamily: Family = {
  name: 'activation',
  about: 'Y = act(X) for gelu_new, gelu (exact) and relu, X, Y [n]; solu over rows, X, Y [rows, cols]',
  examples: (caps) => [
    ...soluExamples(caps),
    ...(['gelu_new', 'gelu', 'relu'] as const).flatMap((act) => {
      const cases = {
        'ordinary values': noise(1003, 1, 6),
        'near zero': noise(257, 2, 1e-2),
        // tanh(89) is NaN on some adapters, and x³ overflows
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
