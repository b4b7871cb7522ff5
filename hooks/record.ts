/**
 * A record of a sweep: JSON lines, the first of which says what the sweep is, one what the runs have that it rests on,
 * each other one cell. A sweep that was cut off goes on from its record; the records of the shards of one sweep, put
 * together, are the whole.
 */

import { is, needed, options, signatures } from './check.js';
import type { RunValues } from './counterfactuals.js';

/** Where lines are kept. `jsonLines` (Node) keeps them in a file. */
export interface RecordStore {
  /** The lines so far; none for a new record. */
  read(): Promise<readonly string[]>;
  /** Appends whole lines. */
  append(lines: readonly string[]): Promise<void>;
}

/** First line of a record. */
export interface RecordHeader {
  readonly glassbox: 'sweep';
  /** Tells sweeps apart: model, prompts, interventions, metric. */
  readonly fingerprint: string;
  readonly cells: number;
  /** What the cells need to be shown: labels, axes, provenance. */
  readonly about: Readonly<Record<string, unknown>>;
}

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
 * @throws when it is not a record, or something else than a cut damaged it
 */
export function readRecord(lines: readonly string[], what = 'record'): RecordContent {
  const cells = new Map<number, readonly number[]>();
  let header: RecordHeader | null = null;
  let runs: RunValues | null = null;
  for (const [i, line] of lines.entries()) {
    if (!line.trim()) continue;
    const where = `${what}, line ${i + 1}`;
    const entry = parse(line);
    if (entry === null) {
      if (isCut(line)) continue;
      throw new Error(`${where} is no line of a record: ${JSON.stringify(line.slice(0, 60))}`);
    }
    if (!header) {
      const { glassbox, fingerprint, cells } = entry as unknown as RecordHeader;
      if (glassbox !== 'sweep' || typeof fingerprint !== 'string' || !Number.isInteger(cells))
        throw new Error(`${what} is not the record of a sweep: its first line is ${line.slice(0, 80)}`);
      header = entry as unknown as RecordHeader;
    } else if (entry.glassbox === 'sweep') {
      if (entry.fingerprint !== header.fingerprint)
        throw new Error(`${where} begins another sweep: records are merged with mergeRecords`);
    } else if (entry.runs) {
      const { base, sources } = entry.runs as RunValues;
      const each = Object.entries(sources).map(([name, v]) => [name, numbers(v)]);
      runs = { base: numbers(base), sources: Object.fromEntries(each) };
    } else {
      const { index, value } = entry as unknown as RecordCell;
      if (!Number.isInteger(index) || index < 0 || index >= header.cells || !Array.isArray(value))
        throw new Error(`${where} is no cell of a sweep with ${header.cells}: ${line.slice(0, 80)}`);
      cells.set(index, numbers(value));
    }
  }
  return { header, cells, runs };
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

const numbers = (values: readonly unknown[]): number[] => values.map(Number);

const RECORDS = is.listOf(
  options<{ name: string; lines: readonly string[] }>({ name: needed(is.text), lines: needed(is.texts) }),
  'a list of records, { name, lines }',
);

const takes = signatures({
  mergeRecords: { records: RECORDS },
});

/**
 * Puts the records of shards together.
 * @param records lines of each, by name
 * @throws when they are of different sweeps, or cells are missing (it says how many, and the first)
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
    if (!content.header) throw new Error(`${name} is empty: that shard has not begun`);
    if (header && content.header.fingerprint !== header.fingerprint)
      throw new Error(
        `${name} is of another sweep than ${records[0].name}: model, prompts, list or metric differ`,
      );
    header ??= content.header;
    if (runs && content.runs) checkRuns(content.runs, runs, records[0].name, name);
    runs ??= content.runs;
    for (const [i, value] of content.cells) cells.set(i, value);
  }
  const missing = Array.from({ length: header!.cells }, (_, i) => i).filter((i) => !cells.has(i));
  if (missing.length || !runs)
    throw new Error(
      `${missing.length} of ${header!.cells} cells are missing${missing.length ? ` (the first is ${missing[0]})` : ''}: a shard is not there, or not finished`,
    );
  return { header: header!, cells, runs };
});

/** Relative difference between adapters that is no sign of another sweep. */
const SAME = 1e-3;

/**
 * Finds out what a fingerprint cannot tell, such as the tokens behind a metric's name.
 * @throws when the metric of the base run, or of a source, is not what the other record has.
 */
export function checkRuns(runs: RunValues, other: RunValues, name: string, own = 'this sweep'): void {
  const flat = ({ base, sources }: RunValues) => [...base, ...Object.values(sources).flat()];
  const [a, b] = [flat(runs), flat(other)];
  const differs = (i: number) => Math.abs(a[i] - b[i]) > SAME * (1 + Math.abs(b[i]));
  const i = a.findIndex((_, k) => differs(k));
  if (a.length === b.length && i < 0) return;
  const where = i >= runs.base.length ? 'a source' : 'the base run';
  const how = i < 0 ? 'they have other sources' : `the metric of ${where} is ${a[i]} and ${b[i]}`;
  throw new Error(`${name} is of another sweep than ${own}: ${how}`);
}

/** SHA-256 of a text, hexadecimal. */
export async function sha256(text: string): Promise<string> {
  const bytes = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return Array.from(new Uint8Array(bytes), (b) => b.toString(16).padStart(2, '0')).join('');
}
