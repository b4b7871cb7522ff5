/**
 * The two 16-bit float formats that checkpoints come in, as bit patterns in a `Uint16Array` (Node 20 has no
 * Float16Array).
 *
 *     F16   1 sign | 5 exponent, bias 15  | 10 fraction      (IEEE 754 binary16)
 *     BF16  1 sign | 8 exponent, bias 127 |  7 fraction      (the upper half of a float32)
 *
 * Widening is exact. Narrowing rounds to nearest, ties to even, and overflows to infinity, as PyTorch does.
 */

let table: Float32Array | undefined;

/** All 65536 float16 values, by bit pattern. */
function f16Table(): Float32Array {
  if (table) return table;
  table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 31) table[bits] = fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    else if (exponent === 0) table[bits] = sign * fraction * 2 ** -24;
    else table[bits] = sign * (1024 + fraction) * 2 ** (exponent - 25);
  }
  return table;
}

/** float16 bit patterns to float32 values; exact, subnormals and infinities included. */
export function f16ToF32(bits: Uint16Array): Float32Array {
  const values = f16Table();
  const out = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = values[bits[i]];
  return out;
}

/** bfloat16 bit patterns to float32 values; exact. */
export function bf16ToF32(bits: Uint16Array): Float32Array {
  const out = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = bits[i] << 16;
  return new Float32Array(out.buffer);
}

/** float32 values to float16 bit patterns: nearest, ties to even; 65520 and above become infinity. */
export function f32ToF16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) {
    const word = words[i];
    const sign = (word >>> 16) & 0x8000;
    const magnitude = word & 0x7fffffff;
    if (magnitude > 0x7f800000) {
      out[i] = sign | 0x7e00; // NaN
    } else if (magnitude >= 0x477ff000) {
      out[i] = sign | 0x7c00; // from 65520 on
    } else if (magnitude >= 0x38800000) {
      // Normal: rebias the exponent by 127 - 15, then round the 13 dropped bits; a carry runs into the
      // exponent rightly.
      const rebased = magnitude - 0x38000000;
      out[i] = sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13);
    } else {
      // Subnormal: the value in units of 2^-24, rounded half to even.
      const scaled = Math.abs(values[i]) * 2 ** 24;
      const floor = Math.floor(scaled);
      const rest = scaled - floor;
      out[i] = sign | (floor + (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? 1 : 0));
    }
  }
  return out;
}

/** float32 values to bfloat16 bit patterns: nearest, ties to even. */
export function f32ToBf16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) {
    const word = words[i];
    const nan = (word & 0x7fffffff) > 0x7f800000;
    out[i] = nan ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return out;
}
