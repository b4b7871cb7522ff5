/**
 * From a model's folder to its tensors.
 */

import type { FileSource } from './files.js';
import { openSafetensors, openSharded } from './safetensors.js';
import type { TensorSource } from './tensors.js';

/**
 * The tensors of a model's folder: `model.safetensors`, or the shards of `model.safetensors.index.json`. Only headers are
 * read.
 * @throws an error that says what was looked for when neither is there, and the errors of `openSafetensors`.
 */
export async function openCheckpoint(files: FileSource): Promise<TensorSource> {
  const single = await files.open('model.safetensors');
  if (single) return openSafetensors(single);
  const index = await files.open('model.safetensors.index.json');
  if (index) return openSharded(files, index);
  throw new Error(
    `${files.name}: neither model.safetensors nor model.safetensors.index.json is there. ` +
      "A checkpoint in pytorch_model.bin has to be converted first, in Python: model.save_pretrained('folder')",
  );
}
