/**
 * Text that users hand over, whatever program wrote it: UTF-8 with or without a byte-order mark, UTF-16 with
 * one (Windows' PowerShell), lines that end in LF or CRLF, empty lines at the end. Everything that reads such
 * a file reads it through these functions.
 */

import { whyNotJson } from './json-fault.js';
import { fileError } from './messages.js';

/**
 * The text in a file's bytes, without its byte-order mark.
 * @param name the file, for messages
 * @throws when it is neither UTF-8 nor UTF-16 with a byte-order mark
 */
export function decodeText(bytes: Uint8Array, name: string): string {
  const [a, b] = bytes;
  const encoding = a === 0xff && b === 0xfe ? 'utf-16le' : a === 0xfe && b === 0xff ? 'utf-16be' : 'utf-8';
  try {
    return withoutMark(new TextDecoder(encoding, { fatal: true }).decode(bytes));
  } catch {
    throw fileError(name, 'not UTF-8 text; the file is corrupt, or it is no text');
  }
}

/** Text without the byte-order mark that programs of Windows put in front. */
export const withoutMark = (text: string): string => (text.startsWith('\ufeff') ? text.slice(1) : text);

/** The lines of a text: without a byte-order mark, line ends (LF, CRLF, CR), and empty lines at the end. */
export function textLines(text: string): string[] {
  const lines = withoutMark(text).split(/\r\n|\n|\r/);
  while (lines.length && lines.at(-1)!.trim() === '') lines.pop();
  return lines;
}

/**
 * The value of a JSON text. A byte-order mark is taken away.
 * @param name what the text is, for messages: a file, or `facts`
 * @param reviver as `JSON.parse` takes it
 * @throws when it is no JSON: the message says where
 */
export function parseJson(
  text: string,
  name: string,
  reviver?: (this: unknown, key: string, value: unknown) => unknown,
): unknown {
  const json = withoutMark(text);
  let plain: unknown;
  try {
    plain = JSON.parse(json);
  } catch {
    throw fileError(name, `not JSON: ${whyNotJson(json)}`);
  }
  if (!reviver) return plain;
  try {
    return JSON.parse(json, reviver);
  } catch (cause) {
    // `JSON.parse` alone bears any depth; with a function for every value it does not.
    if (cause instanceof RangeError) throw fileError(name, 'its lists are nested too deeply');
    throw cause;
  }
}

/**
 * The first key that an object of a JSON text has twice (`JSON.parse` silently keeps the last).
 * @param depth objects are looked at whose nesting is at most this: 1 for the whole, 2 for objects in it
 */
export function duplicateKey(text: string, depth: number): string | undefined {
  const seen: Set<string>[] = [];
  let deep = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '{' || c === '[') {
      if (deep < depth) seen[deep] = new Set();
      deep++;
    } else if (c === '}' || c === ']') deep--;
    if (c !== '"') continue;
    const start = i;
    while (text[++i] !== '"') if (text[i] === '\\') i++;
    if (deep > depth) continue;
    let next = i + 1;
    while (next < text.length && text[next] <= ' ') next++;
    if (text[next] !== ':') continue;
    const key = JSON.parse(text.slice(start, i + 1)) as string;
    if (seen[deep - 1].has(key)) return key;
    seen[deep - 1].add(key);
  }
  return undefined;
}

/**
 * The first key of the outermost object that has two values which differ; the same value twice is no harm.
 * @param text JSON that has been parsed
 */
export function contradiction(text: string): string | undefined {
  const values = new Map<string, string>();
  let [deep, start] = [0, 0];
  let key: string | undefined;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '"') {
      const from = i;
      while (text[++i] !== '"') if (text[i] === '\\') i++;
      if (deep === 1 && key === undefined) key = JSON.parse(text.slice(from, i + 1));
    } else if (c === '{' || c === '[') {
      if (deep === 0 && c === '[') return undefined;
      deep++;
    } else if (deep === 1 && c === ':') start = i + 1;
    else if (deep === 1 && (c === ',' || c === '}') && key !== undefined) {
      const value = text.slice(start, i);
      if (values.has(key) && !sameJson(values.get(key)!, value)) return key;
      values.set(key, value);
      key = undefined;
    }
    if (c === '}' || c === ']') deep--;
  }
  return undefined;
}

const sameJson = (a: string, b: string): boolean =>
  JSON.stringify(JSON.parse(a)) === JSON.stringify(JSON.parse(b));
