/**
 * The cache folder that Python's huggingface_hub keeps, in its layout:
 *
 *     <cache>/models--owner--name/refs/main                     the commit that `main` last meant, as text
 *                                 blobs/<etag>                  contents, named by their hash
 *                                 blobs/<etag>.*.incomplete     a download under way, or broken off and to be resumed
 *                                 snapshots/<commit>/<file>     → ../../blobs/<etag>
 *                                 .no_exist/<commit>/<file>     empty: the commit has no such file
 *                                 .no_exist/<commit>/.by-file   empty, ours: files came one by one (see `isByFile`)
 *
 * A file gets its final name by a rename, so what is in the cache is whole. A folder that cannot be written
 * is read.
 */

import { createHash, randomBytes } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile, readlink, rename, rm, symlink } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, relative, sep } from 'node:path';
import { isCommit, isContentHash, isSafePath } from '../checks/paths.js';
import { statOrNull, writeAtomically } from '../files/disk-node.js';

/** Where Python's libraries keep their cache, the newest name first. */
const CACHE_VARIABLES = [
  'HF_HUB_CACHE',
  'HUGGINGFACE_HUB_CACHE',
  'TRANSFORMERS_CACHE',
  'PYTORCH_TRANSFORMERS_CACHE',
];
const BY_FILE = '.by-file';

/** A path of the environment, with `~` and `$NAME` as Python reads them. */
export function expandPath(path: string, env: NodeJS.ProcessEnv = process.env): string {
  const named = path.replace(/\$(\w+)|\$\{(\w+)\}/g, (text, a, b) => env[a ?? b] ?? text);
  return named === '~' || /^~[/\\]/.test(named) ? join(homedir(), named.slice(1)) : named;
}

/** Where Python keeps the login and, in `hub/`, the cache: `$HF_HOME`, else `~/.cache/huggingface`. */
export function hfHome(env: NodeJS.ProcessEnv = process.env): string {
  if (env.HF_HOME) return expandPath(env.HF_HOME, env);
  const caches = env.XDG_CACHE_HOME ? expandPath(env.XDG_CACHE_HOME, env) : join(homedir(), '.cache');
  return join(caches, 'huggingface');
}

/**
 * `option`, else where Python's libraries look: HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, TRANSFORMERS_CACHE,
 * PYTORCH_TRANSFORMERS_CACHE, HF_HOME, XDG_CACHE_HOME.
 */
export function hubCacheDir(option?: string, env: NodeJS.ProcessEnv = process.env): string {
  const named = option || CACHE_VARIABLES.map((name) => env[name]).find(Boolean);
  return named ? expandPath(named, env) : join(hfHome(env), 'hub');
}

/** One repository's folder, and the folders of its former names, which are only read. */
export class RepoCache {
  /** Where new files go. */
  readonly folder: string;
  readonly #root: string;
  readonly #folders: string[];

  constructor(root: string, repo: string, formerNames: readonly string[] = []) {
    this.#root = root;
    this.#folders = [repo, ...formerNames].map((name) => this.#folderOf(name));
    this.folder = this.#folders[0];
  }

  /** `owner/name` → `<cache>/models--owner--name`, `datasets/owner/name` → `<cache>/datasets--owner--name` */
  #folderOf(repo: string): string {
    const named = repo.startsWith('datasets/') ? repo : `models/${repo}`;
    return join(this.#root, named.replaceAll('/', '--'));
  }

  /** Files may also lie under this name of the same repository. */
  alsoNamed(repo: string): void {
    const folder = this.#folderOf(repo);
    if (!this.#folders.includes(folder)) this.#folders.push(folder);
  }

  /** The commit that a revision meant when the cache was last filled; null when it was not. */
  async commitOf(revision: string): Promise<string | null> {
    for (const folder of this.#folders) {
      if (isCommit(revision)) {
        if (await statOrNull(join(folder, 'snapshots', revision))) return revision;
        continue;
      }
      const text = await readFile(join(folder, 'refs', revision), 'utf8').catch(() => '');
      if (isCommit(text.trim())) return text.trim();
    }
    return null;
  }

  /** Whether anything of a commit is here. */
  async hasSnapshot(commit: string): Promise<boolean> {
    return (await this.#first((folder) => join(folder, 'snapshots', commit))) !== null;
  }

  /** Where a commit's file is, of the right size where one is given; null when it is not here. */
  find(commit: string, file: string, size: number | null = null): Promise<string | null> {
    return this.#first((folder) => join(folder, 'snapshots', commit, file), size);
  }

  /** Where contents are, by their name in `blobs/`. */
  findBlob(blob: string, size: number | null): Promise<string | null> {
    return this.#first((folder) => join(folder, 'blobs', blob), size);
  }

  /** Whether it is known that a commit has no such file. */
  async isMissing(commit: string, file: string): Promise<boolean> {
    return (await this.#first((folder) => join(folder, '.no_exist', commit, file))) !== null;
  }

  /**
   * Whether files of a commit came here one by one, through `link`. Then what is not here, and not known to
   * be missing, was never asked for. Otherwise Python filled the folder, all at once as a rule, and what is
   * not here does not exist.
   */
  async isByFile(commit: string): Promise<boolean> {
    return this.isMissing(commit, BY_FILE);
  }

  /** A commit's files that are here, with `/`; null when there are none. */
  async files(commit: string): Promise<string[] | null> {
    const lists = await Promise.all(
      this.#folders.map((folder) =>
        readdir(join(folder, 'snapshots', commit), { recursive: true }).catch(() => []),
      ),
    );
    const all = lists.flat().map((path) => path.split(sep).join('/'));
    return all.length ? [...new Set(all)].filter(isSafePath) : null;
  }

  /** Remembers that a commit has no such file; where the folder cannot be written, it does not. */
  async rememberMissing(commit: string, file: string): Promise<void> {
    if (!(await this.isMissing(commit, file))) await this.#note(join('.no_exist', commit, file), '');
  }

  /** Remembers which commit a revision means; where the folder cannot be written, it does not. */
  async rememberCommit(revision: string, commit: string): Promise<void> {
    if (!isCommit(revision) && (await this.commitOf(revision)) !== commit)
      await this.#note(join('refs', revision), commit);
  }

  /**
   * Gives contents their place among a commit's files: a relative link; a copy where links are not allowed
   * (Windows).
   * @returns where the file can be read: the contents themselves where the folder cannot be written
   */
  async link(commit: string, file: string, blob: string): Promise<string> {
    const pointer = join(this.folder, 'snapshots', commit, file);
    try {
      await this.rememberMissing(commit, BY_FILE);
      await mkdir(dirname(pointer), { recursive: true });
      const target = relative(dirname(pointer), blob);
      if ((await readlink(pointer).catch(() => null)) === target) return pointer;
      const temporary = `${pointer}.${randomBytes(6).toString('hex')}.tmp`;
      try {
        await symlink(target, temporary).catch(() => copyFile(blob, temporary));
        await rename(temporary, pointer);
      } catch (error) {
        await rm(temporary, { force: true });
        throw error;
      }
      return pointer;
    } catch (error) {
      if (isReadOnly(error)) return blob;
      throw error;
    }
  }

  async #note(path: string, text: string): Promise<void> {
    const whole = join(this.folder, path);
    try {
      await mkdir(dirname(whole), { recursive: true });
      await writeAtomically(whole, (write) => write(new TextEncoder().encode(text)));
    } catch (error) {
      if (!isReadOnly(error)) throw error;
    }
  }

  /** The first of the folders' paths where something is, of the right size. */
  async #first(pathIn: (folder: string) => string, size: number | null = null): Promise<string | null> {
    for (const folder of this.#folders) {
      const info = await statOrNull(pathIn(folder));
      if (info && (size === null || (info.isFile() && info.size === size))) return pathIn(folder);
    }
    return null;
  }
}

/** The name of contents in `blobs/`. An ETag that is no hash says nothing about another file's. */
export function blobName(etag: string, file: string): string {
  return isContentHash(etag) ? etag : `etag-${createHash('sha256').update(`${file}\0${etag}`).digest('hex')}`;
}

/** Whether an error means that a folder cannot be written. */
export function isReadOnly(error: unknown): boolean {
  return ['EACCES', 'EROFS', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '');
}
