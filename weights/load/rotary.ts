/** The setting `rotary`, checked and completed. */

import { fileError, shownJson } from '../checks/messages.js';
import type { Rotary, RotaryBase, RotaryScaling } from '../rotary.js';
import type { Ask } from './ask.js';

/** What numbers a kind of scaling has. */
const SCALINGS: Readonly<Record<RotaryScaling['type'], readonly string[]>> = {
  linear: ['factor'],
  llama3: ['factor', 'lowFreqFactor', 'highFreqFactor', 'originalContext'],
  yarn: ['factor', 'originalContext', 'betaFast', 'betaSlow', 'magnitude'],
  divisors: ['magnitude'],
};

/**
 * Rotary positions as a configuration says. Defaults: halves, all dimensions of a head, base 10000, no
 * scaling.
 * @throws an error that names what is wrong in it
 */
export function rotaryOf({ value, file }: Ask, dHead: number): Rotary {
  const given = (value('rotary') ?? {}) as Record<string, unknown>;
  const fail = (key: string, is: unknown, wanted: string) =>
    fileError(file, `${key ? `rotary.${key}` : 'rotary'} is ${shownJson(is)}; it must be ${wanted}`);
  if (typeof given !== 'object' || Array.isArray(given)) throw fail('', given, 'an object of settings');
  const { pairs = 'halves', dims = dHead - (dHead % 2), windowed = null } = given;
  if (pairs !== 'halves' && pairs !== 'adjacent') throw fail('pairs', pairs, "'halves' or 'adjacent'");
  if (!Number.isSafeInteger(dims) || (dims as number) < 2 || (dims as number) % 2 || (dims as number) > dHead)
    throw fail('dims', dims, `an even number from 2 to dHead, which is ${dHead}`);
  const exponentDims = given.exponentDims ?? dims;
  if (!Number.isFinite(exponentDims) || (exponentDims as number) <= 0)
    throw fail('exponentDims', exponentDims, 'a number greater than 0');
  const base = (from: Record<string, unknown>, at: string): RotaryBase => {
    const theta = from.base ?? 10000;
    if (!Number.isFinite(theta) || (theta as number) <= 0)
      throw fail(`${at}base`, theta, 'a number greater than 0');
    const scaling = from.scaling ?? null;
    return { base: theta as number, scaling: scaling === null ? null : scalingOf(scaling, `${at}scaling`) };
  };
  const scalingOf = (from: unknown, at: string): RotaryScaling => {
    const { type, truncate = true, divisors, ...numbers } = from as Record<string, unknown>;
    if (typeof type !== 'string' || !Object.hasOwn(SCALINGS, type))
      throw fail(at, from, `an object whose type is one of ${Object.keys(SCALINGS).join(', ')}`);
    const wanted = SCALINGS[type as RotaryScaling['type']];
    const read = wanted.map((key) => {
      const number = numbers[key] ?? (key === 'magnitude' ? 1 : undefined);
      if (typeof number !== 'number' || !Number.isFinite(number) || number <= 0)
        throw fail(`${at}.${key}`, number, 'a number greater than 0');
      return [key, number];
    });
    const scaling = { type, ...Object.fromEntries(read) };
    if (type === 'yarn') return { ...scaling, truncate: truncate !== false } as RotaryScaling;
    if (type !== 'divisors') return scaling as RotaryScaling;
    const count = (dims as number) / 2;
    const good = Array.isArray(divisors) && divisors.every((d) => Number.isFinite(d) && d > 0);
    if (!good || divisors.length !== count)
      throw fail(`${at}.divisors`, divisors, `a list of ${count} numbers greater than 0, one a pair`);
    return { ...scaling, divisors } as unknown as RotaryScaling;
  };
  return {
    pairs,
    dims: dims as number,
    exponentDims: exponentDims as number,
    ...base(given, ''),
    windowed: windowed === null ? null : base(windowed as Record<string, unknown>, 'windowed.'),
  };
}
