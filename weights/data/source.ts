/** Where data comes from: a file on disk, an address, a data set of the Hub, a Blob, or a stream. */

import { tagOf } from '../checks/kinds.js';
import { fileError, quoted } from '../checks/messages.js';
import { shownUrl } from '../checks/shown.js';
import type { FileSource, RandomAccess } from '../files/files.js';
import { blobFile } from '../files/files-blob.js';
import { openUrl } from '../files/files-web.js';
import { filePlatform, type LoadOptions } from '../files/platform.js';
import { webHub } from '../hub/hub-web.js';

/**
 * A path, a URL, `hf://datasets/owner/name/file` (`hf://datasets/owner/name@revision/file`; `*` in the file
 * stands for any letters), a Blob or File, or a stream of text or bytes (`process.stdin`).
 */
export type DataSource = string | URL | Blob | AsyncIterable<string | Uint8Array>;

/** Files to be read one after the other, or a stream. */
export type Opened =
  | { readonly files: readonly RandomAccess[] }
  | { readonly name: string; readonly stream: AsyncIterable<string | Uint8Array> };

const HUB = /^(?:hf:\/\/|https:\/\/(?:huggingface\.co|hf\.co)\/)datasets\/([^/@]+\/[^/@]+)(.*)$/;
const DATA = /\.(jsonl|ndjson|json|csv|tsv|txt|parquet)(\.gz)?$/;

/**
 * Opens data.
 * @throws an error that says what is not there, and which files there are
 */
export async function openData(source: DataSource, options: LoadOptions): Promise<Opened> {
  if (typeof source === 'object' && Symbol.asyncIterator in source)
    return { name: 'the stream', stream: source };
  if (typeof source === 'object' && ['Blob', 'File'].includes(tagOf(source))) {
    const blob = source as Blob & { readonly name?: string };
    return { files: [blobFile(blob.name ?? 'the given file', blob)] };
  }
  const name = typeof source === 'string' ? source : (source as URL).href;
  const [, repo, rest = ''] = HUB.exec(name) ?? [];
  if (repo) return { files: await onHub(repo, rest, name, options) };
  if (/^hf:/.test(name))
    throw fileError(name, 'a data set of the Hub is named hf://datasets/owner/name/file');
  if (/^(https?|blob|data):/.test(name)) {
    const file = await openUrl(name, { signal: options.signal, timeoutMs: options.timeoutMs });
    if (!file) throw fileError(shownUrl(name), 'there is no such file');
    return { files: [file] };
  }
  return { files: [await onDisk(name, options)] };
}

async function onDisk(path: string, options: LoadOptions): Promise<RandomAccess> {
  const platform = filePlatform();
  if (!platform) {
    const page = (globalThis as { location?: { href: string } }).location?.href;
    const file =
      page &&
      (await openUrl(new URL(path, page).href, { signal: options.signal, timeoutMs: options.timeoutMs }));
    if (file) return file;
    throw fileError(path, 'there is no such file; give an address, a Blob or a File');
  }
  const cut = Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1;
  const folder = await platform.folder(cut ? path.slice(0, cut) : '.').catch(() => null);
  const file = path.slice(cut) ? await folder?.open(path.slice(cut)) : null;
  if (!file) throw fileError(path, 'cannot be read: there is no such file');
  return { ...file, name: path, read: (offset, length) => file.read(offset, length) };
}

/** Files of a repository, through its cache, with the token and retries of models. */
async function onHub(
  repo: string,
  rest: string,
  name: string,
  options: LoadOptions,
): Promise<RandomAccess[]> {
  const [, at, page, path] =
    /^(?:@([^/]+))?(?:\/(?:resolve|blob|tree)\/([^/]+))?(?:\/(.*?))?(?:\?.*)?$/.exec(rest) ?? [];
  const revision = at ?? page ?? options.revision;
  const hub = filePlatform()?.hub ?? webHub;
  const files = await hub.open(`datasets/${repo}`, [], {
    ...options,
    ...(revision !== undefined && { revision: decodeURIComponent(revision) }),
  });
  const wanted = decodeURIComponent(path ?? '');
  const single = /\*/.test(wanted) || DATA.test(wanted) ? wanted : '';
  const names = single && !single.includes('*') ? [single] : await matching(files, wanted, name);
  const found: RandomAccess[] = [];
  for (const file of names) {
    const opened = await files.open(file);
    if (!opened) throw fileError(name, `there is no file ${quoted(file)}${await others(files)}`);
    found.push({ ...opened, name: `hf://datasets/${repo}/${file}`, read: (o, n) => opened.read(o, n) });
  }
  await files.finished?.();
  return found;
}

/** The files that a pattern means, in the order of their names. */
async function matching(files: FileSource, pattern: string, name: string): Promise<readonly string[]> {
  const escaped = pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/\*+/g, '[^/]*');
  const all = ((await files.list?.(true)) ?? []).filter((path) => DATA.test(path)).sort();
  const found = pattern.includes('*') ? all.filter((path) => new RegExp(`^${escaped}$`).test(path)) : [];
  if (found.length) return found;
  throw fileError(
    name,
    `${pattern ? `no file is ${quoted(pattern)}` : 'a file is needed'}${await others(files)}`,
  );
}

async function others(files: FileSource): Promise<string> {
  const all = ((await files.list?.(true).catch(() => null)) ?? []).filter((path) => DATA.test(path)).sort();
  if (!all.length) return '';
  const some = all.slice(0, 3).join(', ');
  return `; there are ${some}${all.length > 3 ? ` and ${all.length - 3} more` : ''}`;
}
