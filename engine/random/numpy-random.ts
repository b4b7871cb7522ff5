/**
 * NumPy's legacy generator, `numpy.random.RandomState`: published experiments that corrupt activations name
 * its seed, so their noise can be drawn again. Mersenne Twister (Matsumoto and Nishimura 1998); normals by
 * Marsaglia's polar method, two at a time; gamma variates by Marsaglia and Tsang (2000).
 */

import { log } from './log.js';

const WORDS = 624;
const SHIFT = 397;

/**
 * A stream of random numbers; each call goes on where the last one ended. Uniform numbers have NumPy's bits.
 * So have normals, except that of about one in 3000 the last bit or two differ: there the logarithm of the C
 * library that NumPy calls is not the nearest double, and this one is. Rounded to f32 they are the same.
 */
export class RandomState {
  readonly #words = new Uint32Array(WORDS);
  #next = WORDS;
  /** The second of two normals, which belongs to the next draw. */
  #spare: number | null = null;

  /** @throws when the seed is not an integer in [0, 2^32). */
  constructor(seed: number) {
    if (!Number.isInteger(seed) || seed < 0 || seed >= 2 ** 32)
      throw new Error(`seed ${seed}: RandomState takes an integer from 0 to ${2 ** 32 - 1}`);
    const w = this.#words;
    w[0] = seed;
    for (let i = 1; i < WORDS; i++) w[i] = Math.imul(1812433253, w[i - 1] ^ (w[i - 1] >>> 30)) + i;
  }

  /** n numbers from the normal distribution: `randn(n)`, or `randn(...shape)` of that size, in C order. */
  randn(n: number): Float64Array {
    return new Float64Array(n).map(() => this.#normal());
  }

  /** n numbers from [low, high): `uniform(low, high, n)`. */
  uniform(low: number, high: number, n: number): Float64Array {
    return new Float64Array(n).map(() => low + (high - low) * this.#double());
  }

  /** n numbers from the χ² distribution: `chisquare(df, n)`. @throws when df is not above 0. */
  chisquare(df: number, n: number): Float64Array {
    if (!(df > 0)) throw new Error(`chisquare: ${df} degrees of freedom; they must be above 0`);
    return new Float64Array(n).map(() => 2 * this.#gamma(df / 2));
  }

  #uint32(): number {
    if (this.#next === WORDS) this.#twist();
    let y = this.#words[this.#next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  #twist(): void {
    const w = this.#words;
    for (let i = 0; i < WORDS; i++) {
      const y = (w[i] & 0x80000000) | (w[(i + 1) % WORDS] & 0x7fffffff);
      w[i] = w[(i + SHIFT) % WORDS] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }

  /** In [0, 1), 53 bits. */
  #double(): number {
    const high = this.#uint32() >>> 5;
    return (high * 2 ** 26 + (this.#uint32() >>> 6)) / 2 ** 53;
  }

  #normal(): number {
    if (this.#spare !== null) {
      const spare = this.#spare;
      this.#spare = null;
      return spare;
    }
    for (;;) {
      const a = 2 * this.#double() - 1;
      const b = 2 * this.#double() - 1;
      const r2 = a * a + b * b;
      if (r2 >= 1 || r2 === 0) continue;
      const f = Math.sqrt((-2 * log(r2)) / r2);
      this.#spare = f * a;
      return f * b;
    }
  }

  #exponential(): number {
    return -log(1 - this.#double());
  }

  #gamma(shape: number): number {
    if (shape === 1) return this.#exponential();
    if (shape < 1) return this.#gammaBelow1(shape);
    const b = shape - 1 / 3;
    const c = 1 / Math.sqrt(9 * b);
    for (;;) {
      const x = this.#normal();
      const root = 1 + c * x;
      if (root <= 0) continue;
      const v = root * root * root;
      const u = this.#double();
      if (u < 1 - 0.0331 * (x * x) * (x * x)) return b * v;
      if (log(u) < 0.5 * x * x + b * (1 - v + log(v))) return b * v;
    }
  }

  /** By rejection from a power law below 1 and an exponential above (Ahrens and Dieter 1974). */
  #gammaBelow1(shape: number): number {
    for (;;) {
      const u = this.#double();
      const v = this.#exponential();
      if (u <= 1 - shape) {
        const x = u ** (1 / shape);
        if (x <= v) return x;
      } else {
        const y = -log((1 - u) / shape);
        const x = (1 - shape + shape * y) ** (1 / shape);
        if (x <= v + y) return x;
      }
    }
  }
}
