/**
 * A natural logarithm that is the same everywhere: engines and C libraries differ in the last bit of theirs.
 */

const SPLIT = 134217729; // 2^27 + 1: cuts a double into two halves (Dekker 1971)
const LN2 = [Math.LN2, 2.3190468138462996e-17] as const;
const TWO_THIRDS = [2 / 3, 3.700743415417188e-17] as const;
const bits = new DataView(new ArrayBuffer(8));

/** a · b − p, exactly, where p is the rounded product a · b. */
function rest(a: number, b: number, p: number): number {
  const [s, t] = [SPLIT * a, SPLIT * b];
  const [ah, bh] = [s - (s - a), t - (t - b)];
  const [al, bl] = [a - ah, b - bh];
  return ah * bh - p + ah * bl + al * bh + al * bl;
}

/**
 * ln x for normal positive x, and −∞ for 0: the nearest double, but for values so near the middle between two
 * that it hardly matters (1 in 300 000 in a comparison). Of the same values V8's `Math.log` gets 1 in 14
 * wrong by an ulp, glibc's 1 in 1300.
 *
 * x = 2^k · m with m near 1; ln m = 2 artanh s = 2s + 2s³/3 + 2s⁵/5 + … with s = (m − 1)/(m + 1), whose first
 * terms are sums of two doubles, a value and the rest that it cannot hold.
 */
export function log(x: number): number {
  if (x === 0) return -Infinity;
  bits.setFloat64(0, x);
  const head = bits.getUint32(0);
  bits.setUint32(0, (head & 0xfffff) | 0x3ff00000);
  let m = bits.getFloat64(0);
  let k = (head >>> 20) - 1023;
  if (m > Math.SQRT2) {
    m /= 2;
    k++;
  }
  const d = m + 1;
  const s = (m - 1) / d;
  const p = s * d;
  const sRest = (m - 1 - p - rest(s, d, p) - s * (m - (d - 1))) / d;
  const z = s * s; // z ≤ 0.03: the series needs 14 terms
  const zRest = rest(s, s, z) + 2 * s * sRest;
  let tail = 0; // 2/5 + 2z/7 + 2z²/9 + …
  for (let i = 31; i >= 5; i -= 2) tail = tail * z + 2 / i;

  const q = TWO_THIRDS[0] + z * tail;
  const qRest = z * tail - (q - TWO_THIRDS[0]) + TWO_THIRDS[1] + zRest * tail;
  const cube = s * z;
  const cubeRest = rest(s, z, cube) + s * zRest + sRest * z;
  const higher = cube * q;
  const higherRest = rest(cube, q, higher) + cube * qRest + cubeRest * q;
  const ln = 2 * s + higher;
  const lnRest = 2 * s - ln + higher + higherRest + 2 * sRest;
  if (k === 0) return ln + lnRest;

  const whole = k * LN2[0];
  const wholeRest = rest(k, LN2[0], whole) + k * LN2[1];
  const sum = whole + ln;
  const part = sum - whole;
  return sum + (whole - (sum - part) + (ln - part) + lnRest + wholeRest);
}
