/** Models for the notebooks: random ones with GPT-2's vocabulary, of attention alone, and with a vocabulary that splits names. */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { HookedTransformer, type Notebook, writeSafetensors } from '../../index.js';
import { gpt2TokenizerJson } from '../engine/gpt2-tokenizer.js';
import { type FamilyReference, familyReferences, familyWeights } from '../families.js';
import { randomGpt2 } from '../helpers.js';
import { inFolder, root, runScript } from './command.js';

/** Whether the shipped model is there. */
export const hasTiny = existsSync(path.join(root, 'weights/tiny/model.safetensors'));

/** What a seed left behind. */
export interface Output {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  text(file: string): string;
  /** Lines of a CSV without its head, cut at commas. */
  rows(file: string): string[][];
  readonly files: readonly string[];
}

/** Runs `glassbox seed` as a program and reads what it wrote. */
export const seed = (
  name: string,
  args: readonly string[],
  check: (output: Output) => void,
  env = {},
): Promise<void> =>
  inFolder(async (folder) => {
    const out = path.join(folder, 'out');
    const done = await runScript('scripts/glassbox.ts', ['seed', name, '--out', out, ...args], folder, env);
    const text = (file: string) => readFileSync(path.join(out, file), 'utf8');
    const rows = (file: string) =>
      text(file)
        .trim()
        .split('\n')
        .slice(1)
        .map((l) => l.split(','));
    const files = existsSync(out) ? readdirSync(out, { recursive: true }).map(String) : [];
    check({ ...done, text, rows, files });
  });

/** Which words a vocabulary splits. */
export type Vocabulary = 'gpt2' | 'letters';

/** Bytes, and each letter with a blank before it: " Mary" is " M", "a", "r", "y". */
function lettersJson(): object {
  const gpt2 = gpt2TokenizerJson() as { model: { vocab: Record<string, number>; merges: unknown[] } };
  const bytes = Object.keys(gpt2.model.vocab).filter((entry) => Array.from(entry).length === 1);
  const letters = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'];
  const entries = [...bytes, ...letters.map((letter) => `Ġ${letter}`), '<|endoftext|>'];
  const vocab = Object.fromEntries(entries.map((entry, i) => [entry, i]));
  const model = { ...gpt2.model, vocab, merges: letters.map((letter) => `Ġ ${letter}`) };
  const special = { id: entries.length - 1, content: '<|endoftext|>', special: true };
  return {
    ...gpt2,
    model,
    added_tokens: [{ ...special, single_word: false, lstrip: false, rstrip: false, normalized: false }],
  };
}

/** A model of small layers, as a folder. */
export function writeRandomModel(
  folder: string,
  { attnOnly = false, vocabulary = 'gpt2' as Vocabulary, nCtx = 32, nLayers = 2 } = {},
): string {
  const json = vocabulary === 'gpt2' ? gpt2TokenizerJson() : lettersJson();
  const dVocab =
    vocabulary === 'gpt2' ? 50257 : Object.keys((json as { model: { vocab: object } }).model.vocab).length;
  const sizes = { nLayers, nHeads: 2, dModel: 8, dHead: 4, dMlp: attnOnly ? 0 : 16, nCtx, dVocab };
  const config = { ...sizes, attnOnly, normalization: 'LN' as const };
  const write = (file: string, data: string | Uint8Array) => writeFileSync(path.join(folder, file), data);
  write('config.json', JSON.stringify({ ...config, bosTokenId: dVocab - 1 }));
  write('tokenizer.json', JSON.stringify(json));
  write('model.safetensors', writeSafetensors(randomGpt2(config, 11)));
  return folder;
}

/** A random model of a family, with the sizes of test/fixtures/parts and the vocabulary of letters, as a folder. */
export function writeFamilyModel(folder: string, name: string, nCtx = 128): string {
  const reference = familyReferences.find((r) => r.name === name)!;
  const json = lettersJson();
  const dVocab = Object.keys((json as { model: { vocab: object } }).model.vocab).length;
  const { vocab_size: before } = reference.config as { vocab_size: number };
  const positions = 'n_positions' in reference.config ? 'n_positions' : 'max_position_embeddings';
  const config = { ...reference.config, vocab_size: dVocab, [positions]: nCtx, bos_token_id: dVocab - 1 };
  const tensors = reference.tensors.map(
    ([tensor, shape, ...how]) => [tensor, shape.map((n) => (n === before ? dVocab : n)), ...how] as const,
  );
  const write = (file: string, data: string | Uint8Array) => writeFileSync(path.join(folder, file), data);
  write('config.json', JSON.stringify(config));
  write('tokenizer.json', JSON.stringify(json));
  write('model.safetensors', writeSafetensors(familyWeights({ ...reference, tensors } as FamilyReference)));
  return folder;
}

/** A model of two small layers with GPT-2's vocabulary, as a folder. */
export const writeRandomGpt2 = (folder: string, nCtx = 32): string => writeRandomModel(folder, { nCtx });

/** The model that Python's numbers in test/fixtures/notebooks are of. */
export const writeNotebookModel = (folder: string): string =>
  writeRandomModel(folder, { nLayers: 3, nCtx: 32 });

/** A random model, loaded as a notebook wants it; its folder is gone. @param options of GPT-2’s kind, or a family’s name */
export async function randomModelFor(
  notebook: Notebook,
  options: Parameters<typeof writeRandomModel>[1] | string = {},
): Promise<HookedTransformer> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'glassbox-model-'));
  try {
    if (typeof options === 'string') writeFamilyModel(folder, options);
    else writeRandomModel(folder, options);
    const load = typeof notebook.load === 'function' ? notebook.load('random') : notebook.load;
    return await HookedTransformer.fromPretrained(folder, load);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
