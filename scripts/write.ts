/** Results in files: whole or not at all. */

import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { shown } from '../weights/checks/shown.js';

/**
 * Writes a file, and the folders above it. It gets its name when all of it is on the disk; when that fails,
 * what was there under the name stays as it was. Devices and pipes (`/dev/stdout`) are written to directly.
 * @throws an error that names the file
 */
export function writeWhole(file: string, data: string | Uint8Array): void {
  const bytes = typeof data === 'string' ? Buffer.from(data) : data;
  let temporary: string | null = null;
  try {
    mkdirSync(path.dirname(file), { recursive: true });
    const old = statSync(file, { throwIfNoEntry: false });
    if (old?.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' });
    if (old && !old.isFile()) {
      writeTo(file, bytes);
      return;
    }
    const target = old ? realpathSync(file) : file; // what a link points to is replaced, not the link
    temporary = path.join(
      path.dirname(target),
      `.glassbox-${process.pid}-${randomBytes(4).toString('hex')}.tmp`,
    );
    writeTo(temporary, bytes);
    if (old) chmodSync(temporary, old.mode & 0o777);
    renameSync(temporary, target);
  } catch (e) {
    if (temporary) rmSync(temporary, { force: true });
    throw new Error(troubleWith(file, e as NodeJS.ErrnoException), { cause: e });
  }
}

/** All of the bytes, on the disk when it returns. */
function writeTo(file: string, bytes: Uint8Array): void {
  const handle = openSync(file, 'w');
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(handle, bytes, done);
    try {
      fsyncSync(handle);
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== 'EINVAL') throw e; // pipes and devices
    }
  } finally {
    closeSync(handle);
  }
}

/** What is wrong with a file, in words. */
export function troubleWith(file: string, { code, message }: NodeJS.ErrnoException): string {
  const words: Record<string, string> = {
    ENOENT: 'there is no such file or folder',
    EISDIR: 'this is a folder; a file is needed',
    EEXIST: 'a part of this path is no folder',
    EACCES: 'no permission',
    EPERM: 'no permission',
    ENOTDIR: 'a part of this path is no folder',
    ENOSPC: 'the disk is full',
    EDQUOT: 'the disk quota is used up',
    EFBIG: 'the file would be larger than is allowed',
    EROFS: 'this disk cannot be written',
    ENAMETOOLONG: 'the name is too long',
  };
  return `${shown(file, 160)}: ${words[code ?? ''] ?? message}`;
}
