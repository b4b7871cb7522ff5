/**
 * Files of Node: folders on disk, and safetensors files written to disk.
 */

import { readdir } from 'node:fs/promises';
import { freemem, homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { path } from '../checks/kinds.js';
import { signatures } from '../checks/options.js';
import { pathInside } from '../checks/paths.js';
import { nodeFile, statOrNull, writeAtomically } from '../files/disk-node.js';
import type { FileSource } from '../files/files.js';
import { setFilePlatform } from '../files/platform.js';
import { nodeFetch } from '../files/proxy-node.js';
import {
  type SavedTensor,
  safetensorsChunks,
  TENSORS,
  WRITING,
  type WriteOptions,
} from '../formats/safetensors-write.js';
import { nodeHub } from '../hub/hub-node.js';
import { installedModel } from './installed-node.js';

/** Makes folders and the Hub cache available to `resolveModel`. Call once, from Node's entry point. */
export function registerNodeFiles(): void {
  setFilePlatform({
    ...{ folder: nodeFolder, hub: nodeHub, fetch: nodeFetch, installed: installedModel },
    freeMemory: () => (process as { availableMemory?: () => number }).availableMemory?.() ?? freemem(),
  });
}

/**
 * A folder on disk. `path` may be relative, start with `~/`, or be a file: URL.
 * @throws when it does not exist or is not a folder.
 */
export async function nodeFolder(path: string): Promise<FileSource> {
  const local = path.startsWith('file:') ? fileURLToPath(path) : path;
  const folder = resolve(local.startsWith('~/') ? join(homedir(), local.slice(2)) : local);
  const info = await statOrNull(folder);
  if (!info) throw new Error(`no folder ${folder}: a model's folder holds config.json and model.safetensors`);
  if (!info.isDirectory())
    throw new Error(
      `${folder} is not a folder; give the folder that holds config.json and model.safetensors`,
    );
  return {
    name: folder,
    open: async (file) => nodeFile(join(folder, pathInside(file, folder))),
    list: (deep) => listFolder(folder, deep ? MOST_FOLDERS : 1),
  };
}

/** How deep a model is looked for in a folder, and among how many names. */
const [MOST_FOLDERS, MOST_NAMES] = [4, 10_000];

/** Files, and those in folders inside, `depth` levels in all. Hidden folders are left out, and names beyond the limit. */
async function listFolder(folder: string, depth: number): Promise<string[]> {
  const found: string[] = [];
  const walk = async (path: string, left: number): Promise<void> => {
    for (const entry of await readdir(join(folder, path), { withFileTypes: true })) {
      if (found.length >= MOST_NAMES) return;
      const inner = path + entry.name;
      if (entry.isDirectory()) {
        if (left > 1 && !entry.name.startsWith('.') && entry.name !== 'node_modules')
          await walk(`${inner}/`, left - 1).catch(() => {}); // a folder that may not be read holds no model
      } else found.push(inner);
    }
  };
  await walk('', depth);
  return found;
}

const takes = signatures({
  saveSafetensors: { path, tensors: TENSORS, options: WRITING },
});

/**
 * Writes a safetensors file tensor by tensor. The file appears under its name only when it is complete.
 * @throws when an array's length does not match its shape, or the folder cannot be written.
 */
export const saveSafetensors = takes.saveSafetensors(async function saveSafetensors(
  path: string,
  tensors: Readonly<Record<string, SavedTensor>>,
  options: WriteOptions = {},
): Promise<void> {
  const chunks = safetensorsChunks(tensors, options);
  const header = chunks.next().value as Uint8Array; // checks every tensor before a file is made
  await writeAtomically(path, async (write) => {
    await write(header);
    for (const chunk of chunks) await write(chunk);
  });
});
