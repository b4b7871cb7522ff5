/**
 * The random models of test/fixtures/programs: `node --import tsx test/programs/models.ts FOLDER` writes them for Python, the tests
 * write them again: `gpt2` and `small` (of GPT-2's kind, with the vocabulary
 * of the shipped model), and `attn-only`.
 */

import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeSafetensors } from '../../index.js';
import { randomGpt2 } from '../helpers.js';

const tiny = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../weights/tiny');
/** The vocabulary of the shipped model; its last token begins and ends texts. */
const dVocab = 2449;
const sizes = {
  gpt2: { nLayers: 4, nHeads: 4, dModel: 32, dHead: 8, dMlp: 64, nCtx: 256, dVocab, attnOnly: false },
  small: { nLayers: 2, nHeads: 2, dModel: 16, dHead: 8, dMlp: 32, nCtx: 128, dVocab, attnOnly: false },
  'attn-only': {
    nLayers: 2,
    nHeads: 1,
    dModel: 16,
    dHead: 8,
    dMlp: 0,
    nCtx: 64,
    dVocab: 300,
    attnOnly: true,
  },
};

/** Writes both into a folder. */
export function writeModels(folder: string): void {
  for (const [name, own] of Object.entries(sizes)) {
    const config = { ...own, normalization: 'LN' as const };
    const to = path.join(folder, name);
    mkdirSync(to, { recursive: true });
    writeFileSync(path.join(to, 'config.json'), JSON.stringify({ ...config, bosTokenId: own.dVocab - 1 }));
    writeFileSync(path.join(to, 'model.safetensors'), writeSafetensors(randomGpt2(config, 17)));
    if (own.dVocab === dVocab)
      copyFileSync(path.join(tiny, 'tokenizer.json'), path.join(to, 'tokenizer.json'));
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeModels(process.argv[2]);
