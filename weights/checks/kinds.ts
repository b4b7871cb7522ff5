/**
 * Kinds of values that arguments and options may have. Values are told by what they are, not by the realm
 * that made them.
 */

import { shown } from './shown.js';

/** What a value may be, and whether one is that. */
export interface Kind {
  /** What is needed, with its article: `a number from 0 to 1`. */
  readonly what: string;
  readonly is: (value: unknown) => boolean;
  /**
   * What is wrong with a value that is not that, where more can be said than what it is. `name` is the
   * option's.
   */
  readonly problem?: (value: unknown, name: string) => string;
}

/** A list or typed array: anything with numbered entries. A DataView has none, a text is none. */
export const isList = (value: unknown): value is ArrayLike<unknown> =>
  Array.isArray(value) || (ArrayBuffer.isView(value) && 'length' in value);

/** What a built-in object is, whatever realm made it: `Float32Array`, `Map`, `RegExp`. */
export const tagOf = (value: unknown): string => Object.prototype.toString.call(value).slice(8, -1);

/** Whether a value is a regular expression. */
export const isRegExp = (value: unknown): value is RegExp => tagOf(value) === 'RegExp';

/** Numbers as a Float32Array of this realm; one of another realm is not copied. */
export const floatsOf = (data: ArrayLike<number>): Float32Array =>
  data instanceof Float32Array
    ? data
    : tagOf(data) === 'Float32Array'
      ? viewOf(data as Float32Array)
      : Float32Array.from(data);

const viewOf = ({ buffer, byteOffset, length }: Float32Array): Float32Array =>
  new Float32Array(buffer, byteOffset, length);

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

/** Whether a value is a promise, of this realm or another. */
export const isPromise = (value: unknown): boolean => isObject(value) && typeof value.then === 'function';

/** A value in a message: its type, its length and its first entries; at most about 80 characters. */
export function shownValue(value: unknown): string {
  if (typeof value === 'string')
    return value.length > 24
      ? `"${shown(value.slice(0, 20))}…" (${value.length} characters)`
      : `"${shown(value)}"`;
  if (typeof value === 'function')
    return /^class\b/.test(Function.prototype.toString.call(value)) ? 'a class' : 'a function';
  if (typeof value === 'bigint' || typeof value === 'symbol') return `a ${typeof value}`;
  if (!isObject(value)) return String(value);
  if (isPromise(value)) return 'a promise (await it)';
  if (isList(value)) return shownList(value);
  const { shape } = value;
  const name = nameOf(value);
  if (Array.isArray(shape) && name !== 'object') return `a ${name} of shape [${first(shape, 6)}]`;
  if (name !== 'object') return `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${name}`;
  const keys = Object.keys(value);
  return keys.length ? `an object { ${first(keys, 4)} }`.slice(0, 80) : 'an empty object';
}

function shownList(list: ArrayLike<unknown>): string {
  if (!list.length) return 'an empty list';
  const name = Array.isArray(list) ? 'list' : nameOf(list as object);
  const head = Array.from({ length: Math.min(4, list.length) }, (_, i) => list[i]);
  const [one] = head;
  if (head.every((x) => typeof x === 'number' || typeof x === 'bigint'))
    return `a ${name} of ${list.length} (${first(head.map(Number), 3)})`;
  const entries = isList(one)
    ? 'lists'
    : typeof one === 'string'
      ? 'texts'
      : `${one === null ? null : typeof one}`;
  return `a ${name} of ${list.length} (${entries})`;
}

const first = (entries: readonly unknown[], n: number): string =>
  `${entries
    .slice(0, n)
    .map((x) => (typeof x === 'number' ? String(Number(x.toPrecision(6))) : String(x).slice(0, 16)))
    .join(', ')}${entries.length > n ? ', …' : ''}`;

function nameOf(value: object): string {
  const name = (Object.getPrototypeOf(value) as { constructor?: { name?: unknown } } | null)?.constructor
    ?.name;
  return typeof name === 'string' && name && name !== 'Object' ? name.slice(0, 30) : 'object';
}

// ---- single values
// -------------------------------------------------------------------------------------------------

const kind = (what: string, is: Kind['is'], problem?: Kind['problem']): Kind => ({ what, is, problem });
const isNumber = (value: unknown): value is number => typeof value === 'number';
const isWhole = (value: unknown, least: number): boolean =>
  Number.isSafeInteger(value) && (value as number) >= least;

/** Anything at all: its own check comes later. */
export const anything = kind('a value', () => true);
/** A boolean, not a text like "false". */
export const boolean = kind('true or false', (v) => typeof v === 'boolean');
/** A text. */
export const text = kind('a text', (v) => typeof v === 'string');
/** A finite number. */
export const number = kind('a finite number', Number.isFinite);
/** A finite number above 0. */
export const positive = kind('a number above 0', (v) => isNumber(v) && v > 0 && v < Infinity);
/** A finite number, 0 or more. */
export const notNegative = kind('a number, 0 or more', (v) => isNumber(v) && v >= 0 && v < Infinity);
/** A whole number, negative too. */
export const integer = kind('a whole number', Number.isSafeInteger);
/** 0, 1, 2, … */
export const whole = kind('a whole number, 0 or more', (v) => isWhole(v, 0));
/** 1, 2, 3, … */
export const count = kind('a whole number, 1 or more', (v) => isWhole(v, 1));
/** A seed of random numbers: NumPy's, 32 bits. */
export const seed = kind(
  'a whole number from 0 to 4294967295',
  (v) => isWhole(v, 0) && (v as number) < 2 ** 32,
);
/** A number in [low, high]. */
export const between = (low: number, high: number): Kind =>
  kind(`a number from ${low} to ${high}`, (v) => isNumber(v) && v >= low && v <= high);
/** A function. */
export const callback = kind('a function', (v) => typeof v === 'function');
/** An AbortSignal, of any realm. */
export const signal = kind(
  'an AbortSignal (controller.signal)',
  (v) => isObject(v) && typeof v.aborted === 'boolean' && typeof v.addEventListener === 'function',
);
/** One of some words, numbers, booleans or null. */
export const oneOf = (...values: readonly unknown[]): Kind =>
  kind(
    values
      .map((v) => (typeof v === 'string' ? `'${v}'` : String(v)))
      .join(', ')
      .replace(/, ([^,]*)$/, ' or $1'),
    (v) => values.includes(v),
  );
/** A value of any of some kinds. */
export const either = (...kinds: readonly Kind[]): Kind =>
  kind(kinds.map((k) => k.what).join(' or '), (v) => kinds.some((k) => k.is(v)));
/** null, or a value of a kind. */
export const orNull = (one: Kind): Kind => either(one, oneOf(null));
/** A list of values of a kind. */
export const listOf = (one: Kind, what: string): Kind =>
  kind(
    what,
    (v) => isList(v) && Array.prototype.every.call(v, one.is),
    (v, name) => {
      if (!isList(v))
        return problemOf(
          kind(what, () => false),
          v,
          name,
        );
      const bad = Array.prototype.findIndex.call(v, (x: unknown) => !one.is(x));
      if (bad < 0)
        return problemOf(
          kind(what, () => false),
          v,
          name,
        );
      return problemOf(one, v[bad], `${name}[${bad}]`);
    },
  );
/** A list of one or more values of a kind. */
export const several = (one: Kind, what: string): Kind => {
  const list = listOf(one, what);
  return { ...list, is: (v) => list.is(v) && (v as ArrayLike<unknown>).length > 0 };
};
/** [start, end). */
export const range = kind(
  '[start, end): two whole numbers',
  (v) => isList(v) && v.length === 2 && Array.prototype.every.call(v, Number.isSafeInteger),
);
/** An object of the library, told by the members it has. */
export const having = (what: string, ...members: readonly string[]): Kind =>
  kind(what, (v) => isObject(v) && !isPromise(v) && members.every((m) => m in v));
/** A plain object: not null, no list, no function. */
export const plainObject = kind('an object', (v) => isObject(v) && !isList(v) && !isPromise(v));
/** A path: a text or a URL object. */
export const path = kind(
  'a path: a text or a URL',
  (v) => (typeof v === 'string' && v !== '') || (isObject(v) && typeof v.href === 'string'),
);

// ---- numbers, tokens, prompts
// --------------------------------------------------------------------------------------

/** A list or typed array of numbers, of any realm and type. */
export const numbers = listOf(number, 'a list of numbers');
/** Token ids; whether the vocabulary has them is checked where they are read. */
export const tokens = kind('token ids: a list of whole numbers', (v) => isList(v) && allIds(v));
const allIds = (list: ArrayLike<unknown>): boolean =>
  Array.prototype.every.call(list, (x) => isWhole(x, 0) || (typeof x === 'bigint' && x >= 0n));

/** Which of them is no token id is said where they are read. */
const isNumbers = (v: unknown): boolean =>
  isList(v) && Array.prototype.every.call(v, (x) => typeof x === 'number' || typeof x === 'bigint');

/** One text, or the token ids of one. */
export const prompt = kind(
  'a text or token ids',
  (v) => typeof v === 'string' || isNumbers(v),
  (v, name) =>
    isList(v) && v.length && (typeof v[0] === 'string' || isList(v[0]))
      ? `${name} is a list of ${v.length} prompts: this takes one, a text or token ids; call it once for each`
      : problemOf(
          kind('a text or token ids', () => false),
          v,
          name,
        ),
);
/** A text, texts, token ids, or rows of token ids. */
export const prompts = kind(
  'text, texts, token ids or rows of token ids',
  (v) =>
    typeof v === 'string' ||
    isNumbers(v) ||
    (isList(v) && Array.prototype.every.call(v, (x) => typeof x === 'string' || isNumbers(x))),
  (v, name) => {
    const bad = isList(v)
      ? Array.prototype.findIndex.call(v, (x) => typeof x !== 'string' && !isNumbers(x))
      : -1;
    const mixed = bad >= 0 && isList(v) && v.length > 1 && Array.prototype.some.call(v, (x) => prompt.is(x));
    return mixed ? problemOf(prompt, v[bad], `${name}[${bad}]`) : problemOf(PROMPTS, v, name);
  },
);
const PROMPTS = kind(prompts.what, () => false);

/**
 * What is wrong with a value that is not of a kind: `temperature is "hot": a number, 0 or more is needed`.
 */
export function problemOf(one: Kind, value: unknown, name: string): string {
  return one.problem?.(value, name) ?? `${name} is ${shownValue(value)}: ${one.what} is needed`;
}
