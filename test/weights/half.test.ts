import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../../weights/formats/half.js';
import { allClose } from '../helpers.js';

const all = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
const bitsOf = (x: number) => new Uint32Array(Float32Array.of(x).buffer)[0];

test('float16 by definition: smallest and largest subnormal, smallest normal, one, largest, infinity, NaN', () => {
  const values = f16ToF32(Uint16Array.of(1, 0x3ff, 0x400, 0x3c00, 0x7bff, 0x7c00, 0xfc00, 0x7c01, 0x8000));
  const expected = [2 ** -24, 1023 * 2 ** -24, 2 ** -14, 1, 65504, Infinity, -Infinity, NaN, -0];
  assert.ok(
    expected.every((x, i) => Object.is(values[i], x)),
    String(values),
  );
});

test('bfloat16 is the upper half of a float32', () => {
  const values = bf16ToF32(all);
  assert.ok(values.every((x, i) => Number.isNaN(x) || bitsOf(x) === i * 65536));
});

for (const [name, widen, narrow] of [
  ['float16', f16ToF32, f32ToF16],
  ['bfloat16', bf16ToF32, f32ToBf16],
] as const) {
  test(`all 65536 values of ${name} survive float32 and back; NaN stays NaN`, () => {
    const values = widen(all);
    const back = narrow(values);
    const again = widen(back);
    for (let bits = 0; bits < 65536; bits++)
      if (Number.isNaN(values[bits])) assert.ok(Number.isNaN(again[bits]));
      else if (back[bits] !== bits) assert.is(back[bits], bits);
  });

  test(`${name} rounds to nearest, ties to even, between all neighbours`, () => {
    const values = widen(all);
    const top = values.indexOf(Infinity) - 1; // bits of the largest finite value
    const middles = new Float32Array(top);
    const below = new Float32Array(top);
    const above = new Float32Array(top);
    for (let bits = 0; bits < top; bits++) {
      // Halves of neighbours have one bit more than the format; float32 holds them exactly.
      middles[bits] = (values[bits] + values[bits + 1]) / 2;
      const word = bitsOf(middles[bits]);
      [below[bits], above[bits]] = new Float32Array(Uint32Array.of(word - 1, word + 1).buffer);
    }
    allClose(
      narrow(middles),
      Uint16Array.from({ length: top }, (_, bits) => bits + (bits & 1)),
      { atol: 0, rtol: 0 },
    );
    allClose(
      narrow(below),
      Uint16Array.from({ length: top }, (_, bits) => bits),
      { atol: 0, rtol: 0 },
    );
    allClose(
      narrow(above),
      Uint16Array.from({ length: top }, (_, bits) => bits + 1),
      { atol: 0, rtol: 0 },
    );
  });
}

test('float16 overflows to infinity from 65520 on', () => {
  assert.equal(
    [...f32ToF16(Float32Array.of(65519.996, 65520, -1e30, 1e30))],
    [0x7bff, 0x7c00, 0xfc00, 0x7c00],
  );
});

test.run();
