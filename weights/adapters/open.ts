/** From an adapter's name to its settings and matrices. */

import { fileError } from '../checks/messages.js';
import { type FileSource, readJson } from '../files/files.js';
import { openSafetensors } from '../formats/safetensors.js';
import { openTorch } from '../formats/torch/torch.js';
import type { Adapter } from './merge.js';
import { adapterSettings } from './settings.js';

const CONFIG = 'adapter_config.json';
const [SAFE, TORCH] = ['adapter_model.safetensors', 'adapter_model.bin'];

/**
 * The adapter in a folder as PEFT's `save_pretrained` writes it. Only headers are read.
 * @throws when the folder holds none, or one of another kind than LoRA
 */
export async function openAdapter(files: FileSource, name = files.name): Promise<Adapter> {
  const config = await files.open(CONFIG);
  if (!config) {
    const model = await files.open('config.json');
    throw fileError(
      files.name,
      model
        ? `there is no ${CONFIG}, but a config.json: this is a model, not an adapter`
        : `there is no ${CONFIG}; an adapter is a folder with it and ${SAFE}, as PEFT's save_pretrained writes it`,
    );
  }
  const settings = adapterSettings(await readJson(config), config.name);
  const safe = await files.open(SAFE);
  const file = safe ?? (await files.open(TORCH));
  if (!file) throw fileError(files.name, `there is neither ${SAFE} nor ${TORCH}`);
  const tensors = safe ? await openSafetensors(file) : await openTorch(file);
  await files.finished?.();
  return { name, settings, tensors };
}
