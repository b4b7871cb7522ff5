/**
 * From a model's folder to its tensors.
 */

import { fileError } from '../checks/messages.js';
import { chooseCheckpoint, insteadOfWeights } from '../files/candidates.js';
import type { FileSource, RandomAccess } from '../files/files.js';
import { openSafetensors } from './safetensors.js';
import { openSharded } from './shards.js';
import type { TensorSource } from './tensors.js';
import { openTorch } from './torch/torch.js';

/** Names under which checkpoints are looked for where a folder cannot be listed, or is a repository. */
const NAMES = ['model.safetensors', 'model.safetensors.index.json'];
const TORCH_NAMES = ['pytorch_model.bin', 'pytorch_model.bin.index.json', 'model_final.pth'];

/**
 * The tensors of a model's folder: of the file that was named, else of the one that `chooseCheckpoint` finds.
 * Only headers are read. A repository of the Hub is not listed where it has a file of safetensors under its
 * usual name.
 * @throws an error that says what was looked for when nothing is there, or what is there in its place; and
 * the errors of
 *   `openSafetensors` and `openTorch`.
 */
export async function openCheckpoint(files: FileSource): Promise<TensorSource> {
  const open = async (path: string): Promise<TensorSource | null> => {
    const file = await files.open(path);
    return file && openFile(files, path, file);
  };
  if (files.weights !== undefined) {
    const named = await open(files.weights);
    if (!named) throw fileError(files.name, `there is no ${files.weights}`);
    return named;
  }
  const first = files.hub ? NAMES : [];
  for (const path of first) {
    const found = await open(path);
    if (found) return found;
  }
  const paths = await files.list?.();
  const chosen = paths ? [chooseCheckpoint(paths, files.name) ?? []].flat() : [...NAMES, ...TORCH_NAMES];
  for (const path of chosen) {
    const found = first.includes(path) ? null : await open(path);
    if (found) return found;
  }
  throw fileError(
    files.name,
    'neither model.safetensors nor model.safetensors.index.json nor a PyTorch checkpoint (*final.pth, pytorch_model.bin) is there' +
      insteadOfWeights(paths ?? []),
  );
}

function openFile(files: FileSource, path: string, file: RandomAccess): Promise<TensorSource> {
  if (path.endsWith('.json')) return openSharded(files, file);
  return path.endsWith('.safetensors') ? openSafetensors(file) : openTorch(file);
}
