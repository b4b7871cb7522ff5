/**
 * What messages show of values and names that come from outside. A file may hold anything: names of a megabyte, lists in
 * lists in lists, escape sequences that a terminal would obey.
 */

/** The longest message. */
export const MAX_MESSAGE = 299;

/** Control characters, separators of lines, and marks that change the direction of text. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** Text on one line, with control characters as `\u{1b}`; longer text loses its middle. */
export function oneLine(text: string, most = MAX_MESSAGE): string {
  // What is cut off need not be searched, and a character becomes at most ten.
  const near = text.length > 2 * most ? `${text.slice(0, most)}…${text.slice(-most)}` : text;
  const plain = near.replace(UNPRINTABLE, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`);
  if (plain.length <= most) return plain;
  const end = Math.floor(most / 3);
  return `${plain.slice(0, most - end - 1)}…${plain.slice(plain.length - end)}`;
}

/** A name or text in quotes, of at most about `most` characters. */
export const quoted = (text: string, most = 60): string => `"${oneLine(text, most)}"`;

/**
 * A value of a file (of its JSON or pickle) on one line: texts in quotes, lists and objects with their first entries. At
 * most `most` characters. Values of arguments are shown by `shown` in `kinds.ts`.
 */
export function shownJson(value: unknown, most = 60): string {
  return oneLine(show(value, most, 2), most);
}

function show(value: unknown, most: number, depth: number): string {
  if (typeof value === 'string') return quoted(value, most);
  if (value instanceof Map) return `a dictionary of ${value.size}`;
  if (typeof value !== 'object' || value === null) return oneLine(String(value), most);
  const list = Array.isArray(value);
  if (depth === 0) return list ? '[…]' : '{…}';
  const shownItems: string[] = [];
  if (list) {
    for (const item of value.slice(0, 4)) shownItems.push(show(item, most, depth - 1));
    return `[${shownItems.join(', ')}${value.length > 4 ? `, … (${value.length})` : ''}]`;
  }
  for (const key in value) {
    if (shownItems.length === 3) {
      shownItems.push('…');
      break;
    }
    const item = (value as Record<string, unknown>)[key];
    shownItems.push(`${quoted(key, 20)}: ${show(item, most, depth - 1)}`);
  }
  return `{${shownItems.join(', ')}}`;
}

/**
 * An error about a file, on one line of fewer than 300 characters: `${name}: ${what}`. A long path loses its middle.
 * @param name path, URL or repository
 */
export function fileError(name: string, what: string, cause?: unknown): Error {
  const where = oneLine(name, 120);
  const message = `${where}: ${oneLine(what, MAX_MESSAGE - where.length - 2)}`;
  return cause === undefined ? new Error(message) : new Error(message, { cause });
}
