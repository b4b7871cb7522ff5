/**
 * Files of prompts that a command line names: texts a line, JSON lines, CSV or Parquet, from disk, a URL or a
 * data set of the Hub.
 */

import { loadPairs, type PromptPair, readList } from '../interp/notebooks/pairs.js';
import { readTextFile } from '../weights/checks/text-node.js';
import { type DataOptions, readRows, readTexts } from '../weights/data/rows.js';
import type { DataSource } from '../weights/data/source.js';
import { UsageError } from './cli.js';

/** Help of the options that name columns. */
export const DATA_FILES = `a .jsonl, .csv, .tsv or .parquet file (.gz too), a URL or hf://datasets/owner/name/file`;

const TABLE = /\.(jsonl|ndjson|csv|tsv|parquet)(\.gz)?$/i;
const REMOTE = /^(hf|https?):/;

/** `-` is stdin. */
const sourceOf = (file: string): DataSource => (file === '-' ? process.stdin : file);

/** `--columns clean=prompt,answer=target`: which column has what. @throws UsageError */
export function columnsOf(text: string | undefined): Record<string, string> {
  const fields = ['clean', 'corrupted', 'answer', 'wrong'];
  return Object.fromEntries(
    (text ? text.split(',') : []).map((part) => {
      const [, field, column] = /^\s*(\w+)\s*=\s*(.+?)\s*$/.exec(part) ?? [];
      if (field && fields.includes(field)) return [field, column];
      throw new UsageError(`--columns ${part}: FIELD=COLUMN is needed, with ${fields.join(', ')} as fields`);
    }),
  );
}

/** Pairs of prompts of `--pairs` or `--prompts`. */
export async function pairsFrom(
  file: string,
  options: {
    readonly needs?: readonly 'corrupted'[];
    readonly columns?: string;
    readonly signal?: AbortSignal;
  } = {},
): Promise<PromptPair[]> {
  const { columns, ...rest } = options;
  const format = file === '-' || !isTable(file, undefined) ? ({ format: 'jsonl' } as const) : {};
  return loadPairs(sourceOf(file), { ...rest, ...format, columns: columnsOf(columns) });
}

/** Texts: the lines of a file, or the column of a table. */
export async function textsFrom(
  file: string,
  column: string | undefined,
  signal?: AbortSignal,
): Promise<string[]> {
  if (!isTable(file, column) && file !== '-') return readList(readTextFile(file), file);
  return readTexts(sourceOf(file), { ...tableOptions(file, column), signal });
}

/** Whether texts are rows of a table, and not lines. */
export const isTable = (file: string, column: string | undefined): boolean =>
  column !== undefined || TABLE.test(file) || REMOTE.test(file);

/** How a table is read. A stream with columns has JSON lines. */
export const tableOptions = (
  file: string,
  column: string | undefined,
): Pick<DataOptions, 'format'> & { readonly column?: string } =>
  column === undefined ? {} : { column, ...(file === '-' && { format: 'jsonl' as const }) };

/** The text of a file; of a table its rows as JSON. */
export async function jsonFrom(file: string, signal?: AbortSignal): Promise<string> {
  if (!isTable(file, undefined)) return readTextFile(file);
  const rows: object[] = [];
  for await (const row of readRows(file, { signal })) rows.push(row);
  return JSON.stringify(rows);
}
