/**
 * Writes what `train.py` reads: the tokenizer (into the model's folder), the corpus as token ids, and the probes.
 *
 *     node --import tsx scripts/tiny/make-data.ts OUT [million tokens = 8] [model folder = weights/tiny]
 *
 * OUT/train.bin, OUT/validation.bin and OUT/repetitions.bin are little-endian 16-bit token ids, document after document, each beginning with
 * `<|endoftext|>`; OUT/probes.json holds the held-out probes, the published prompts and random repeated tokens.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { countWords, learnMerges, tokenizerJson, vocabularyOf } from './bpe.js';
import {
  documents,
  heldOut,
  OPEN_PROMPTS,
  type Probe,
  repetitionSequences,
  seedPrompts,
  trainingSequences,
  type Vocabulary,
} from './corpus.js';
import { COUNTRIES, NAMES, OBJECTS, PEOPLE, PLACES, SIGHTS, SURNAMES } from './lists.js';
import { Random } from './random.js';

const TRAIN_SEED = 1;
const VALIDATION_SEED = 2;

/** The text from which merges are learnt: 30,000 documents, and every listed word, so that the rare ones count too. */
function* bpeTexts(): Generator<string> {
  const split = new Map(SIGHTS.flatMap(([sight]) => sight.split(' ')).map((w) => [w.replace('|', ''), w]));
  let count = 0;
  for (const { text } of documents(TRAIN_SEED)) {
    if (++count > 30_000) break;
    yield text.replace(/[A-Za-z]+/g, (word) => split.get(word) ?? word);
  }
  for (const word of [...NAMES, ...SURNAMES, ...PLACES, ...OBJECTS]) yield ` ${word}`;
  for (const [name] of [...SIGHTS, ...PEOPLE]) yield ` ${name}`;
  for (const row of COUNTRIES) for (const word of row) yield ` ${word}`;
  yield* NAMES;
}

function writeTokens(path: string, sequences: Iterable<number[]>, count: number): void {
  const ids = new Uint16Array(count);
  let at = 0;
  for (const sequence of sequences) {
    ids.set(sequence.slice(0, count - at), at);
    at += sequence.length;
    if (at >= count) break;
  }
  writeFileSync(path, ids);
}

/** Probes as tokens: `{ tokens, answer, wrong }`, with `<|endoftext|>` in front. */
function encodeProbes(probes: readonly Probe[], vocabulary: Vocabulary): object[] {
  const single = (text: string): number => {
    const ids = vocabulary.encode(text);
    if (ids.length !== 1) throw new Error(`the answer "${text}" must be a single token, not ${ids.length}`);
    return ids[0]!;
  };
  return probes.map(({ prompt, answer, wrong }) => ({
    prompt,
    tokens: [vocabulary.bos, ...vocabulary.encode(prompt)],
    answer: single(answer),
    wrong: wrong === undefined ? null : single(wrong),
  }));
}

function encodeAll(groups: Readonly<Record<string, Probe[]>>, vocabulary: Vocabulary): object {
  return Object.fromEntries(
    Object.entries(groups).map(([kind, probes]) => [kind, encodeProbes(probes, vocabulary)]),
  );
}

const [out, millions = '8', folder = 'weights/tiny'] = process.argv.slice(2);
if (out === undefined) throw new Error('usage: make-data.ts OUT [million tokens] [model folder]');
mkdirSync(out, { recursive: true });
mkdirSync(folder, { recursive: true });

const tokenizerPath = join(folder, 'tokenizer.json');
writeFileSync(tokenizerPath, `${JSON.stringify(tokenizerJson(learnMerges(countWords(bpeTexts()))))}\n`);
const vocabulary = vocabularyOf(JSON.parse(readFileSync(tokenizerPath, 'utf8')));

const repeated = repetitionSequences(TRAIN_SEED, vocabulary, { random: 0.4, most: 12 });
writeTokens(join(out, 'repetitions.bin'), repeated, 2_500_000);
writeTokens(
  join(out, 'train.bin'),
  trainingSequences(TRAIN_SEED, vocabulary),
  Math.round(Number(millions) * 1e6),
);
writeTokens(join(out, 'validation.bin'), trainingSequences(VALIDATION_SEED, vocabulary), 200_000);

const rng = new Random(VALIDATION_SEED);
const probes = {
  vocabulary: Array.from({ length: vocabulary.size }, (_, id) => vocabulary.text(id)),
  bos: vocabulary.bos,
  heldOut: encodeAll(heldOut(), vocabulary),
  seeds: encodeAll(seedPrompts(), vocabulary),
  open: OPEN_PROMPTS.map((prompt) => ({ prompt, tokens: [vocabulary.bos, ...vocabulary.encode(prompt)] })),
  // Twenty-four random tokens, twice: how well does the second half follow from the first?
  repeated: Array.from({ length: 100 }, () => Array.from({ length: 24 }, () => rng.int(vocabulary.bos))),
};
writeFileSync(join(out, 'probes.json'), JSON.stringify(probes));
console.log(`${vocabulary.size} tokens in the vocabulary; wrote ${out} and ${tokenizerPath}`);
