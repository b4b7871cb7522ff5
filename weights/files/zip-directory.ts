/**
 * The directory at the end of a ZIP archive: which entries there are, and where. It is checked whole before
 * anything is read.
 *
 *     [local header | data | descriptor] ...   directory of the same files, with offsets   end record: where the directory is
 */

import { fileError, quoted } from '../checks/messages.js';
import type { RandomAccess } from './files.js';

/** One file in an archive. */
export interface ZipEntry {
  readonly name: string;
  /** In bytes, uncompressed. */
  readonly size: number;
  /** Bytes in the archive. */
  readonly stored: number;
  readonly deflated: boolean;
  /** Where its local header is. */
  readonly header: number;
  /** Where the next local header, or the directory, begins: its data end before. */
  readonly limit: number;
  /** Checksum of the uncompressed bytes; 0 where the writer computed none. */
  readonly crc: number;
  /** Sizes and checksum stand behind the data, not in the local header (flag bit 3). */
  readonly descriptor: boolean;
}

const DIRECTORY = 0x02014b50;
const END = 0x06054b50;
const END_64 = 0x06064b50;
const LOCATOR_64 = 0x07064b50;
/** Stands for "see the ZIP64 field" in 16 and 32 bits. */
const [SEE_64_SHORT, SEE_64] = [0xffff, 0xffffffff];
const END_BYTES = 22;
const LOCAL_BYTES = 30;
/** A state dict has about ten entries a layer; a directory larger than this is a mistake. */
const MAX_DIRECTORY_BYTES = 2 ** 26;
/** Uncompressed bytes of all entries, at most, for each byte of the file, and beyond. */
const [MAX_RATIO, SPARE_BYTES] = [4, 2 ** 25];

/** Reads an archive's directory. @throws when it is damaged, or uses what is not supported. */
export async function readDirectory(file: RandomAccess): Promise<Map<string, ZipEntry>> {
  const { offset, length, count } = await findDirectory(file);
  const entries = parseDirectory(await readView(file, offset, length, 'its directory'), count, file);
  return new Map(withLimits(entries, offset, file).map((entry) => [entry.name, entry]));
}

async function findDirectory(file: RandomAccess): Promise<{ offset: number; length: number; count: number }> {
  // The end record is followed by a comment of up to 64 KiB.
  const tail = Math.min(file.size, END_BYTES + 0xffff);
  const start = file.size - tail;
  const view = await readView(file, start, tail, 'its end');
  let at = tail - END_BYTES;
  const isEnd = () =>
    view.getUint32(at, true) === END && at + END_BYTES + view.getUint16(at + 20, true) === tail;
  while (at >= 0 && !isEnd()) at--;
  if (at < 0) throw damaged(file, 'it has no end record');
  let count = view.getUint16(at + 10, true);
  let length = view.getUint32(at + 12, true);
  let offset = view.getUint32(at + 16, true);
  let split = view.getUint16(at + 4, true) > 0 && view.getUint16(at + 4, true) !== SEE_64_SHORT;
  if (count === SEE_64_SHORT || length === SEE_64 || offset === SEE_64) {
    const locator = at - 20;
    if (locator < 0 || view.getUint32(locator, true) !== LOCATOR_64)
      throw damaged(file, 'its ZIP64 end record is missing');
    const end = await readView(file, integer64(view, locator + 8, file), 56, 'its ZIP64 end record');
    if (end.getUint32(0, true) !== END_64) throw damaged(file, 'its ZIP64 end record is not one');
    split = end.getUint32(16, true) > 0;
    count = integer64(end, 32, file);
    length = integer64(end, 40, file);
    offset = integer64(end, 48, file);
  }
  if (split) throw fileError(file.name, 'this is one part of a split archive');
  if (length > MAX_DIRECTORY_BYTES) throw damaged(file, `its directory has ${length} bytes`);
  return { offset, length, count };
}

function parseDirectory(view: DataView, count: number, file: RandomAccess): Omit<ZipEntry, 'limit'>[] {
  const entries: Omit<ZipEntry, 'limit'>[] = [];
  const names = new Set<string>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > view.byteLength || view.getUint32(at, true) !== DIRECTORY)
      throw damaged(file, `its directory ends after ${i} of ${count} entries`);
    const flags = view.getUint16(at + 8, true);
    const method = view.getUint16(at + 10, true);
    const nameLength = view.getUint16(at + 28, true);
    const extraLength = view.getUint16(at + 30, true);
    const next = at + 46 + nameLength + extraLength + view.getUint16(at + 32, true);
    if (next > view.byteLength) throw damaged(file, `its directory ends inside entry ${i + 1} of ${count}`);
    const name = new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at + 46, nameLength));
    if (flags & 1) throw fileError(file.name, `its entry ${quoted(name)} is encrypted`);
    if (method !== 0 && method !== 8)
      throw fileError(
        file.name,
        `its entry ${quoted(name)} is compressed by method ${method}; 0 (stored) and 8 (deflate) are read`,
      );
    if (names.has(name)) throw damaged(file, `its entry ${quoted(name)} is there twice`);
    names.add(name);
    // The ZIP64 field holds, in this order, those of the three that do not fit.
    let wide = zip64Field(view, at + 46 + nameLength, extraLength);
    const value = (where: number) => {
      const short = view.getUint32(where, true);
      if (short !== SEE_64 || wide === null) return short;
      const long = integer64(view, wide, file);
      wide += 8;
      return long;
    };
    const size = value(at + 24);
    const stored = value(at + 20);
    const header = value(at + 42);
    if (method === 0 && size !== stored) throw damaged(file, `its entry ${quoted(name)} has two sizes`);
    const crc = view.getUint32(at + 16, true);
    entries.push({ name, size, stored, deflated: method === 8, header, crc, descriptor: (flags & 8) !== 0 });
    at = next;
  }
  if (at !== view.byteLength) throw damaged(file, `its directory has more than ${count} entries`);
  return entries;
}

/**
 * Adds where each entry must end. Entries that overlap, or claim far more than the file can hold, are
 * refused.
 */
function withLimits(entries: Omit<ZipEntry, 'limit'>[], directory: number, file: RandomAccess): ZipEntry[] {
  const sorted = [...entries].sort((a, b) => a.header - b.header);
  const limits = new Map(sorted.map((entry, i) => [entry, sorted[i + 1]?.header ?? directory]));
  let total = 0;
  for (const entry of sorted) {
    total += entry.size;
    if (entry.header + LOCAL_BYTES + entry.stored > limits.get(entry)!)
      throw damaged(file, `its entry ${quoted(entry.name)} overlaps the next`);
  }
  if (total > MAX_RATIO * file.size + SPARE_BYTES) throw damaged(file, `its entries claim ${total} bytes`);
  return entries.map((entry) => ({ ...entry, limit: limits.get(entry)! }));
}

/** Where the values of the ZIP64 field begin among an entry's extra fields, or null. */
function zip64Field(view: DataView, at: number, length: number): number | null {
  for (const end = at + length; at + 4 <= end; at += 4 + view.getUint16(at + 2, true))
    if (view.getUint16(at, true) === 1) return at + 4;
  return null;
}

/** A part of the file. @throws when it lies behind the file's end. */
export async function readView(
  file: RandomAccess,
  offset: number,
  length: number,
  what: string,
): Promise<DataView> {
  if (offset + length > file.size) throw damaged(file, `${what} lies behind the file's end`);
  const bytes = await file.read(offset, length);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function integer64(view: DataView, at: number, file: RandomAccess): number {
  const value = at + 8 <= view.byteLength ? Number(view.getBigUint64(at, true)) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw damaged(file, 'a ZIP64 number is impossible');
  return value;
}

/** The error of an archive that is not as it was written. */
export function damaged({ name, size }: RandomAccess, what: string): Error {
  return fileError(
    name,
    `${what}: the ZIP archive (${size} bytes) is truncated or damaged; get the file again`,
  );
}
