/**
 * A model that was saved and loaded again is the same model; a cache that was saved holds the same numbers.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer, openSafetensors, saveCache, saveModel } from '../../index.js';
import { nodeFile } from '../../weights/files/disk-node.js';
import { allClose, twoLayers as config, randomGpt2 } from '../helpers.js';

const prompt = [3, 1, 4, 1, 5, 9];

test('saved, raw or processed, and loaded again, a model gives the same log-probabilities', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'glassbox-save-'));
  const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 2));
  const [expected] = await model.logProbs([prompt]);
  await saveModel(model, folder);
  for (const load of ['fromPretrained', 'fromPretrainedNoProcessing'] as const) {
    const again = await HookedTransformer[load](folder);
    allClose((await again.logProbs([prompt]))[0], expected, { atol: 1e-5 });
    again.dispose();
  }
  model.dispose();
  await rm(folder, { recursive: true });
});

test('a saved cache holds every activation under its name', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'glassbox-save-'));
  const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 2));
  const { cache, logits } = await model.runWithCache([prompt]);
  await saveCache(cache, join(folder, 'cache.safetensors'));
  const file = await openSafetensors((await nodeFile(join(folder, 'cache.safetensors')))!);
  assert.equal(file.names().sort(), cache.names().sort());
  assert.equal(file.shape('blocks.1.attn.hook_z'), [1, 6, 2, 12]);
  assert.equal(await file.read('blocks.1.attn.hook_z'), await cache.get('z', 1).data());
  cache.dispose();
  logits.dispose();
  model.dispose();
  await rm(folder, { recursive: true });
});

test.run();
