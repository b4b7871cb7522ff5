/**
 * What messages show of values and names that come from outside. A file may hold anything: names of a
 * megabyte, lists in lists in lists, escape sequences that a terminal would obey.
 */

import { shown } from './shown.js';

/** The longest message. */
const MAX_MESSAGE = 299;

/** A message of fewer than 300 characters: its end is left out where it is longer. */
export const brief = (message: string): string =>
  message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE - 1)}…` : message;

/** A name or text in quotes, of at most about `most` characters. */
export const quoted = (text: string, most = 60): string => `"${shown(text, most)}"`;

/**
 * A value of a file (of its JSON or pickle) on one line: texts in quotes, lists and objects with their first
 * entries. At most `most` characters. Options with a value that is not one of theirs are shown so, too;
 * arguments of the wrong kind by `shownValue` in `kinds.ts`.
 */
export function shownJson(value: unknown, most = 60): string {
  return shown(show(value, most, 2), most);
}

function show(value: unknown, most: number, depth: number): string {
  if (typeof value === 'string') return quoted(value, most);
  if (value === undefined) return 'nothing';
  if (value instanceof Map) return `a dictionary of ${value.size}`;
  if (typeof value !== 'object' || value === null) return shown(String(value), most);
  const list = Array.isArray(value);
  if (depth === 0) return list ? '[…]' : '{…}';
  const some: string[] = [];
  if (list) {
    for (const item of value.slice(0, 4)) some.push(show(item, most, depth - 1));
    return `[${some.join(', ')}${value.length > 4 ? `, … (${value.length})` : ''}]`;
  }
  for (const key in value) {
    if (some.length === 3) {
      some.push('…');
      break;
    }
    const item = (value as Record<string, unknown>)[key];
    some.push(`${quoted(key, 20)}: ${show(item, most, depth - 1)}`);
  }
  return `{${some.join(', ')}}`;
}

/**
 * An error about a file, on one line of fewer than 300 characters: `${name}: ${what}`. A long path loses its
 * middle.
 * @param name path, URL or repository
 */
export function fileError(name: string, what: string, cause?: unknown): Error {
  const where = shown(name, 120);
  const message = `${where}: ${shown(what, MAX_MESSAGE - where.length - 2)}`;
  return cause === undefined ? new Error(message) : new Error(message, { cause });
}
