/** The code that documents show: taken out of them, and run. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { fail } from './helpers.js';

/** This checkout. */
export const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** The code blocks of a language in a Markdown document. */
export const codeBlocks = (markdown: string, language: string): string[] =>
  [...markdown.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].filter((m) => m[1] === language).map((m) => m[2]);

/** Runs code as a module of its own, with this checkout as `glassbox`; what it prints, call by call. */
export async function runModule(code: string): Promise<unknown[][]> {
  const folder = mkdtempSync(path.join(tmpdir(), 'glassbox-example-'));
  const file = path.join(folder, 'example.mts');
  const entry = pathToFileURL(path.join(root, 'index.ts')).href;
  writeFileSync(file, code.replaceAll("'glassbox'", JSON.stringify(entry)));
  const printed: unknown[][] = [];
  const { log } = console;
  console.log = (...values: unknown[]) => printed.push(values);
  try {
    await import(pathToFileURL(file).href);
  } finally {
    console.log = log;
    rmSync(folder, { recursive: true });
  }
  return printed;
}

/** What an example says that it prints: the text behind each `→` in a comment. */
export const promised = (code: string): string[] =>
  [...code.matchAll(/\/\/[^→\n]*→ (.+)$/gm)].map((m) => m[1]);

/**
 * Asserts that calls of `console.log` printed what the comments promise, in that order (other calls may lie
 * between). Numbers may be off by one in the last digit shown, whole numbers by nothing; `…` stands for
 * anything, also at the end.
 */
export function keepsPromises(code: string, printed: readonly (readonly unknown[])[]): void {
  const texts = printed.map((values) => values.map(show).join(' '));
  let next = 0;
  for (const promise of promised(code)) {
    const from = next;
    while (next < texts.length && !matches(atoms(promise), atoms(texts[next]))) next++;
    if (next++ === texts.length)
      fail(`the example says "${promise}", but printed: ${texts.slice(from).join(' / ').slice(0, 2000)}`);
  }
}

function show(value: unknown): string {
  if (Array.isArray(value) || ArrayBuffer.isView(value))
    return `[${Array.from(value as ArrayLike<unknown>, show).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return String(value);
  return `{${Object.entries(value)
    .map(([key, of]) => `${key}: ${show(of)}`)
    .join(', ')}}`;
}

const NUMBER = /^-?\d*\.?\d+(e[+-]?\d+)?$/;

/** Numbers, `…`, and what lies between, without spaces. */
const atoms = (text: string): string[] =>
  text.replaceAll('−', '-').match(/…|-?\d*\.?\d+(?:e[+-]?\d+)?|[^\s\d…-]+|-/g) ?? [];

function alike(expected: string, found: string): boolean {
  if (!NUMBER.test(expected) || !NUMBER.test(found)) return expected === found;
  const decimals = expected.split('.')[1]?.length ?? 0;
  return Math.abs(Number(expected) - Number(found)) <= (decimals ? 10 ** -decimals : 0);
}

/** Two lists agree, where `…` in the first stands for any number of the second. */
function matches(expected: readonly string[], found: readonly string[]): boolean {
  let ends = new Set([0]); // how many of `found` the atoms so far may have taken
  for (const atom of expected) {
    const first = Math.min(...ends);
    ends =
      atom === '…'
        ? new Set(Array.from({ length: found.length - first + 1 }, (_, i) => first + i))
        : new Set([...ends].filter((at) => at < found.length && alike(atom, found[at])).map((at) => at + 1));
    if (!ends.size) return false;
  }
  return ends.has(found.length);
}
