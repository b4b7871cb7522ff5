/**
 * Element-wise operations on one number, two or three: WGSL and float64 alike, with what flows back to each.
 * Values are IEEE's: log 0 = −∞, and NaN stays NaN; shaders need help with both (see `specialsWgsl`).
 */

import { orNan } from '../core/wgsl.js';
import { slopeWgsl } from './activation-backward.js';
import { type Activation, activate, activationWgsl } from './activation-functions.js';

/** An element-wise operation on inputs a, b, c. */
export interface Pointwise {
  /** WGSL expression of the inputs. */
  readonly wgsl: string;
  /** WGSL functions that the expression calls. */
  readonly lib?: string;
  /** Float64 reference. Of comparisons 0 or 1. */
  readonly f64: (...inputs: number[]) => number;
  /** For each input the WGSL of dY · ∂Y/∂input, in `dy` and the inputs; null: none flows there. */
  readonly gradients: readonly (string | null)[];
  /** WGSL functions that the gradients call. */
  readonly gradientLib?: string;
  /**
   * What the expression is: a number (the default), a truth value, which is stored as 1 or 0, or an integer.
   */
  readonly gives?: 'bool' | 'u32';
}

/** ln(1 + u) for u in [−0.5, 1], by 2 artanh(u / (2 + u)): to an ulp or two, where log(1 + u) forgets u. */
const LOG_NEAR = /* wgsl */ `
fn logNear(u: f32) -> f32 {
  let s = u / (2f + u);
  let q = s * s;
  return 2f * s * (1f + q * (0.33333334f + q * (0.2f + q * (0.14285715f + q * (0.11111111f + q * (0.09090909f + q * (0.07692308f + q * 0.06666667f)))))));
}
fn logOf(x: f32) -> f32 { return select(log(x), logNear(x - 1f), x > 0.5f && x < 2f); }
fn log1pOf(u: f32) -> f32 { return select(log(1f + u), logNear(u), u > -0.5f && u < 1f); }`;

/** tanh without the built-in one, which overflows on some adapters; near 0 by its series. */
const TANH = /* wgsl */ `
fn tanhOf(x: f32) -> f32 {
  let q = x * x;
  let near = x * (1f + q * (-0.33333334f + q * (0.13333334f + q * (-0.05396825f + q * 0.021869488f))));
  let far = sign(x) * (1f - 2f / (1f + exp(2f * min(abs(x), 43f))));
  return select(far, near, abs(x) < 0.3f);
}`;

/** Clamped, because e^88 overflows f32. */
const SIGMOID = 'fn sigmoidOf(x: f32) -> f32 { return 1f / (1f + exp(-clamp(x, -86f, 86f))); }';

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
/** To the nearest whole number, halves to the even one, as WGSL rounds. */
const roundEven = (x: number): number => {
  const r = Math.round(x);
  return Math.abs(x % 1) === 0.5 && r % 2 !== 0 ? r - 1 : r;
};

/** An activation function of the MLP. Its limit at −∞ is a product −∞ · 0, which is NaN, as in PyTorch. */
const activation = (act: Activation): Pointwise => ({
  wgsl: 'select(act(a), special(NAN), a == special(INFINITY | 0x80000000u))',
  lib: activationWgsl(act),
  f64: (a) => (Math.abs(a) === Number.POSITIVE_INFINITY ? (a > 0 ? a : Number.NaN) : activate(act, a)),
  gradients: ['dy * slope(a)'],
  gradientLib: slopeWgsl(act),
});

/** A function with steps: its derivative is 0 wherever it has one. */
const steps = (wgsl: string, f64: (a: number) => number): Pointwise => ({
  wgsl: `select(${wgsl}, a, notFinite(a))`,
  f64,
  gradients: ['0f * dy'],
});

/** The functions. */
export const functions = {
  exp: {
    wgsl: 'select(exp(a), special(NAN), isNan(a))', // SwiftShader's exp(NaN) is ∞
    f64: Math.exp,
    gradients: ['dy * exp(a)'],
  },
  log: {
    // SwiftShader's log(0) is −88.03.
    wgsl: 'select(select(logOf(a), special(NAN), a < 0f || isNan(a)), special(INFINITY | 0x80000000u), a == 0f)',
    lib: LOG_NEAR,
    f64: Math.log,
    gradients: ['dy / a'],
  },
  log1p: {
    wgsl: 'select(select(log1pOf(a), special(NAN), a < -1f || isNan(a)), special(INFINITY | 0x80000000u), a == -1f)',
    lib: LOG_NEAR,
    f64: Math.log1p,
    gradients: ['dy / (1f + a)'],
  },
  sqrt: {
    wgsl: 'select(sqrt(a), special(NAN), a < 0f || isNan(a))',
    f64: Math.sqrt,
    gradients: ['dy * 0.5f / sqrt(a)'],
  },
  rsqrt: {
    wgsl: 'select(1f / sqrt(a), special(NAN), a < 0f || isNan(a))',
    f64: (a) => 1 / Math.sqrt(a),
    gradients: ['dy * -0.5f / (a * sqrt(a))'],
  },
  neg: { wgsl: '-a', f64: (a) => -a, gradients: ['-dy'] },
  abs: { wgsl: 'abs(a)', f64: Math.abs, gradients: ['dy * sign(a)'] },
  square: { wgsl: 'a * a', f64: (a) => a * a, gradients: ['2f * a * dy'] },
  sign: { wgsl: orNan('sign(a)', 'a'), f64: Math.sign, gradients: ['0f * dy'] },
  round: steps('round(a)', roundEven),
  floor: steps('floor(a)', Math.floor),
  ceil: steps('ceil(a)', Math.ceil),
  relu: {
    wgsl: orNan('max(a, 0f)', 'a'),
    f64: (a) => Math.max(a, 0),
    gradients: ['select(0f, dy, a > 0f)'],
  },
  gelu: activation('gelu'),
  geluNew: activation('gelu_new'),
  silu: activation('silu'),
  tanh: {
    wgsl: orNan('tanhOf(a)', 'a'),
    lib: TANH,
    f64: Math.tanh,
    // sech², without the cancellation of 1 − tanh²
    gradients: ['dy * 4f * exp(-2f * abs(a)) / ((1f + exp(-2f * abs(a))) * (1f + exp(-2f * abs(a))))'],
  },
  sigmoid: {
    wgsl: orNan('sigmoidOf(a)', 'a'),
    lib: SIGMOID,
    f64: sigmoid,
    gradients: ['dy * sigmoidOf(a) * sigmoidOf(-a)'],
    gradientLib: SIGMOID,
  },
  softplus: {
    wgsl: orNan('max(a, 0f) + log1pOf(exp(-abs(a)))', 'a'),
    lib: LOG_NEAR,
    f64: (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))),
    gradients: ['dy * sigmoidOf(a)'],
    gradientLib: SIGMOID,
  },
  /** The number itself, of integers made a float. */
  float: { wgsl: 'a', f64: (a) => a, gradients: ['dy'] },
  /** Towards 0; below 0 and NaN give 0. */
  integer: {
    wgsl: 'select(u32(clamp(a, 0f, 4294967040f)), 0u, isNan(a))',
    f64: (a) => (a > 0 ? Math.trunc(Math.min(a, 4294967040)) : 0),
    gradients: [null],
    gives: 'u32',
  },
} satisfies Record<string, Pointwise>;

/** Name of an element-wise function. */
export type UnaryOp = keyof typeof functions;

// ---- two and three numbers
// ---------------------------------------------------------------------------------------

/**
 * a^b, which WGSL leaves open below 0: whole exponents up to 64 by multiplication, as exact as can be. As C's
 * `pow`: x⁰ = 1 and 1^x = 1 even of NaN.
 */
const POWER = /* wgsl */ `
fn wholePower(a: f32, n: u32) -> f32 {
  var y = 1f;
  var base = a;
  for (var rest = n; rest > 0u; rest >>= 1u) {
    if ((rest & 1u) == 1u) { y *= base; }
    base *= base;
  }
  return y;
}
fn power(a: f32, b: f32) -> f32 {
  if (b == 0f || a == 1f) { return 1f; }
  if (isNan(a) || isNan(b)) { return special(NAN); }
  let whole = floor(b) == b;
  let size = abs(b);
  if (whole && size <= 64f) {
    let y = wholePower(a, u32(size));
    return select(y, 1f / y, b < 0f);
  }
  if (a < 0f && !whole && !notFinite(a) && !notFinite(b)) { return special(NAN); }
  let x = abs(a);
  var y = pow(x, b);
  if (x == 1f) { y = 1f; }
  else if (x == 0f || notFinite(x) || notFinite(b)) { y = select(0f, special(INFINITY), (x > 1f) == (b > 0f)); }
  let odd = whole && size < 16777216f && (u32(size) & 1u) == 1u;
  return select(y, -y, odd && bitcast<u32>(a) >= 0x80000000u);
}`;

/** a ⋚ b, false where either is NaN. */
const compare = (op: string, f64: (a: number, b: number) => boolean): Pointwise => ({
  wgsl: op === '!=' ? 'a != b || isNan(a) || isNan(b)' : `a ${op} b && !isNan(a) && !isNan(b)`,
  f64: (a, b) => Number(f64(a, b)),
  gradients: [null, null],
  gives: 'bool',
});

/** The larger or smaller of two: NaN where one is, and where they are equal each has half of the gradient. */
const extreme = (fn: 'max' | 'min', above: '>' | '<'): Pointwise => ({
  wgsl: orNan(orNan(`${fn}(a, b)`, 'b'), 'a'),
  f64: (a, b) => Math[fn](a, b),
  gradients: [
    `dy * select(select(0f, 1f, a ${above} b), 0.5f, a == b)`,
    `dy * select(select(0f, 1f, b ${above} a), 0.5f, a == b)`,
  ],
});

/** Of two numbers. */
export const arithmetic = {
  add: { wgsl: 'a + b', f64: (a, b) => a + b, gradients: ['dy', 'dy'] },
  sub: { wgsl: 'a - b', f64: (a, b) => a - b, gradients: ['dy', '-dy'] },
  mul: { wgsl: 'a * b', f64: (a, b) => a * b, gradients: ['dy * b', 'dy * a'] },
  div: { wgsl: 'a / b', f64: (a, b) => a / b, gradients: ['dy / b', '-(dy / b) * (a / b)'] },
  pow: {
    wgsl: 'power(a, b)',
    lib: POWER,
    // JavaScript has NaN for (±1)^±∞, and 1^NaN
    f64: (a, b) => (a === 1 || (a === -1 && Math.abs(b) === Number.POSITIVE_INFINITY) ? 1 : a ** b),
    gradients: [
      'select(dy * b * power(a, b - 1f), 0f * dy, b == 0f)',
      'dy * select(power(a, b) * log(a), 0f, a == 0f && b >= 0f)',
    ],
    gradientLib: POWER,
  },
  maximum: extreme('max', '>'),
  minimum: extreme('min', '<'),
  gt: compare('>', (a, b) => a > b),
  ge: compare('>=', (a, b) => a >= b),
  lt: compare('<', (a, b) => a < b),
  le: compare('<=', (a, b) => a <= b),
  eq: compare('==', (a, b) => a === b),
  ne: compare('!=', (a, b) => a !== b),
} satisfies Record<string, Pointwise>;

/** Of three numbers. */
export const choices = {
  /** b where a is not 0, else c. */
  where: {
    wgsl: 'select(c, b, a != 0f || isNan(a))',
    f64: (a, b, c) => (a !== 0 ? b : c),
    gradients: [null, 'select(0f, dy, a != 0f || isNan(a))', 'select(dy, 0f, a != 0f || isNan(a))'],
  },
  /** a within [b, c]. */
  clamp: {
    wgsl: orNan('min(max(a, b), c)', 'a'),
    f64: (a, b, c) => Math.min(Math.max(a, b), c),
    gradients: ['select(0f, dy, a > b && a < c)', null, null],
  },
} satisfies Record<string, Pointwise>;

/** Name of an operation on two numbers. */
export type BinaryOp = keyof typeof arithmetic;
/** Name of an operation on three numbers. */
export type TernaryOp = keyof typeof choices;
