/**
 * Where bytes come from, whatever the platform: a folder, a URL, a set of Blobs, the Hub.
 *
 * A model is a `FileSource`, a folder of named files. A file is a `RandomAccess`, so that a checkpoint can be
 * read header first and then tensor by tensor, without ever being whole in memory.
 */

import { fileError, quoted } from '../checks/messages.js';
import { contradiction, decodeText, parseJson } from '../checks/text.js';

/** A file of known size which can be read in pieces. */
export interface RandomAccess {
  /** Path or URL, for messages. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /**
   * Bytes `[offset, offset + length)`. Fails when the range leaves the file or the file has become shorter.
   */
  read(offset: number, length: number): Promise<Uint8Array>;
}

/** A folder, wherever it is. */
export interface FileSource {
  /** Path, URL or repository, for messages. */
  readonly name: string;
  /** The file at `path` (relative, with `/`), or null when there is none. */
  open(path: string): Promise<RandomAccess | null>;
  /**
   * What files there are, relative and with `/`; null (or no such method) where that cannot be found out.
   * Those in folders inside it may be left out unless `deep`.
   */
  list?(deep?: boolean): Promise<readonly string[] | null>;
  /**
   * To be called when every file that is wanted has been opened: a store then knows that it has the whole.
   */
  finished?(): Promise<void>;
  /** The checkpoint's path in the folder, where the user named the file itself. */
  readonly weights?: string;
  /** True for a repository of the Hub. */
  readonly hub?: boolean;
}

/** @throws unless `[offset, offset + length)` lies inside the file. */
export function checkRange(file: RandomAccess, offset: number, length: number): void {
  if (offset < 0 || length < 0 || offset + length > file.size)
    throw fileError(
      file.name,
      `bytes ${offset}–${offset + length} were wanted, but the file has ${file.size}`,
    );
}

/** Configurations and tokenizers; anything larger is a mistake (Llama 3's tokenizer.json is 9 MB). */
const MAX_TEXT_BYTES = 100_000_000;

/**
 * A whole text file. @throws when it is no text (see `decodeText`), a Git LFS pointer, or larger than 100 MB.
 */
export async function readText(file: RandomAccess): Promise<string> {
  if (file.size > MAX_TEXT_BYTES)
    throw fileError(file.name, `${file.size} bytes is too large for a text file (limit ${MAX_TEXT_BYTES})`);
  const text = decodeText(await file.read(0, file.size), file.name);
  if (text.startsWith(LFS_POINTER)) throw fileError(file.name, isLfsPointer);
  return text;
}

/**
 * A whole JSON file. @throws an error that names the file when it is not JSON, or has a key twice with two
 * values.
 */
export async function readJson(file: RandomAccess): Promise<unknown> {
  const text = await readText(file);
  const json = parseJson(text, file.name);
  const twice = contradiction(text);
  if (twice !== undefined) throw fileError(file.name, `${quoted(twice)} is there twice, with two values`);
  return json;
}

/** What stands in place of a file of a repository that was cloned without Git LFS. */
export const LFS_POINTER = 'version https://git-lfs';
/** What a message says of it. */
export const isLfsPointer = 'this is a Git LFS pointer, not the file itself (run `git lfs pull`)';

/** The bytes of an array in memory as a file. */
export function memoryFile(name: string, bytes: Uint8Array): RandomAccess {
  const file: RandomAccess = {
    name,
    size: bytes.length,
    async read(offset, length) {
      checkRange(file, offset, length);
      return bytes.subarray(offset, offset + length);
    },
  };
  return file;
}
