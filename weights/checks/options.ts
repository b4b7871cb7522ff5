/**
 * The one mechanism that checks arguments and options: names, kinds of values, what is missing, what is too
 * much.
 *
 *     const LENS = options<LensOptions>({ k: is.count, inclMid: is.boolean, … });
 *     const takes = signatures({ logitLens: { model: is.model, input: is.prompts, options: LENS } });
 *
 *     export const logitLens = takes.logitLens(async function logitLens(model: Model, …, options: LensOptions = {}) {
 *
 *     checkedMethods(ActivationCache.prototype, { row: { i: is.integer }, names: {}, … }, 'cache.');
 *
 * A key that is missing in the specification of options, or too much, is an error of the compiler, and so is
 * a public method that the table of a class lacks. Every check is made once a call, before anything runs. A
 * message names the function, the option and what it may be, in 300 characters.
 */

import { isList, isPromise, type Kind, problemOf, shownValue } from './kinds.js';
import { shown } from './shown.js';
import { adviceOn, suggestion } from './spellings.js';

/** A kind of option that must be given. */
export interface Needed extends Kind {
  readonly needed: true;
}

/** For every option its kind; those that the type demands are `needed(…)`. */
export type Spec<O> = {
  readonly [K in keyof O]-?: Record<never, never> extends Pick<O, K>
    ? Kind & { readonly needed?: never }
    : Needed;
};

/** A kind of argument that may be left out. */
export interface Argument extends Kind {
  readonly optional?: boolean;
  /** What to say when it is left out and must not be. */
  readonly missing?: string;
}

/** Arguments by the names that they have in the function's signature, in order. */
export type Arguments = Readonly<Record<string, Argument>>;

/**
 * Checks the arguments of a call, in order. @throws an Error that names the function, the argument and what
 * it may be.
 */
export type Signature = (...given: readonly unknown[]) => void;

const LONGEST = 300;

/** An option that must be given. */
export const needed = (kind: Kind): Needed => ({ ...kind, needed: true });

/** An argument that may be left out. */
export const optional = (kind: Kind): Argument => ({ ...kind, optional: true });

/** The kind of an options object: it has these options and no others. */
export function options<O extends object>(spec: Spec<O>): Argument {
  const kinds = new Map(Object.entries<Kind | Needed>(spec));
  const names = [...kinds.keys()];
  const must = names.filter((name) => 'needed' in kinds.get(name)!);
  const what = `{ ${names.slice(0, 8).join(', ')}${names.length > 8 ? ', …' : ''} }`;
  const is = (value: unknown): boolean => {
    if (!isOptions(value)) return false;
    for (const key of Object.keys(value)) {
      const kind = kinds.get(key);
      if (!kind || (value[key] !== undefined && !kind.is(value[key]))) return false;
    }
    return must.every((name) => value[name] !== undefined);
  };
  const problem = (value: unknown, name: string): string => {
    if (!isOptions(value)) return `${name || 'options'} is ${shownValue(value)}: ${what} is needed`;
    const of = (key: string) => (name ? `${name}.${key}` : key);
    for (const key of Object.keys(value)) if (!kinds.has(key)) return unknownOption(of(key), key, names);
    for (const key of must) if (value[key] === undefined) return missing(of(key), kinds.get(key)!);
    const bad = names.find((key) => value[key] !== undefined && !kinds.get(key)!.is(value[key]))!;
    return problemOf(kinds.get(bad)!, value[bad], of(bad));
  };
  return {
    what,
    is,
    problem,
    optional: !must.length,
    missing: must.length ? missing(must[0], kinds.get(must[0])!) : '',
  };
}

/** The check of a function's arguments: for each its kind, by the name it has in the function's signature. */
export function signature(name: string, args: Arguments): Signature {
  const kinds = Object.entries(args);
  return (...given) => {
    if (given.length > kinds.length)
      throw failure(
        name,
        tooMany(
          name,
          given,
          kinds.map(([arg]) => arg),
        ),
      );
    for (let i = 0; i < kinds.length; i++) {
      const [arg, kind] = kinds[i];
      const value = given[i];
      if (value === undefined) {
        if (!kind.optional) throw failure(name, kind.missing || missing(arg, kind));
      } else if (!kind.is(value)) {
        throw failure(name, problemOf(kind, value, arg === 'options' ? '' : arg));
      }
    }
  };
}

type Callable = (...given: never[]) => unknown;

/**
 * For every function of a file its arguments, as something that makes the function check them first. One that
 * is `async` rejects, where another one throws.
 */
export function signatures<Names extends string>(
  functions: Readonly<Record<Names, Arguments>>,
): Readonly<Record<Names, <F extends Callable>(f: F) => F>> {
  const of = (name: string, args: Arguments) => {
    const takes = signature(name, args);
    return <F extends Callable>(f: F): F => withCheck(takes, f, name);
  };
  const made = Object.entries<Arguments>(functions).map(([name, args]) => [name, of(name, args)]);
  return Object.fromEntries(made);
}

/** For every public method its arguments; null: it is internal, and is not checked. */
export type Methods<C> = {
  readonly [K in keyof C as K extends string ? (C[K] extends Callable ? K : never) : never]: Arguments | null;
};

/** Makes the methods of a class (of its prototype, or static ones) check their arguments first. */
export function checkedMethods<C extends object>(of: C, methods: Methods<C>, prefix = ''): void {
  for (const [name, args] of Object.entries<Arguments | null>(methods)) {
    if (!args) continue;
    const method = (of as Record<string, Callable>)[name];
    const value = withCheck(signature(prefix + name, args), method, name);
    Object.defineProperty(of, name, { value, writable: true, configurable: true });
  }
}

/**
 * Makes methods of a class refuse more arguments than they take: for methods that check what they are given
 * themselves.
 * @param methods the names of their arguments
 */
export function countedMethods(of: object, methods: Readonly<Record<string, readonly string[]>>): void {
  for (const [name, args] of Object.entries(methods)) {
    const method = (of as Record<string, (...given: unknown[]) => unknown>)[name];
    const value = function (this: unknown, ...given: unknown[]) {
      if (given.length > args.length) throw failure(name, tooMany(name, given, args));
      return method.apply(this, given);
    };
    Object.defineProperty(of, name, { value, writable: true, configurable: true });
  }
}

function withCheck<F extends Callable>(takes: Signature, f: F, name: string): F {
  const call = f as unknown as (...given: unknown[]) => unknown;
  const isAsync = Object.prototype.toString.call(f) === '[object AsyncFunction]';
  const check = isAsync
    ? async function (this: unknown, ...given: unknown[]) {
        const meant = withoutIndex(given);
        takes(...meant);
        return call.apply(this, meant);
      }
    : function (this: unknown, ...given: unknown[]) {
        const meant = withoutIndex(given);
        takes(...meant);
        return call.apply(this, meant);
      };
  Object.defineProperty(check, 'name', { value: name });
  return check as unknown as F;
}

/** `list.map(f)` calls f(entry, index, list): the entry is meant, not the index. */
const withoutIndex = (given: unknown[]): unknown[] =>
  given.length === 3 && Array.isArray(given[2]) && given[2][given[1] as number] === given[0]
    ? given.slice(0, 1)
    : given;

/** Checks one options object or value by itself. @throws an Error that begins with `name`. */
export function check(name: string, kind: Argument, value: unknown, arg = ''): void {
  if (value === undefined ? !kind.optional : !kind.is(value))
    throw failure(
      name,
      value === undefined ? kind.missing || missing(arg, kind) : problemOf(kind, value, arg),
    );
}

const isOptions = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' &&
  value !== null &&
  !isList(value) &&
  !isPromise(value) &&
  !ArrayBuffer.isView(value);

const missing = (name: string, kind: Kind): string => `${name} is missing: ${kind.what}`;

/** What to say of an option that there is not: the name that was probably meant, else all that there are. */
export function unknownOption(shownName: string, key: string, names: readonly string[]): string {
  const meant = suggestion(key, names);
  const all = names.length ? `it takes ${names.join(', ')}` : 'it takes none';
  const advice = meant ? `: did you mean "${meant}"?` : (adviceOn(key) ?? `; ${all}`);
  return `there is no option "${shown(shownName, 60)}"${advice}`;
}

function tooMany(name: string, given: readonly unknown[], args: readonly string[]): string {
  const takes = args.length ? `${name}(${args.join(', ')})` : `${name}() takes none`;
  return `argument ${args.length + 1} is too many (${shownValue(given[args.length])}): ${takes}`;
}

function failure(name: string, problem: string): Error {
  const message = `${name}: ${problem}`;
  return new Error(message.length > LONGEST ? `${message.slice(0, LONGEST - 1)}…` : message);
}
