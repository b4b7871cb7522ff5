/**
 * Names that come from outside, checked before any of them becomes a path or an address. A server names a
 * commit, an ETag and a list of files; an index names shards; a cache's `refs/main` names a commit; an
 * address names a revision. All of them pass here and nowhere else.
 */

import { shown } from './shown.js';

/** Names of devices on Windows, with any ending. */
const RESERVED = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\.|$)/i;
/** What no file name has on Windows, and control characters anywhere. */
const FORBIDDEN = /[\p{Cc}<>:"|?*\\]/u;
/** Bytes of one name on the file systems in use. */
const MAX_NAME_BYTES = 255;
const MAX_PATH_LENGTH = 1024;

/**
 * Why a path may not be used; null when it may. `here`: names of this system's own files are taken as they
 * are.
 */
function objection(path: unknown, here = false): string | null {
  if (typeof path !== 'string') return 'it is not a text';
  if (path === '') return 'it is empty';
  if (path.length > MAX_PATH_LENGTH) return `it is longer than ${MAX_PATH_LENGTH} characters`;
  if (path.includes('\0')) return 'it has a NUL';
  if (path.startsWith('/')) return 'it is absolute';
  if (here) return path.split('/').includes('..') ? 'it has ".."' : null;
  if (path.includes('\\')) return 'it has a backslash';
  if (FORBIDDEN.test(path)) return 'it has a character that file names may not have';
  for (const part of path.split('/')) {
    if (part === '') return 'it has an empty part';
    if (part === '.' || part === '..') return `it has "${part}"`;
    if (/[. ]$/.test(part)) return 'a part of it ends in a dot or a blank';
    if (RESERVED.test(part)) return `"${shown(part, 20)}" is a device on Windows`;
    if (new TextEncoder().encode(part).length > MAX_NAME_BYTES)
      return `a part of it is longer than ${MAX_NAME_BYTES} bytes`;
  }
  return null;
}

/** Whether `path` is relative with `/`, stays in its folder, and is a name on every system. */
export function isSafePath(path: unknown): path is string {
  return objection(path) === null;
}

/**
 * A path inside a folder, checked: relative with `/`; no `..`, backslash, drive letter, control character, or
 * name that Windows reserves.
 * @param source who names it, for the message
 * @throws an error that names path and source
 */
export function safePath(path: unknown, source: string): string {
  const why = objection(path);
  if (why === null) return path as string;
  throw new Error(`${source}: impossible path "${shown(path)}": ${why}`);
}

/**
 * A path inside a folder of this machine, which the folder itself or its user names: relative, without `..`
 * and NUL.
 * @throws an error that names path and folder
 */
export function pathInside(path: unknown, folder: string): string {
  const why = objection(path, true);
  if (why === null) return path as string;
  throw new Error(`${folder}: impossible path "${shown(path)}": ${why}`);
}

/** Whether this is the name of a commit: 40 hex digits. */
export function isCommit(text: unknown): text is string {
  return typeof text === 'string' && /^[0-9a-f]{40}$/.test(text);
}

/**
 * A revision of a Hub repository as users and addresses give it: a branch, a tag, a commit, or `refs/pr/1`.
 * It becomes part of an address, and of a path in the cache.
 * @throws an error that names it
 */
export function safeRevision(revision: unknown, source: string): string {
  const why = objection(revision);
  if (why === null) return revision as string;
  throw new Error(`${source}: impossible revision "${shown(revision)}": ${why}`);
}

/** Whether this is a hash that names contents: SHA-256, or git's SHA-1. */
export function isContentHash(etag: string): boolean {
  return /^([0-9a-f]{64}|[0-9a-f]{40})$/.test(etag);
}
