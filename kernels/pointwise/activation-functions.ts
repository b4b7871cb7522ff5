/**
 * Activation functions of the MLP that look at one neuron: each as WGSL (the function, and the parts of its
 * derivative) and in float64. Each is act(0) + x · gate(x): for gelu the gate is the probability Φ(x), for
 * relu 0 or 1.
 */

import { orNan } from '../core/wgsl.js';

/** One function. WGSL is finite for every finite x whose value is. */
interface Definition {
  /** `fn act(x: f32) -> f32` */
  readonly act: string;
  /** `fn gate(x: f32) -> f32`, (act(x) − act(0)) / x, with its limit at 0. */
  readonly gate: string;
  /** `fn rest(x: f32) -> f32`, what the gate adds to the derivative by changing: x · gate′(x). */
  readonly rest: string;
  /** The function, its gate and its derivative in float64. */
  readonly value: (x: number) => number;
  readonly gateAt: (x: number) => number;
  readonly slope: (x: number) => number;
}

const SQRT_2_OVER_PI = 0.7978845608028654;
const SQRT_HALF = Math.SQRT1_2;

/**
 * erfc(a)·exp(a²) for a ≥ 0, as a polynomial in t = 1 / (1 + 0.4·a) without constant term (lowest power
 * first): least squares on Chebyshev nodes; gives erfc within 2.2e-8, GELU within 1e-8 before rounding.
 */
const ERFC = [
  0.22526932706034822, 0.23264969448288964, 0.15818357493245747, 0.3603506556837011, -0.3005288770628845,
  0.6195747332858761, -0.36361103065854444, 0.06811190086861815,
];

/** WGSL of 1 / (1 + e^(−x)). Clamped, because e^88 overflows f32. */
const SIGMOID = 'fn sigmoid(x: f32) -> f32 { return 1f / (1f + exp(-clamp(x, -86f, 86f))); }';
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/**
 * WGSL of tanh(x) / x: near 0 by its series, beyond without the built-in tanh, which overflows on some
 * adapters.
 */
const TANH_OVER = /* wgsl */ `
fn tanhOver(x: f32) -> f32 {
  let q = x * x;
  let t = 1f - 2f / (1f + exp(2f * min(abs(x), 43f)));
  let near = 1f + q * (-0.33333334f + q * (0.13333334f + q * (-0.05396825f + q * 0.021869488f)));
  return select(t / max(abs(x), 1e-30f), near, abs(x) < 0.3f);
}`;
const tanhOver = (x: number): number => (x === 0 ? 1 : Math.tanh(x) / x);

/** x · σ(s·x), and its parts. */
const swish = (s: number): Definition => ({
  act: `${SIGMOID}\nfn act(x: f32) -> f32 { return x * sigmoid(${s}f * x); }`,
  gate: `${SIGMOID}\nfn gate(x: f32) -> f32 { return sigmoid(${s}f * x); }`,
  rest: `fn rest(x: f32) -> f32 { let v = clamp(${s}f * x, -60f, 60f); return v * sigmoid(v) * sigmoid(-v); }`,
  value: (x) => x * sigmoid(s * x),
  gateAt: (x) => sigmoid(s * x),
  slope: (x) => sigmoid(s * x) * (1 + (Math.abs(s * x) > 700 ? 0 : s * x * sigmoid(-s * x))),
});

/** Two straight lines that meet at 0. */
const bent = (below: number): Definition => ({
  act: `fn act(x: f32) -> f32 { return select(${below}f * x, x, x > 0f); }`,
  gate: `fn gate(x: f32) -> f32 { return select(${below}f, 1f, x > 0f); }`,
  rest: 'fn rest(x: f32) -> f32 { return 0f; }',
  value: (x) => (x > 0 ? x : below * x),
  gateAt: (x) => (x > 0 ? 1 : below),
  slope: (x) => (x > 0 ? 1 : below),
});

const GELU = /* wgsl */ `
fn act(x: f32) -> f32 {
  let a = min(abs(x) * ${SQRT_HALF}f, 9f);
  let t = 1f / (1f + 0.4f * a);
  let p = t * ${ERFC.reduceRight((inner, c) => (inner ? `(${c}f + t * ${inner})` : `${c}f`), '')};
  return ${orNan('max(x, 0f)', 'x')} - 0.5f * (a * ${Math.SQRT2}f) * p * exp(-a * a);
}`;
const gelu = (x: number): number =>
  x > 0 ? x - 0.5 * x * erfc(x * SQRT_HALF) : 0.5 * x * erfc(-x * SQRT_HALF);
const tanhOf = (x: number): number => Math.tanh(SQRT_2_OVER_PI * (x + 0.044715 * x ** 3));

/** xIELU's parameters (Huang & Schlag 2024), as TransformerLens fixes them. */
const XIELU = { alpha: 0.8, beta: 0.5 };
/** WGSL of (e^x − 1) / x for x ≤ 0. */
const EXPM1_OVER = /* wgsl */ `
fn expm1Over(x: f32) -> f32 {
  let near = 1f + x * (0.5f + x * (0.16666667f + x * (0.041666668f + x * (0.008333334f + x * 0.0013888889f))));
  return select((exp(max(x, -87f)) - 1f) / min(x, -1e-30f), near, x > -0.2f);
}`;

const definitions = {
  gelu_new: {
    // ½(1 + tanh u) = 1 / (1 + e^(−2u)): one exp, no cancellation. Clamped, because e^88 overflows f32.
    act: /* wgsl */ `
fn act(x: f32) -> f32 {
  let u = clamp(${SQRT_2_OVER_PI}f * (x + 0.044715f * x * x * x), -43f, 43f);
  return x / (1f + exp(-2f * u));
}`,
    // so gate′ = gate(x) · gate(−x) · 2u′: no cancellation
    gate: /* wgsl */ `
fn gate(x: f32) -> f32 {
  let u = 0.7978845608028654f * (x + 0.044715f * x * x * x);
  return 1f / (1f + exp(clamp(-2f * u, -86f, 86f)));
}`,
    rest: /* wgsl */ `
fn rest(x: f32) -> f32 {
  let v = clamp(x, -12f, 12f);
  return v * gate(v) * gate(-v) * 1.5957691216057308f * (1f + 0.134145f * v * v);
}`,
    value: (x) => 0.5 * x * (1 + tanhOf(x)),
    gateAt: (x) => 0.5 * (1 + tanhOf(x)),
    slope: (x) => {
      const t = tanhOf(x);
      const steep = Math.abs(x) > 40 ? 0 : 1 - t * t; // x² · 0, however large x is
      return 0.5 * (1 + t) + 0.5 * x * steep * SQRT_2_OVER_PI * (1 + 3 * 0.044715 * x * x);
    },
  },
  gelu: {
    // x·Φ(x) = max(x, 0) − ½|x|·erfc(|x|/√2): no cancellation on either side. At 9 erfc is 0 in f32.
    act: GELU,
    gate: /* wgsl */ `${GELU}
fn gate(x: f32) -> f32 { // Φ(x); at 0 from just beside it
  let v = select(x, 1e-10f, abs(x) < 1e-10f);
  return act(v) / v;
}`,
    rest: /* wgsl */ `
fn rest(x: f32) -> f32 {
  let v = clamp(x, -12f, 12f);
  return v * 0.3989422804014327f * exp(-0.5f * v * v);
}`,
    value: gelu,
    gateAt: (x) => (x === 0 ? 0.5 : gelu(x) / x),
    slope: (x) => (x === 0 ? 0.5 : gelu(x) / x) + (x * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI),
  },
  relu: {
    ...bent(0),
    act: `fn act(x: f32) -> f32 { return ${orNan('max(x, 0f)', 'x')}; }`,
    value: (x) => Math.max(x, 0),
  },
  leaky_relu: bent(0.01),
  linear: bent(1),
  silu: swish(1),
  quick_gelu: swish(1.702),
  relu2: {
    act: `fn act(x: f32) -> f32 { let v = ${orNan('max(x, 0f)', 'x')}; return v * v; }`,
    gate: 'fn gate(x: f32) -> f32 { return max(x, 0f); }',
    rest: 'fn rest(x: f32) -> f32 { return max(x, 0f); }',
    value: (x) => Math.max(x, 0) ** 2,
    gateAt: (x) => Math.max(x, 0),
    slope: (x) => 2 * Math.max(x, 0),
  },
  tanh: {
    act: `${TANH_OVER}\nfn act(x: f32) -> f32 { return x * tanhOver(x); }`,
    gate: `${TANH_OVER}\nfn gate(x: f32) -> f32 { return tanhOver(x); }`,
    rest: 'fn rest(x: f32) -> f32 { let t = x * tanhOver(x); return 1f - t * t - tanhOver(x); }',
    value: Math.tanh,
    gateAt: tanhOver,
    slope: (x) => 1 - Math.tanh(x) ** 2,
  },
  sigmoid: {
    act: `${SIGMOID}\nfn act(x: f32) -> f32 { return ${orNan('sigmoid(x)', 'x')}; }`,
    gate: `${SIGMOID}${TANH_OVER}\nfn gate(x: f32) -> f32 { return 0.25f * tanhOver(0.5f * x); }`,
    rest: 'fn rest(x: f32) -> f32 { return sigmoid(x) * sigmoid(-x) - gate(x); }',
    value: sigmoid,
    gateAt: (x) => 0.25 * tanhOver(0.5 * x),
    slope: (x) => sigmoid(x) * sigmoid(-x),
  },
  xielu: {
    act: /* wgsl */ `${EXPM1_OVER}
fn act(x: f32) -> f32 {
  let below = x * (${XIELU.alpha}f * (expm1Over(min(x, 0f)) - 1f) + ${XIELU.beta}f);
  return select(below, x * (${XIELU.alpha}f * x + ${XIELU.beta}f), x > 0f);
}`,
    gate: /* wgsl */ `${EXPM1_OVER}
fn gate(x: f32) -> f32 {
  let below = ${XIELU.alpha}f * (expm1Over(min(x, 0f)) - 1f) + ${XIELU.beta}f;
  return select(below, ${XIELU.alpha}f * x + ${XIELU.beta}f, x > 0f);
}`,
    rest: /* wgsl */ `
fn rest(x: f32) -> f32 {
  let v = min(x, 0f);
  return select(${XIELU.alpha}f * (exp(max(v, -87f)) - expm1Over(v)), ${XIELU.alpha}f * x, x > 0f);
}`,
    value: (x) => {
      const { alpha, beta } = XIELU;
      return x > 0 ? alpha * x * x + beta * x : (Math.expm1(x) - x) * alpha + beta * x;
    },
    gateAt: (x) => {
      const { alpha, beta } = XIELU;
      return x > 0 ? alpha * x + beta : x === 0 ? beta : alpha * (Math.expm1(x) / x - 1) + beta;
    },
    slope: (x) => (x > 0 ? 2 * XIELU.alpha * x : XIELU.alpha * Math.expm1(x)) + XIELU.beta,
  },
} satisfies Record<string, Definition>;

/**
 * `gelu_new`: GPT-2's tanh approximation; `gelu`: exact, x·Φ(x); `silu`: x·σ(x); `quick_gelu`: x·σ(1.702 x);
 * `relu2`: max(x, 0)²; `leaky_relu`: 0.01 x below 0; `xielu` with fixed parameters; `linear`: x itself.
 */
export type Activation = keyof typeof definitions;

/** All of them. */
export const ACTIVATIONS = Object.keys(definitions) as Activation[];

/** What an activation function is. */
export const definitionOf = (act: Activation): Definition => definitions[act];

/** WGSL that defines `fn act(x: f32) -> f32`. */
export const activationWgsl = (act: Activation): string => definitions[act].act.trim();

/** Float64 reference. */
export const activate = (act: Activation, x: number): number => definitions[act].value(x);

/**
 * Complementary error function: Taylor series near 0, continued fraction beyond (Abramowitz & Stegun 7.1.5,
 * 7.1.14).
 */
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
