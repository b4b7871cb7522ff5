/**
 * What the cache of Python's huggingface_hub holds of models (`cache-node.ts` has its layout), and how one is
 * taken out of it. Data sets, spaces, locks and whatever else lies there belong to other programs: they are
 * neither listed nor touched.
 */

import { lstat, readdir, readFile, readlink, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';
import { isCommit } from '../checks/paths.js';
import { shown } from '../checks/shown.js';
import { hubCacheDir } from './cache-node.js';
import { isAbandoned, isRunning } from './download-node.js';
import { hubRepo } from './hub.js';

/** A commit of a model that is in the cache. */
export interface CachedRevision {
  /** 40 hexadecimal digits. */
  readonly commit: string;
  /** The branches and tags that mean it, `main`. */
  readonly names: readonly string[];
  readonly files: number;
}

/** A model in the cache. */
export interface CachedModel {
  /** `owner/name`, as it was asked for. */
  readonly name: string;
  readonly folder: string;
  /** On disk, each file once, what is not complete included. */
  readonly bytes: number;
  readonly revisions: readonly CachedRevision[];
  /**
   * When a file was last read, or written where the disk does not note reads; null where no file is complete.
   */
  readonly lastUsed: Date | null;
  /** Downloads that broke off or are under way. */
  readonly incomplete: { readonly files: number; readonly bytes: number };
  /** Files that somebody writes to now. */
  readonly busy: readonly string[];
}

/** A file on disk; several names of one file are one. */
interface OnDisk {
  readonly path: string;
  readonly bytes: number;
  readonly used: number;
}

const PREFIX = 'models--';
const REMOVING = '.glassbox-removing-';

/**
 * The models in the cache, the one that was used last first.
 * @param cacheDir default where Python's libraries look, see `hubCacheDir`. A folder that does not exist
 * holds none.
 */
export async function cachedModels(cacheDir?: string): Promise<CachedModel[]> {
  const root = hubCacheDir(cacheDir);
  const models: CachedModel[] = [];
  for (const name of await namesIn(root, true))
    if (name.startsWith(PREFIX)) {
      const model = await describeModel(join(root, name), name);
      if (model) models.push(model);
    }
  return models.sort((a, b) => Number(b.lastUsed ?? 0) - Number(a.lastUsed ?? 0));
}

/** A model that was taken out of the cache. */
export interface RemovedModel {
  readonly name: string;
  readonly folder: string;
  /** That the disk has again. */
  readonly bytes: number;
}

/**
 * Takes a model out of the cache, with all its revisions: whole or not at all.
 * @param model one of `cachedModels`
 * @throws while somebody downloads into it, and when its folder is a link to another place.
 */
export async function removeCachedModel({ name, folder }: CachedModel): Promise<RemovedModel> {
  const info = await lstat(folder).catch(() => null);
  if (info?.isSymbolicLink())
    throw new Error(
      `${name}: ${shown(folder, 120)} is a link to ${shown(await readlink(folder), 80)}: remove that folder yourself`,
    );
  const now = await describeModel(folder, basename(folder));
  if (!now) throw new Error(`${name}: it is no longer in the cache`);
  if (now.busy.length)
    throw new Error(
      `${name}: a download into ${shown(folder, 120)} is under way (${shown(now.busy[0].slice(0, 12))}…): wait for it, or end it, and remove the model then`,
    );
  await removeLeftovers(dirname(folder));
  // A rename takes the whole at once: who opens the model meanwhile finds all of it, or nothing.
  const doomed = join(dirname(folder), `${REMOVING}${process.pid}-${basename(folder)}`);
  await rename(folder, doomed);
  await rm(doomed, { recursive: true, force: true });
  return { name, folder, bytes: now.bytes };
}

/** Finishes removals whose process has ended. */
async function removeLeftovers(root: string): Promise<void> {
  for (const name of await namesIn(root, true)) {
    const pid = name.startsWith(REMOVING) ? Number.parseInt(name.slice(REMOVING.length), 10) : Number.NaN;
    if (pid > 0 && !isRunning(pid)) await rm(join(root, name), { recursive: true, force: true });
  }
}

/**
 * The entry of a list that a name means: the repository, or one of its short or former names (`gpt2`).
 * @throws when there is none, with those that there are.
 */
export function findCached(models: readonly CachedModel[], name: string): CachedModel {
  const known = hubRepo(name);
  const names = [name, ...(known ? [known.repo, ...known.aliases] : [])];
  const found = names.map((n) => models.find((m) => m.name === n)).find(Boolean);
  if (found) return found;
  const list = models.map((m) => shown(m.name, 40));
  const there = list.length
    ? `there ${list.length === 1 ? 'is' : 'are'} ${list.slice(0, 5).join(', ')}${list.length > 5 ? ` and ${list.length - 5} more` : ''}`
    : 'the cache holds no model';
  throw new Error(`the cache has no model "${shown(name, 60)}": ${there}`);
}

async function describeModel(folder: string, file: string): Promise<CachedModel | null> {
  const files = await filesUnder(folder);
  if (!files) return null;
  const complete = files.filter((f) => !f.path.endsWith('.incomplete'));
  const parts = files.filter((f) => f.path.endsWith('.incomplete'));
  const contents = complete.filter((f) => /[/\\](blobs|snapshots)[/\\]/.test(f.path) && f.bytes);
  const busy: string[] = [];
  for (const { path } of parts) if (!(await isAbandoned(path))) busy.push(basename(path));
  return {
    name: file.slice(PREFIX.length).replaceAll('--', '/'),
    folder,
    bytes: files.reduce((n, f) => n + f.bytes, 0),
    revisions: await revisionsIn(folder),
    lastUsed: contents.length ? new Date(contents.reduce((t, f) => Math.max(t, f.used), 0)) : null,
    incomplete: { files: parts.length, bytes: parts.reduce((n, f) => n + f.bytes, 0) },
    busy,
  };
}

async function revisionsIn(folder: string): Promise<CachedRevision[]> {
  const names = new Map<string, string[]>();
  for (const path of await namesIn(join(folder, 'refs'), false, true)) {
    const commit = (await readFile(join(folder, 'refs', path), 'utf8').catch(() => '')).trim();
    if (isCommit(commit)) names.set(commit, [...(names.get(commit) ?? []), path.split(sep).join('/')]);
  }
  const commits = (await namesIn(join(folder, 'snapshots'), true)).filter(isCommit);
  return Promise.all(
    commits.map(async (commit) => ({
      commit,
      names: (names.get(commit) ?? []).sort(),
      files: (await namesIn(join(folder, 'snapshots', commit), false, true)).length,
    })),
  );
}

/**
 * Names in a folder: its folders, or its files and links; of the folders below too where `deep`. Empty where
 * there is none.
 */
async function namesIn(folder: string, folders: boolean, deep = false): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: deep }).catch(() => []);
  const at = (e: (typeof entries)[number]) => (deep ? join(e.parentPath ?? e.path, e.name) : e.name);
  return entries
    .filter((e) =>
      folders ? e.isDirectory() || (e.isSymbolicLink() && e.name.startsWith(PREFIX)) : !e.isDirectory(),
    )
    .map((e) => (deep ? at(e).slice(folder.length + 1) : at(e)))
    .sort();
}

/** The files in a folder and below, links not followed; null where there is no such folder. */
export async function filesUnder(folder: string): Promise<OnDisk[] | null> {
  const info = await lstat(folder).catch(() => null);
  if (!info) return null;
  if (!info.isDirectory()) return [];
  const seen = new Set<string>();
  const files: OnDisk[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath ?? entry.path, entry.name);
    const stat = await lstat(path).catch(() => null); // it may be gone by now
    if (!stat || seen.has(`${stat.dev}:${stat.ino}`)) continue;
    seen.add(`${stat.dev}:${stat.ino}`);
    files.push({ path, bytes: stat.size, used: Math.max(stat.atimeMs, stat.mtimeMs) });
  }
  return files;
}
