/**
 * Single files on disk.
 */

import { randomBytes } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { shown, shownUrl } from '../checks/shown.js';
import { checkRange, type RandomAccess } from './files.js';

/**
 * A file on disk, or null when there is none. It is opened anew for each read, so nothing has to be closed.
 */
export async function nodeFile(path: string): Promise<RandomAccess | null> {
  const info = await statOrNull(path);
  if (!info?.isFile()) return null;
  const file: RandomAccess = {
    name: path,
    size: info.size,
    async read(offset, length) {
      checkRange(file, offset, length);
      const bytes = new Uint8Array(length);
      const handle = await open(path, 'r');
      try {
        for (let done = 0; done < length; ) {
          // One call reads less than 2 GiB.
          const want = Math.min(length - done, 2 ** 30);
          const { bytesRead } = await handle.read(bytes, done, want, offset + done);
          if (bytesRead === 0)
            throw new Error(`${path}: ends at byte ${offset + done}, it had ${file.size} when it was opened`);
          done += bytesRead;
        }
      } finally {
        await handle.close();
      }
      return bytes;
    },
  };
  return file;
}

/**
 * Writes to a temporary neighbour of `path` and renames it; on failure nothing is left, and what was there
 * stays.
 * @throws the system's error, with its code, and a message that names the file
 */
export async function writeAtomically(
  path: string,
  fill: (write: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<void> {
  const temporary = join(
    dirname(path),
    `.${basename(path).slice(0, 60)}.${process.pid}-${randomBytes(4).toString('hex')}`,
  );
  const handle = await open(temporary, 'wx').catch((error) => {
    throw namingFile(error, path);
  });
  try {
    await fill((bytes) => handle.writeFile(bytes));
    await handle.close();
    await rename(temporary, path);
  } catch (error) {
    await handle.close().catch(() => {});
    await rm(temporary, { force: true });
    throw namingFile(error, path);
  }
}

/** An error of the system whose message names the file that was meant. */
export function namingFile(error: unknown, path: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined) return error;
  return Object.assign(new Error(`${shown(path, 160)}: ${shown(message, 120)}`, { cause: error }), { code });
}

/** A path's properties (of what a link points to), or null when nothing is there. */
export async function statOrNull(path: string) {
  try {
    return await stat(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw error;
  }
}

/** A path on disk, of a path or a file: URL (an object or its text). @throws for other URLs. */
export function pathOf(path: string | URL): string {
  const text = String(path);
  if (text.startsWith('file:')) return fileURLToPath(text);
  if (typeof path !== 'string') throw new Error(`${shownUrl(text)}: a path, or a file: URL, is needed`);
  return path;
}
