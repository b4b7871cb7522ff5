/** Element-wise operations on two or three numbers: WGSL and float64 alike, with what flows back to each. */

import { orNan } from '../core/wgsl.js';
import type { Pointwise } from './functions.js';

/**
 * a^b, which WGSL leaves open below 0: whole exponents up to 64 by multiplication, as exact as can be. As C's `pow`: x⁰ = 1 and
 * 1^x = 1 even of NaN.
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
  if (a < 0f && !whole && !notFinite(b)) { return special(NAN); }
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
