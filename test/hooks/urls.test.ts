/** A URL object is taken wherever a path is. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer, jsonLines, randomModel, saveCache, saveModel } from '../../index.js';
import { twoLayers as config, throws } from '../helpers.js';

const folder = mkdtempSync(join(tmpdir(), 'glassbox urls '));
const url = pathToFileURL(`${folder}/`);
const model = await randomModel(config);

test('models, caches and records are written to and read from a URL', async () => {
  await saveModel(model, new URL('model/', url));
  for (const from of [new URL('model/', url), new URL('model/', url).href, join(folder, 'model')]) {
    const back = await HookedTransformer.fromPretrainedNoProcessing(from);
    assert.is(back.hash, model.hash);
    back.dispose();
  }
  const { logits, cache } = await model.runWithCache([1, 2], { names: 'z' });
  await saveCache(cache, new URL('cache.safetensors', url));
  const record = jsonLines(new URL('sweep.jsonl', url));
  await record.append(['{}']);
  assert.equal(await jsonLines(join(folder, 'sweep.jsonl')).read(), ['{}']);
  logits.dispose();
  cache.dispose();
});

test('a URL that is no file is refused as a place to write', async () => {
  await throws(saveModel(model, new URL('https://example.org/model/')), /a path, or a file: URL, is needed/);
});

test.after(() => {
  model.dispose();
  rmSync(folder, { recursive: true });
});
test.run();
