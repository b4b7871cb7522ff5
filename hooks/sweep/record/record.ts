/**
 * A record of a sweep: JSON lines, the first of which says what the sweep is, one what the runs have that it
 * rests on, each other one cell. A sweep that was cut off goes on from its record; the records of the shards
 * of one sweep, put together, are the whole.
 */

import { fileError, quoted, shownJson } from '../../../weights/checks/messages.js';
import { duplicateKey } from '../../../weights/checks/text.js';
import { is, needed, options, signatures } from '../../input/check.js';
import type { RunValues } from '../counterfactuals.js';

/** Where lines are kept. `jsonLines` (Node) keeps them in a file. */
export interface RecordStore {
  /** The lines so far; none for a new record. */
  read(): Promise<readonly string[]>;
  /** Appends whole lines. */
  append(lines: readonly string[]): Promise<void>;
  /**
   * Whoever records here computes every `of`-th cell from `index` on, and throws `PartDone` while others are
   * missing.
   */
  readonly shard?: { readonly index: number; readonly of: number };
}

/** A part of a sweep is done, and others are not: the whole has no result yet. */
export class PartDone extends Error {
  /** Cells that are there, of this part and of others. */
  readonly done: number;
  readonly of: number;

  constructor(done: number, of: number, { index, of: parts }: NonNullable<RecordStore['shard']>) {
    super(
      `part ${index} of ${parts} is done: ${done} of ${of} cells are recorded, the other parts have the rest`,
    );
    this.name = 'PartDone';
    this.done = done;
    this.of = of;
  }
}

const RECORDS = is.listOf(
  options<{ name: string; lines: readonly string[] }>({ name: needed(is.text), lines: needed(is.texts) }),
  'a list of records, { name, lines }',
);

const takes = signatures({
  mergeRecords: { records: RECORDS },
  sharedRecord: {
    own: is.record,
    others: is.listOf(is.record, 'a list of records'),
    shard: options<{ index?: number; of?: number }>({ index: is.whole, of: is.count }),
  },
});

/**
 * A record of one part of a sweep that many machines share: it is written to the part's own record, and what
 * other parts have recorded is read, too. Once every cell is there, any part (and a run without parts) has
 * the whole result.
 * @param own record of this part
 * @param others records of the other parts, as far as they are there
 */
export const sharedRecord = takes.sharedRecord(function sharedRecord(
  own: RecordStore,
  others: readonly RecordStore[],
  shard?: RecordStore['shard'],
): RecordStore {
  let first: string | undefined; // of the other parts, where this one has none of its own yet
  return {
    async read() {
      const [mine, ...theirs] = await Promise.all([own, ...others].map((record) => record.read()));
      const begun = (lines: readonly string[]) => lines.find((line) => line.trim());
      first = begun(mine) === undefined ? theirs.map(begun).find((line) => line !== undefined) : undefined;
      return first === undefined ? [...mine, ...theirs.flat()] : theirs.flat();
    },
    async append(lines) {
      await own.append(first === undefined ? lines : [first, ...lines]);
      first = undefined;
    },
    ...(shard && { shard }),
  };
});

/** Of what is written now. */
const FORMAT = 1;

/** First line of a record. */
export interface RecordHeader {
  readonly glassbox: 'sweep';
  /** Number of the record's format; records from before it was written are of format 1. */
  readonly format: 1;
  /** Tells sweeps apart: model, prompts, interventions, metric. */
  readonly fingerprint: string;
  readonly cells: number;
  /**
   * What the cells need to be shown: labels, axes, provenance. `lengths: 'differ'`: cells have as many values
   * as they need.
   */
  readonly about: Readonly<Record<string, unknown>>;
}

/** The first line of a new record. */
export const recordHeader = (
  fingerprint: string,
  cells: number,
  about: RecordHeader['about'],
): RecordHeader => ({ glassbox: 'sweep', format: FORMAT, fingerprint, cells, about });

/** One cell: its number, and its value, or one a prompt. */
export interface RecordCell {
  readonly index: number;
  readonly value: readonly number[];
}

/** What is in a record. */
export interface RecordContent {
  readonly header: RecordHeader | null;
  readonly cells: ReadonlyMap<number, readonly number[]>;
  /** The metric of the base run and the sources, once they are done. */
  readonly runs: RunValues | null;
}

/** A record that has every cell. */
export interface WholeRecord extends RecordContent {
  readonly header: RecordHeader;
  readonly runs: RunValues;
}

/** A line of a record. Numbers that JSON does not have are strings: a metric may be −Infinity, or NaN. */
export const recordLine = (entry: RecordHeader | RecordCell | { readonly runs: RunValues }): string =>
  JSON.stringify(entry, (_, x) => (typeof x === 'number' && !Number.isFinite(x) ? String(x) : x));

/**
 * Reads lines of a record. Lines that were cut off are dropped: such a cell runs again.
 * @param what names the record in messages
 * @throws when it is not a record, or something else than a cut damaged it: a value that is no number, a cell
 * or the runs
 *   twice with different values, cells with more values than others where all must have as many. The message
 *   names the line.
 */
export function readRecord(lines: readonly string[], what = 'record'): RecordContent {
  const cells = new Map<number, readonly number[]>();
  let header: RecordHeader | null = null;
  let runs: RunValues | null = null;
  let width: number | undefined;
  for (const [i, line] of lines.entries()) {
    if (!line.trim()) continue;
    const where = `${what}, line ${i + 1}`;
    const entry = parse(line);
    if (entry === null) {
      if (isCut(line)) continue;
      throw fileError(where, `no line of a record: ${quoted(line)}`);
    }
    if (duplicateKey(line, 1) !== undefined) throw fileError(where, `a key is there twice: ${quoted(line)}`);
    if (!header) header = readHeader(entry, line, what);
    else if (entry.glassbox === 'sweep') {
      if (entry.fingerprint !== header.fingerprint || entry.cells !== header.cells)
        throw fileError(where, 'another sweep begins here: records are merged with mergeRecords');
    } else if (Object.hasOwn(entry, 'runs')) {
      const found = readRuns(entry.runs, where);
      if (runs) checkRuns(found, runs, where, 'the lines before');
      runs = found;
    } else {
      const { index, value } = entry as unknown as RecordCell;
      if (!Number.isInteger(index) || index < 0 || index >= header.cells)
        throw fileError(where, `no cell of a sweep with ${header.cells}: ${quoted(line)}`);
      const numbers = readNumbers(value, where);
      width ??= numbers.length;
      if (numbers.length !== width && header.about.lengths !== 'differ')
        throw fileError(where, `cell ${index} has ${numbers.length} values, and others have ${width}`);
      checkCell(cells, index, numbers, where);
      cells.set(index, numbers);
    }
  }
  return { header, cells, runs };
}

/** What a record already has; writes its first line if it is new. @throws when it is of another sweep. */
export async function resumeRecord(
  record: RecordStore,
  first: RecordHeader,
): Promise<Pick<RecordContent, 'cells' | 'runs'>> {
  const { header, ...content } = readRecord(await record.read());
  if (header && (header.fingerprint !== first.fingerprint || header.cells !== first.cells))
    throw new Error(
      'the record is of another sweep (model, prompts, list or metric differ): give it another file',
    );
  if (!header) await record.append([recordLine(first)]);
  return content;
}

/** The first line. @throws when it is none, or of a later format. */
function readHeader(entry: Record<string, unknown>, line: string, what: string): RecordHeader {
  const { glassbox, format = FORMAT, fingerprint, cells, about } = entry;
  if (glassbox !== 'sweep' || typeof fingerprint !== 'string')
    throw fileError(what, `not the record of a sweep: its first line is ${quoted(line)}`);
  if (format !== FORMAT)
    throw fileError(
      what,
      `a record of format ${shownJson(format)}, and this Glassbox reads format ${FORMAT}`,
    );
  if (!Number.isSafeInteger(cells) || (cells as number) < 0 || typeof about !== 'object' || about === null)
    throw fileError(
      what,
      `its first line says ${shownJson(cells)} cells about ${shownJson(about)}: it is damaged`,
    );
  return { glassbox, format, fingerprint, cells, about } as RecordHeader;
}

function readRuns(runs: unknown, where: string): RunValues {
  const { base, sources, remarks } = (runs ?? {}) as { base?: unknown; sources?: unknown; remarks?: unknown };
  if (typeof sources !== 'object' || sources === null || Array.isArray(sources))
    throw fileError(where, 'no sources of a sweep: the record is damaged');
  const each = Object.entries(sources).map(([name, v]) => [name, readNumbers(v, where)]);
  const told = Array.isArray(remarks) ? remarks.filter((r) => typeof r === 'string') : [];
  return {
    ...{ base: readNumbers(base, where), sources: Object.fromEntries(each) },
    ...(told.length && { remarks: told }),
  };
}

/** What stands in a line, or null. */
function parse(line: string): Record<string, unknown> | null {
  try {
    const entry = JSON.parse(line);
    return typeof entry === 'object' ? entry : null;
  } catch {
    return null;
  }
}

/** Is it the beginning of a line that `recordLine` makes? */
const isCut = (line: string): boolean =>
  ['{"glassbox":', '{"runs":', '{"index":'].some((key) => key.startsWith(line) || line.startsWith(key));

/** Numbers that JSON does not have, as `recordLine` writes them. */
const NOT_IN_JSON: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  '-Infinity': Number.NEGATIVE_INFINITY,
};

function readNumbers(values: unknown, where: string): number[] {
  if (!Array.isArray(values) || !values.length)
    throw fileError(where, `a list of numbers is needed, and here is ${shownJson(values)}`);
  return values.map((value) => {
    const number =
      typeof value === 'string' && Object.hasOwn(NOT_IN_JSON, value) ? NOT_IN_JSON[value] : value;
    if (typeof number === 'number') return number;
    throw fileError(where, `${shownJson(value)} is no number: the record is damaged`);
  });
}

/** A cell may be there twice, as runs on two adapters give it; not with two meanings. */
function checkCell(
  cells: ReadonlyMap<number, readonly number[]>,
  index: number,
  value: readonly number[],
  where: string,
): void {
  const before = cells.get(index);
  if (before && (before.length !== value.length || before.some((v, i) => !near(value[i], v))))
    throw fileError(where, `cell ${index} is ${shownJson(value)}, and it was ${shownJson(before)} before`);
}

/**
 * Puts the records of shards together.
 * @param records lines of each, by name
 * @throws when they are of different sweeps, disagree, or cells are missing (it says how many, and the first)
 */
export const mergeRecords = takes.mergeRecords(function mergeRecords(
  records: readonly { readonly name: string; readonly lines: readonly string[] }[],
): WholeRecord {
  if (!records.length) throw new Error('merge: no records were given');
  const cells = new Map<number, readonly number[]>();
  let header: RecordHeader | null = null;
  let runs: RunValues | null = null;
  for (const { name, lines } of records) {
    const content = readRecord(lines, name);
    if (!content.header) throw fileError(name, 'it is empty: that shard has not begun');
    if (
      header &&
      (content.header.fingerprint !== header.fingerprint || content.header.cells !== header.cells)
    )
      throw fileError(
        name,
        `of another sweep than ${records[0].name}: model, prompts, list or metric differ`,
      );
    header ??= content.header;
    if (runs && content.runs) checkRuns(content.runs, runs, records[0].name, name);
    runs ??= content.runs;
    for (const [i, value] of content.cells) {
      checkCell(cells, i, value, name);
      cells.set(i, cells.get(i) ?? value);
    }
  }
  const missing = header!.cells - cells.size;
  if (missing || !runs) {
    let first = 0;
    while (cells.has(first)) first++;
    throw fileError(
      records.length === 1 ? records[0].name : `the ${records.length} records`,
      `${missing} of ${header!.cells} cells are missing${missing ? ` (the first is ${first})` : ''}: a shard is not there, or not finished`,
    );
  }
  return { header: header!, cells, runs };
});

/** Relative difference between adapters that is no sign of another sweep. */
const SAME = 1e-3;
const near = (a: number, b: number): boolean =>
  Object.is(a, b) || Math.abs(a - b) <= SAME * (1 + Math.abs(b));

/**
 * Finds out what a fingerprint cannot tell, such as the tokens behind a metric's name.
 * @throws when the metric of the base run, or of a source, is not what the other record has.
 */
export function checkRuns(runs: RunValues, other: RunValues, name: string, own = 'this sweep'): void {
  const flat = ({ base, sources }: RunValues) => [...base, ...Object.values(sources).flat()];
  const [a, b] = [flat(runs), flat(other)];
  const i = a.findIndex((value, k) => !near(value, b[k]));
  if (a.length === b.length && i < 0) return;
  const where = i >= runs.base.length ? 'a source' : 'the base run';
  const how = i < 0 ? 'they have other sources' : `the metric of ${where} is ${a[i]} and ${b[i]}`;
  throw fileError(name, `of another sweep than ${own}: ${how}`);
}

/** SHA-256 of a text, hexadecimal. */
export async function sha256(text: string): Promise<string> {
  const bytes = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return Array.from(new Uint8Array(bytes), (b) => b.toString(16).padStart(2, '0')).join('');
}
