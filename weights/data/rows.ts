/**
 * Rows of data, streamed: JSON lines, CSV, Parquet, or texts a line each; from disk, a URL or a data set of
 * the Hub. Readers are loaded when a file needs them.
 */

import {
  either,
  having,
  isList,
  type Kind,
  listOf,
  oneOf,
  path,
  shownValue,
  text,
  whole,
} from '../checks/kinds.js';
import { fileError, quoted } from '../checks/messages.js';
import { options, type Spec, signatures } from '../checks/options.js';
import { parseJson } from '../checks/text.js';
import type { RandomAccess } from '../files/files.js';
import { FILE_OPTIONS, type LoadOptions } from '../files/platform.js';
import { csvRows } from './csv.js';
import { parquetRows } from './parquet.js';
import { noColumn, type Placed, type Row } from './row.js';
import { type DataSource, openData } from './source.js';
import { linesOf, textOf } from './text.js';

export type { Row } from './row.js';

/** How a file is read. */
export type DataFormat = 'jsonl' | 'json' | 'csv' | 'tsv' | 'parquet' | 'text';

/**
 * Options of `readRows`: how to read, and those of loading files (`token`, `cacheDir`, `timeoutMs`, `signal`,
 * …).
 */
export interface DataOptions extends LoadOptions {
  /**
   * Default: by the ending of the name (`.jsonl`, `.csv`, `.tsv`, `.parquet`, `.json`, `.txt`; each may be
   * followed by `.gz`), else by the first bytes.
   */
  readonly format?: DataFormat;
  /** Columns that are wanted; `a.b` is a field in one. Default: all. */
  readonly columns?: readonly string[];
  /** Rows at most. */
  readonly limit?: number;
}

/** Options of `readTexts`. */
export interface TextDataOptions extends Omit<DataOptions, 'columns'> {
  /** The column with the texts. Default: the only one there is, else `text`. */
  readonly column?: string;
}

/** What reading data may be told. */
export const DATA = {
  ...FILE_OPTIONS,
  format: oneOf('jsonl', 'json', 'csv', 'tsv', 'parquet', 'text'),
  limit: whole,
} satisfies Spec<Omit<DataOptions, 'columns'>>;
/** What data is. */
export const DATA_SOURCE: Kind = {
  ...either(path, having('', 'arrayBuffer'), {
    what: '',
    is: (v) => typeof v === 'object' && v !== null && Symbol.asyncIterator in v,
  }),
  what: 'data (a path, a URL, hf://datasets/owner/name/file, a Blob or a stream)',
};
const ROWS = options<DataOptions>({ ...DATA, columns: listOf(text, 'names of columns') });
const TEXTS = options<TextDataOptions>({ ...DATA, column: text });
const takes = signatures({
  readRows: { source: DATA_SOURCE, options: ROWS },
  streamTexts: { source: DATA_SOURCE, options: TEXTS },
  readTexts: { source: DATA_SOURCE, options: TEXTS },
});

/**
 * Rows, one after the other; the file is read as they are asked for.
 * @throws when there is no such file or column, for a row that is broken (with file and line), when there is
 * no row
 * @example for await (const { prompt, answer } of readRows('prompts.csv', { columns: ['prompt', 'answer'] }))
 * …
 */
export const readRows = takes.readRows(async function* readRows(
  from: DataSource,
  given: DataOptions = {},
): AsyncGenerator<Row> {
  for await (const { row } of placedRows(from, given)) yield row;
});

/** The texts of a column, one after the other: what `perplexity` reads. See `readTexts`. */
export const streamTexts = takes.streamTexts(async function* streamTexts(
  from: DataSource,
  { column, ...given }: TextDataOptions = {},
): AsyncGenerator<string> {
  let name = column;
  for await (const { row, where } of placedRows(from, {
    ...given,
    ...(column !== undefined && { columns: [column] }),
  })) {
    const held = Object.keys(row);
    name ??= held.length === 1 ? held[0] : 'text';
    if (!Object.hasOwn(row, name))
      throw fileError(
        where,
        `which column has the texts? There are ${held
          .slice(0, 12)
          .map((x) => quoted(x, 30))
          .join(', ')}`,
      );
    const value = row[name];
    if (typeof value !== 'string')
      throw fileError(where, `${quoted(name, 40)} is ${shownValue(value)}: a text is needed`);
    yield value;
  }
});

/**
 * The texts of a column, all of them.
 * @throws when there is no such column (the error says which there are), or a value is no text; and as
 * `readRows`
 * @example const prompts = await readTexts('hf://datasets/owner/name/data/train.parquet', { column: 'prompt',
 * limit: 100 })
 */
export const readTexts = takes.readTexts(async function readTexts(
  from: DataSource,
  given: TextDataOptions = {},
): Promise<string[]> {
  const texts: string[] = [];
  for await (const one of streamTexts(from, given)) texts.push(one);
  return texts;
});

/** Rows with the places where they stand. */
export async function* placedRows(
  from: DataSource,
  { format, columns, limit = Number.POSITIVE_INFINITY, ...load }: DataOptions = {},
): AsyncGenerator<Placed> {
  const opened = await openData(from, load);
  const names = columns ?? null;
  let n = 0;
  const parts =
    'files' in opened
      ? opened.files.map((file) => ({ name: file.name, part: file }))
      : [{ name: opened.name, part: opened.stream }];
  if (limit < 1) return;
  for (const { name, part } of parts)
    for await (const { row, where } of rowsOf(part, name, format, names)) {
      load.signal?.throwIfAborted();
      yield { row: names ? picked(row, names, where) : row, where };
      if (++n >= limit) return;
    }
  if (!n) throw fileError(parts[0].name, 'it has no rows');
}

async function* rowsOf(
  part: RandomAccess | AsyncIterable<string | Uint8Array>,
  name: string,
  given: DataFormat | undefined,
  columns: readonly string[] | null,
): AsyncGenerator<Placed> {
  const file = 'read' in part ? part : null;
  if (file?.size === 0) throw fileError(name, 'it is empty');
  const format = given ?? (await formatOf(name, file));
  if (format === 'parquet') {
    if (!file) throw fileError(name, 'Parquet is read from files, not from streams');
    yield* parquetRows(file, columns);
    return;
  }
  const pieces = textOf(part, name);
  if (format === 'csv' || format === 'tsv') yield* csvRows(pieces, name, format === 'csv' ? ',' : '\t');
  else if (format === 'text') {
    for await (const [line, n] of linesOf(pieces))
      if (line.trim()) yield { row: { text: line }, where: `${name}, line ${n}` };
  } else yield* jsonRows(pieces, name, format === 'json');
}

const ENDINGS: Readonly<Record<string, DataFormat>> = {
  jsonl: 'jsonl',
  ndjson: 'jsonl',
  json: 'json',
  csv: 'csv',
  tsv: 'tsv',
  parquet: 'parquet',
  txt: 'text',
};

/** By the name's ending, else by how the file begins: JSON lines, Parquet, or texts. */
async function formatOf(name: string, file: RandomAccess | null): Promise<DataFormat> {
  const [, ending] = /\.(\w+?)(?:\.gz)?(?:[?#].*)?$/.exec(name) ?? [];
  const known = ending && Object.hasOwn(ENDINGS, ending.toLowerCase()) ? ENDINGS[ending.toLowerCase()] : null;
  if (known) return known;
  if (!file) return 'text';
  const start = new TextDecoder('latin1').decode(await file.read(0, Math.min(64, file.size)));
  if (start.startsWith('PAR1')) return 'parquet';
  return /^[^\w]{0,4}\{/.test(start) ? 'jsonl' : 'text';
}

/** JSON lines; a file called .json may also be one list. */
async function* jsonRows(
  pieces: AsyncGenerator<string>,
  name: string,
  list: boolean,
): AsyncGenerator<Placed> {
  const first = list ? await pieces.next() : null;
  if (first && !first.done && /^\s*\[/.test(first.value)) {
    let all = first.value;
    for await (const piece of pieces) all += piece;
    for (const [i, row] of (parseJson(all, name) as unknown[]).entries())
      yield placed(row, `${name}, row ${i + 1}`);
    return;
  }
  const whole = (async function* () {
    if (first && !first.done) yield first.value;
    yield* pieces;
  })();
  for await (const [line, n] of linesOf(whole)) {
    if (!line.trim()) continue;
    const where = `${name}, line ${n}`;
    yield placed(parseJson(line, where), where);
  }
}

function placed(row: unknown, where: string): Placed {
  if (typeof row === 'object' && row !== null && !isList(row)) return { row: row as Row, where };
  throw fileError(where, `${shownValue(row)}: an object with columns is needed, {"text": "…"}`);
}

/** The columns that are wanted. @throws for one that the row lacks */
function picked(row: Row, columns: readonly string[], where: string): Row {
  const value = (column: string): unknown => {
    if (Object.hasOwn(row, column)) return row[column];
    let at: unknown = row;
    for (const key of column.split('.')) {
      if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key))
        throw noColumn(where, column, Object.keys(row));
      at = (at as Row)[key];
    }
    return at;
  };
  return Object.fromEntries(columns.map((column) => [column, value(column)]));
}
