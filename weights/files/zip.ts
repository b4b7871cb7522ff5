/**
 * The ZIP format, as far as reading entries by name needs: the directory at the file's end is read first
 * (`zip-directory.ts`), an entry's bytes when they are asked for. PyTorch stores tensors uncompressed, so
 * parts of them can be read; deflated entries are inflated whole. Sizes beyond 4 GiB (ZIP64) are understood;
 * encryption and archives over several files are not.
 *
 * An entry is found by the directory, and its local header must agree. Its checksum is compared when it is
 * first read, unless it is 0: PyTorch can be told to compute none.
 */

import { Inflate } from 'fflate';
import { fileError, quoted } from '../checks/messages.js';
import { crc32 } from './crc32.js';
import type { RandomAccess } from './files.js';
import { damaged, readDirectory, readView, type ZipEntry } from './zip-directory.js';

export type { ZipEntry } from './zip-directory.js';

/** An open archive. */
export interface Zip {
  readonly entries: ReadonlyMap<string, ZipEntry>;
  /**
   * Bytes `[offset, offset + length)` of an entry, uncompressed. @throws when the archive does not hold them.
   */
  read(entry: ZipEntry, offset?: number, length?: number): Promise<Uint8Array>;
}

const LOCAL = 0x04034b50;
const LOCAL_BYTES = 30;
const DESCRIPTOR = 0x08074b50;
/**
 * What may stand behind an entry's data, in bytes: checksum and two sizes, of 4 or 8 bytes, with a signature
 * or without.
 */
const DESCRIPTOR_BYTES = [12, 16, 20, 24];
/** Deflate cannot do better. */
const MAX_DEFLATE = 1032;
/** Checksums of large entries are computed in steps of so many bytes. */
const STEP = 2 ** 22;

/**
 * Open an archive: read its directory.
 * @throws an error that names the file when it is truncated, damaged, or uses what is not supported.
 */
export async function openZip(file: RandomAccess): Promise<Zip> {
  const entries = await readDirectory(file);
  const located = new Map<ZipEntry, Promise<number>>();
  const checked = new Set<ZipEntry>();
  const locate = (entry: ZipEntry): Promise<number> => {
    const known = located.get(entry) ?? dataOf(entry, file);
    located.set(entry, known);
    return known;
  };
  /** Compares the checksum of an entry's bytes, given piece by piece. */
  const check = (entry: ZipEntry, crc: number) => {
    if (entry.crc !== 0 && crc !== entry.crc)
      throw damaged(file, `the checksum of its entry ${quoted(entry.name)} is another`);
    checked.add(entry);
  };
  return {
    entries,
    async read(entry, offset = 0, length = entry.size - offset) {
      if (offset < 0 || length < 0 || offset + length > entry.size)
        throw fileError(
          file.name,
          `bytes ${offset}–${offset + length} of its entry ${quoted(entry.name)} were wanted, it has ${entry.size}`,
        );
      const data = await locate(entry);
      if (entry.deflated || length === entry.size) {
        const bytes = await file.read(data, entry.stored);
        const whole = entry.deflated ? inflate(bytes, entry, file) : bytes;
        if (!checked.has(entry)) check(entry, crc32(whole));
        return whole.subarray(offset, offset + length);
      }
      if (!checked.has(entry) && entry.crc !== 0) {
        let crc = 0;
        for (let at = 0; at < entry.size; at += STEP)
          crc = crc32(await file.read(data + at, Math.min(STEP, entry.size - at)), crc);
        check(entry, crc);
      }
      return file.read(data + offset, length);
    },
  };
}

/** Where an entry's data begin. @throws when its local header does not agree with the directory. */
async function dataOf(entry: ZipEntry, file: RandomAccess): Promise<number> {
  const what = `its entry ${quoted(entry.name)}`;
  const name = new TextEncoder().encode(entry.name);
  const local = await readView(
    file,
    entry.header,
    Math.min(LOCAL_BYTES + name.length, entry.limit - entry.header),
    what,
  );
  const nameLength = local.byteLength < LOCAL_BYTES ? -1 : local.getUint16(26, true);
  if (nameLength < 0 || local.getUint32(0, true) !== LOCAL)
    throw damaged(file, `${what} does not begin where it should`);
  const theirs = new Uint8Array(local.buffer, local.byteOffset + LOCAL_BYTES, local.byteLength - LOCAL_BYTES);
  if (
    nameLength !== name.length ||
    theirs.length !== name.length ||
    theirs.some((byte, i) => byte !== name[i])
  )
    throw damaged(file, `${what} has another name at its data`);
  if (local.getUint16(8, true) !== (entry.deflated ? 8 : 0))
    throw damaged(file, `${what} is said to be compressed in two ways`);
  const descriptor = (local.getUint16(6, true) & 8) !== 0;
  // With a descriptor behind the data, checksum and sizes here mean nothing. All ones: see the ZIP64 field.
  const agrees = (at: number, value: number) =>
    [value, 0xffffffff].includes(local.getUint32(at, true)) || value > 0xffffffff;
  if (!descriptor && !(agrees(14, entry.crc) && agrees(18, entry.stored) && agrees(22, entry.size)))
    throw damaged(file, `${what} has another size or checksum at its data`);
  const data = entry.header + LOCAL_BYTES + nameLength + local.getUint16(28, true);
  const behind = entry.limit - data - entry.stored;
  if (behind < 0) throw damaged(file, `${what} overlaps what follows it`);
  // Without a checksum, only the place where it ends tells that data begin where they should.
  if (entry.crc === 0) await checkEnd(entry, data + entry.stored, behind, descriptor, file);
  return data;
}

/** Checks that an entry without a checksum is followed by nothing but a descriptor that has none either. */
async function checkEnd(
  entry: ZipEntry,
  end: number,
  behind: number,
  descriptor: boolean,
  file: RandomAccess,
) {
  const what = `its entry ${quoted(entry.name)}`;
  if (descriptor !== entry.descriptor) throw damaged(file, `${what} has other flags at its data`);
  if (!descriptor && behind === 0) return;
  if (!descriptor || !DESCRIPTOR_BYTES.includes(behind))
    throw damaged(file, `${what} does not end where the next begins`);
  const view = await readView(file, end, behind, what);
  const signed = behind % 8 === 0;
  const crc = view.getUint32(signed ? 4 : 0, true);
  const wide = behind >= 20;
  const at = signed ? 8 : 4;
  const [stored, size] = [0, 1].map((i) =>
    wide ? Number(view.getBigUint64(at + 8 * i, true)) : view.getUint32(at + 4 * i, true),
  );
  if (
    (signed && view.getUint32(0, true) !== DESCRIPTOR) ||
    crc !== 0 ||
    stored !== entry.stored ||
    size !== entry.size
  )
    throw damaged(file, `${what} has another size or checksum behind its data`);
}

/** Compressed bytes that are inflated at once: they may become a thousand times as many. */
const INFLATE_STEP = 2 ** 16;

/** Stops as soon as more comes out than the directory promised: a few bytes can stand for gigabytes. */
function inflate(compressed: Uint8Array, { name, size }: ZipEntry, file: RandomAccess): Uint8Array {
  if (size > MAX_DEFLATE * compressed.length)
    throw damaged(file, `its entry ${quoted(name)} claims ${size} bytes`);
  const out = new Uint8Array(size);
  let length = 0;
  const stream = new Inflate((chunk) => {
    if (length + chunk.length > size) throw new Error(`more than ${size} bytes`);
    out.set(chunk, length);
    length += chunk.length;
  });
  try {
    for (let at = 0; at < compressed.length; at += INFLATE_STEP)
      stream.push(compressed.subarray(at, at + INFLATE_STEP), at + INFLATE_STEP >= compressed.length);
  } catch {
    throw damaged(file, `its entry ${quoted(name)} cannot be inflated`);
  }
  if (length !== size)
    throw damaged(file, `its entry ${quoted(name)} gives ${length} bytes instead of ${size}`);
  return out;
}
