/** Text files of Node that users name on a command line. */

import { readFileSync } from 'node:fs';
import { fileError } from './messages.js';
import { decodeText } from './text.js';

/**
 * A whole text file, without its byte-order mark.
 * @param path a path or a file: URL
 * @throws an error in one line that names the file: it does not exist, is a folder, may not be read, or is no
 * text
 */
export function readTextFile(path: string | URL): string {
  const name = String(path);
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (e) {
    const { code, message } = e as NodeJS.ErrnoException;
    throw fileError(name, `cannot be read: ${REASONS[code ?? ''] ?? message}`);
  }
  return decodeText(bytes, name);
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of its path is a file',
  EACCES: 'it may not be read',
  EPERM: 'it may not be read',
};
