/**
 * Checkpoints of a training run, in Node: a model's folder, with the optimiser's state beside the weights.
 */

import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { nodeFile, pathOf } from '../../weights/files/disk-node.js';
import { openSafetensors } from '../../weights/formats/safetensors.js';
import type { HostTensor } from '../../weights/formats/types.js';
import { saveSafetensors } from '../../weights/node/files-node.js';
import { is, signatures } from '../input/check.js';
import { LOADING, type LoadOptions } from '../transformer/load.js';
import { HookedTransformer } from '../transformer/model.js';
import { saveModel } from '../transformer/save-node.js';
import { TRAINER, Trainer, type TrainerOptions } from './trainer.js';

const STATE = /^optimizer-\d+\.safetensors$/;
const stateName = (steps: number | string): string => `optimizer-${steps}.safetensors`;

const takes = signatures({
  saveTraining: { trainer: is.trainer, to: is.path },
  resumeTraining: { from: is.path, options: TRAINER, loading: LOADING },
});

/**
 * Writes a folder that `fromPretrained` loads and `resumeTraining` goes on from, bit for bit. The state is
 * complete before the weights that belong to it appear, so that whatever interrupts it leaves a checkpoint,
 * the old one or the new.
 */
export const saveTraining = takes.saveTraining(async function saveTraining(
  trainer: Trainer,
  to: string | URL,
): Promise<void> {
  const folder = pathOf(to);
  await trainer.readBack();
  const { steps, tensors } = await trainer.state();
  const state = stateName(steps);
  await mkdir(folder, { recursive: true });
  await saveSafetensors(join(folder, state), tensors, { metadata: { steps: String(steps) } });
  await saveModel(trainer.model, folder, { metadata: { steps: String(steps) } });
  for (const file of await readdir(folder))
    if (STATE.test(file) && file !== state) await rm(join(folder, file));
});

/**
 * The trainer of a checkpoint, with its model, which the caller disposes of as well.
 * @param options the same as in the run before: they are not part of the checkpoint
 * @throws when there is no checkpoint, or it is of another method
 */
export const resumeTraining = takes.resumeTraining(async function resumeTraining(
  from: string | URL,
  options: TrainerOptions,
  loading: LoadOptions = {},
): Promise<Trainer> {
  const folder = pathOf(from);
  const weights = await nodeFile(join(folder, 'model.safetensors'));
  if (!weights) throw new Error(`${folder}: there is no checkpoint of a training run`);
  const { steps } = (await openSafetensors(weights)).metadata;
  const file = steps === undefined ? null : await nodeFile(join(folder, stateName(steps)));
  if (!file)
    throw new Error(
      `${folder}: there are weights, but no state of an optimiser for them (${stateName(steps ?? 'N')}): it can be loaded, not resumed`,
    );
  const source = await openSafetensors(file);
  const tensors: Record<string, HostTensor> = {};
  for (const name of source.names())
    tensors[name] = { shape: source.shape(name)!, data: await source.read(name) };
  const model = await HookedTransformer.fromPretrainedNoProcessing(folder, loading);
  try {
    const trainer = new Trainer(model, options);
    trainer.restore({ steps: Number(steps), tensors });
    return trainer;
  } catch (e) {
    model.dispose();
    throw e;
  }
});
