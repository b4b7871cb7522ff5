/**
 * Models that other programs have on this machine.
 *
 *     Ollama      MODELS/manifests/registry.ollama.ai/library/NAME/TAG      JSON: its layers, one of which is the model
 *                 MODELS/blobs/sha256-…                                     the GGUF file
 *                 MODELS: $OLLAMA_MODELS, ~/.ollama/models, /usr/share/ollama/.ollama/models
 *     LM Studio   MODELS/OWNER/NAME/FILE.gguf
 *                 MODELS: ~/.lmstudio/models, ~/.cache/lm-studio/models
 */

import { readdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { shown } from '../checks/shown.js';
import { nodeFile, statOrNull } from '../files/disk-node.js';
import type { FileSource } from '../files/files.js';

/** A name's part that is one folder or file. */
const PART = /^[\w][\w.-]{0,99}$/;
const MOST = 2000;

/**
 * The model that `ollama:NAME[:TAG]` or `lmstudio:NAME` means; null: neither begins the name.
 * @throws when there is none, with those that there are; when a name means several files
 */
export async function installedModel(name: string): Promise<FileSource | null> {
  const [, program, model] = /^(ollama|lmstudio):(.*)$/s.exec(name) ?? [];
  if (program === 'ollama') return ollama(model);
  return program === 'lmstudio' ? lmStudio(model) : null;
}

/** Folders in which Ollama keeps models. */
function ollamaFolders(): string[] {
  const own = process.env.OLLAMA_MODELS;
  return own ? [own] : [join(homedir(), '.ollama', 'models'), '/usr/share/ollama/.ollama/models'];
}

const REGISTRY = 'registry.ollama.ai';

async function ollama(model: string): Promise<FileSource> {
  const [path, tag = 'latest', ...more] = model.split(':');
  const parts = path.split('/');
  if (more.length || parts.length > 3 || ![...parts, tag].every((part) => PART.test(part)))
    throw new Error(
      `"ollama:${shown(model, 60)}": ollama:name, ollama:name:tag and ollama:owner/name:tag are possible`,
    );
  const place = [...[REGISTRY, 'library'].slice(0, 3 - parts.length), ...parts];
  const folders = ollamaFolders();
  for (const folder of folders) {
    const manifest = join(folder, 'manifests', ...place, tag);
    if (!(await statOrNull(manifest))?.isFile()) continue;
    const digest = modelDigest(await readFile(manifest, 'utf8'));
    const file = digest && (await nodeFile(join(folder, 'blobs', digest.replace(':', '-'))));
    if (!file)
      throw new Error(
        `${manifest}: it names no model that is there; get it again: ollama pull ${path}:${tag}`,
      );
    return oneFile(`ollama:${path}:${tag}`, 'model.gguf', async () => file);
  }
  const known = (await Promise.all(folders.map(ollamaNames))).flat();
  throw new Error(
    `Ollama has no model "${shown(`${path}:${tag}`, 60)}" in ${folders.join(' or ')}${listed(known)}`,
  );
}

/** The digest of the layer that is the model, `sha256:…`. */
function modelDigest(text: string): string | null {
  try {
    const { layers } = JSON.parse(text) as { layers?: { mediaType?: unknown; digest?: unknown }[] };
    const layer = layers?.find(({ mediaType }) => mediaType === 'application/vnd.ollama.image.model');
    const digest = layer?.digest;
    return typeof digest === 'string' && /^sha256:[0-9a-f]{64}$/.test(digest) ? digest : null;
  } catch {
    return null;
  }
}

async function ollamaNames(folder: string): Promise<string[]> {
  const library = join(folder, 'manifests', REGISTRY, 'library');
  const files = await filesIn(library, 2);
  return files.map((path) => `ollama:${dirname(path)}:${basename(path)}`);
}

async function lmStudio(model: string): Promise<FileSource> {
  const folders = [join(homedir(), '.lmstudio', 'models'), join(homedir(), '.cache', 'lm-studio', 'models')];
  const found: { folder: string; path: string }[] = [];
  for (const folder of folders)
    for (const path of await filesIn(folder, 3))
      if (path.endsWith('.gguf') && !/(^|\/)mmproj/.test(path)) found.push({ folder, path });
  const meant = (path: string) => {
    const name = model.replace(/\.gguf$/, '');
    const whole = path.replace(/\.gguf$/, '');
    return [whole, dirname(path), basename(whole), basename(dirname(path))].includes(name);
  };
  const own = found.filter(({ path }) => meant(path));
  if (own.length === 1) {
    const { folder, path } = own[0];
    return oneFile(`lmstudio:${path}`, basename(path), () => nodeFile(join(folder, path)));
  }
  const names = (own.length ? own : found).map(({ path }) => `lmstudio:${path}`);
  throw new Error(
    own.length
      ? `"lmstudio:${shown(model, 60)}" means ${own.length} files: name one of them${listed(names)}`
      : `LM Studio has no model "${shown(model, 60)}" in ${folders.join(' or ')}${listed(names)}`,
  );
}

const listed = (names: readonly string[]): string =>
  names.length ? `; there are ${names.slice(0, 4).join(', ')}${names.length > 4 ? ', …' : ''}` : '';

/** Files below a folder, `depth` levels deep, as paths with `/`. */
async function filesIn(folder: string, depth: number): Promise<string[]> {
  const found: string[] = [];
  const walk = async (path: string, left: number): Promise<void> => {
    const entries = await readdir(join(folder, path), { withFileTypes: true }).catch(() => []);
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (found.length >= MOST) return;
      if (entry.isDirectory()) {
        if (left > 1) await walk(`${path}${entry.name}/`, left - 1);
      } else found.push(path + entry.name);
    }
  };
  await walk('', depth);
  return found;
}

const oneFile = (name: string, weights: string, open: FileSource['open']): FileSource => ({
  name,
  weights,
  open: async (path) => (path === weights ? open(path) : null),
  list: async () => [weights],
});
