/** The code that documents show: taken out of them, and run. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

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
