/** Toy models in files: as PyTorch, safetensors and Glassbox write them. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer, saveModel } from '../../index.js';
import { memoryFile } from '../../weights/files/files.js';
import { writeSafetensors } from '../../weights/formats/safetensors-write.js';
import { openTorch } from '../../weights/formats/torch/torch.js';
import type { HostTensor } from '../../weights/formats/types.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { allClose, throws } from '../helpers.js';

const toys = fileURLToPath(new URL('../fixtures/toys', import.meta.url));
const folder = (name: string) => join(toys, name);
const row = [3, 1, 4, 1, 5, 9, 2, 6];

/** The state dict of a toy: every tensor that holds floats. */
async function stateDict(name: string): Promise<Record<string, HostTensor>> {
  const path = join(folder(name), 'model_final.pth');
  const file = await openTorch(memoryFile(path, new Uint8Array(readFileSync(path))));
  const out: Record<string, HostTensor> = {};
  for (const key of file.names())
    if (!/mask|IGNORE/.test(key)) out[key] = { shape: file.shape(key)!, data: await file.read(key) };
  return out;
}

const logitsOf = async (model: HookedTransformer, rows: number[][]) => {
  const logits = await model.forward(rows);
  return logits.data().finally(() => logits.dispose());
};

let scratch = '';
test.before.each(() => {
  scratch = mkdtempSync(join(tmpdir(), 'glassbox-toys-'));
});
test.after.each(() => rmSync(scratch, { recursive: true, force: true }));

test('a checkpoint is the same model in .pth, named as a file, in safetensors, and as arrays', async () => {
  using model = await HookedTransformer.fromPretrained(folder('solu'), { tokenizer: null });
  const expected = await logitsOf(model, [row]);
  cpSync(folder('solu'), scratch, { recursive: true });
  const tensors = await stateDict('solu');
  const config = JSON.parse(readFileSync(join(scratch, 'config.json'), 'utf8')) as object;
  const same = async (load: Promise<HookedTransformer>) => {
    using other = await load;
    assert.equal(await logitsOf(other, [row]), expected);
  };
  await same(HookedTransformer.fromPretrained(join(scratch, 'model_final.pth')));
  await same(HookedTransformer.fromWeights(config, tensors));
  unlinkSync(join(scratch, 'model_final.pth'));
  writeFileSync(join(scratch, 'model.safetensors'), writeSafetensors(tensors));
  await same(HookedTransformer.fromPretrained(scratch));
  await same(HookedTransformer.fromPretrained(join(scratch, 'model.safetensors')));
  unlinkSync(join(scratch, 'config.json'));
  await same(HookedTransformer.fromPretrained(scratch, { config: { actFn: 'solu_ln' } }));
  await throws(HookedTransformer.fromPretrained(scratch), /there is no config\.json.*\{ config:/);
});

test('a toy model saved and loaded again is the same, processed or not', async () => {
  for (const name of readdirSync(toys).filter((file) => !file.includes('.')))
    for (const processing of [{}, noProcessing]) {
      const into = join(scratch, name);
      using model = await HookedTransformer.fromPretrained(folder(name), {
        tokenizer: null,
        ...processing,
      });
      await saveModel(model, into);
      using again = await HookedTransformer.fromPretrainedNoProcessing(into);
      // Hugging Face's class for GPT-2 has norms with weights only.
      const normalization = name === 'gelu' ? 'LN' : model.config.normalization;
      const { tieWordEmbeddings: _, ...config } = again.config; // the file says so; the toys' own do not
      assert.equal(config, { ...model.config, normalization, name: into });
      allClose(await logitsOf(again, [row]), await logitsOf(model, [row]), { atol: 1e-6 });
    }
});

test.run();
