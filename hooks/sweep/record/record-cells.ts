/**
 * Anything that is computed item by item, with a record: what is done is kept, and a run that was stopped
 * goes on from there.
 */

import { PartDone, type RecordStore, recordHeader, recordLine, resumeRecord, sha256 } from './record.js';

/** What is computed. */
export interface RecordedItems {
  /** Tells runs apart: the method, the model's hash, the items and options. */
  readonly of: Readonly<Record<string, unknown>>;
  /** How many items. */
  readonly count: number;
  /** Items that are computed, and recorded, at once. */
  readonly batch: number;
  readonly record: RecordStore;
  /** Every `of`-th item from `index` on only; the other entries are null. */
  readonly shard?: { readonly index: number; readonly of: number };
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Computes the items that a record lacks, batch by batch, and appends each batch as it is done.
 * @param compute numbers of some items, one list an item
 * @returns numbers of every item; null for items of other shards that the record lacks
 * @throws when the record is of something else; `PartDone` when it is a part's, and other parts are not done
 */
export async function recordedItems(
  {
    of,
    count,
    batch,
    record,
    shard = record.shard ?? { index: 0, of: 1 },
    onProgress,
    signal,
  }: RecordedItems,
  compute: (items: readonly number[]) => Promise<readonly (readonly number[])[]>,
): Promise<(readonly number[] | null)[]> {
  const fingerprint = await sha256(JSON.stringify(of));
  const about = { method: of.method, lengths: 'differ' }; // a text has a value a token
  const { cells } = await resumeRecord(record, recordHeader(fingerprint, count, about));
  const done = new Map(cells);
  const mine = Array.from({ length: count }, (_, i) => i).filter((i) => i % shard.of === shard.index);
  const missing = mine.filter((i) => !done.has(i));
  const before = mine.length - missing.length;
  onProgress?.(before, mine.length);
  for (let at = 0; at < missing.length; at += batch) {
    signal?.throwIfAborted();
    const some = missing.slice(at, at + batch);
    const values = await compute(some);
    await record.append(some.map((index, i) => recordLine({ index, value: values[i] })));
    some.forEach((index, i) => {
      done.set(index, values[i]);
    });
    onProgress?.(before + at + some.length, mine.length);
  }
  if (record.shard && done.size < count) throw new PartDone(done.size, count, record.shard);
  return Array.from({ length: count }, (_, i) => done.get(i) ?? null);
}
