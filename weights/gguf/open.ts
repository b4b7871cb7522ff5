/** GGUF files among a model's files. */

import { fileError } from '../checks/messages.js';
import type { FileSource } from '../files/files.js';
import { type Gguf, openGguf } from './file.js';

/**
 * The GGUF file that is meant: the one that was named, or the only one of a folder without `config.json`.
 * @returns null where none is
 * @throws when there are several, or the file is damaged
 */
export async function ggufOf(files: FileSource): Promise<Gguf | null> {
  const { weights } = files;
  let path = weights?.endsWith('.gguf') ? weights : null;
  if (weights === undefined && !(await files.open('config.json'))) {
    const all = (await files.list?.()) ?? [];
    const found = all.filter((name) => /\.gguf$/.test(name) && !/(^|\/)mmproj/.test(name)).sort();
    if (all.some((name) => /\.(safetensors|pth|pt|bin)$/.test(name))) return null;
    if (found.length > 1)
      throw fileError(
        files.name,
        `it holds several models (${found[0]}, ${found[1]}): name the file that is meant`,
      );
    path = found[0] ?? null;
  }
  const file = path === null ? null : await files.open(path);
  if (path !== null && !file) throw fileError(files.name, `there is no ${path}`);
  return file && openGguf(file);
}

/** Formats of its matrices that are quantised: `Q8_0, Q4_0`; null where all numbers are floats. */
export function quantisedFormats({ formats }: Gguf): string | null {
  const found = [...new Set(formats.values())].filter((name) => !/^B?F(16|32)$/.test(name));
  return found.length ? found.join(', ') : null;
}
