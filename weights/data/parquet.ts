/**
 * Parquet files, one group of rows after the other; of the file only the columns that are asked for are read.
 */

import { fileError } from '../checks/messages.js';
import type { RandomAccess } from '../files/files.js';
import { noColumn, type Placed } from './row.js';

/**
 * Rows of a Parquet file. Memory holds one group of rows of the columns.
 * @param columns names; null: all
 */
export async function* parquetRows(
  file: RandomAccess,
  columns: readonly string[] | null,
): AsyncGenerator<Placed> {
  const { parquetMetadataAsync, parquetReadObjects, parquetSchema } = await import('hyparquet');
  const { compressors } = await import('hyparquet-compressors');
  const { name } = file;
  const buffer = {
    byteLength: file.size,
    slice: async (start: number, end: number = file.size) => {
      const from = start < 0 ? file.size + start : start;
      const bytes = await file.read(from, Math.min(end, file.size) - from);
      return bytes.slice().buffer as ArrayBuffer;
    },
  };
  const broken = (cause: unknown) =>
    fileError(name, `not a whole Parquet file: ${String((cause as Error).message)}`, cause);
  const metadata = await parquetMetadataAsync(buffer).catch((cause) => {
    throw broken(cause);
  });
  const held = parquetSchema(metadata).children.map(({ element }) => element.name);
  const wanted = columns?.map((column) => (held.includes(column) ? column : column.split('.')[0]));
  const missing = wanted?.findIndex((column) => !held.includes(column)) ?? -1;
  if (missing >= 0) throw noColumn(name, columns![missing], held);
  let start = 0;
  for (const { num_rows } of metadata.row_groups) {
    const end = start + Number(num_rows);
    const rows = await parquetReadObjects({
      file: buffer,
      metadata,
      compressors,
      rowStart: start,
      rowEnd: end,
      ...(wanted && { columns: [...new Set(wanted)] }),
    }).catch((cause) => {
      throw broken(cause);
    });
    for (const [i, row] of rows.entries())
      yield { row: plain(row) as Placed['row'], where: `${name}, row ${start + i + 1}` };
    start = end;
  }
}

/** Whole numbers of 64 bits are numbers where a number holds them. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') {
    const n = Number(value);
    return Number.isSafeInteger(n) ? n : value;
  }
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype)
    return value;
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, plain(v)]));
}
