/**
 * Writes the tokenizer of the shipped model, which everything else of it follows from:
 *
 *     node --import tsx scripts/tiny/make-tokenizer.ts [folder = weights/tiny]
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { countWords, learnMerges, tokenizerJson, vocabularyOf } from './bpe.js';
import { documents } from './corpus.js';
import { COUNTRIES, NAMES, OBJECTS, PEOPLE, PLACES, SIGHTS, SURNAMES } from './lists.js';

const SEED = 1;

/**
 * The text from which merges are learnt: 30,000 documents, and every listed word, so that the rare ones count
 * too.
 */
function* bpeTexts(): Generator<string> {
  const split = new Map(SIGHTS.flatMap(([sight]) => sight.split(' ')).map((w) => [w.replace('|', ''), w]));
  let count = 0;
  for (const { text } of documents(SEED)) {
    if (++count > 30_000) break;
    yield text.replace(/[A-Za-z]+/g, (word) => split.get(word) ?? word);
  }
  for (const word of [...NAMES, ...SURNAMES, ...PLACES, ...OBJECTS]) yield ` ${word}`;
  for (const [name] of [...SIGHTS, ...PEOPLE]) yield ` ${name}`;
  for (const row of COUNTRIES) for (const word of row) yield ` ${word}`;
  yield* NAMES;
}

const [folder = 'weights/tiny'] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const json = tokenizerJson(learnMerges(countWords(bpeTexts())));
const path = join(folder, 'tokenizer.json');
writeFileSync(path, `${JSON.stringify(json)}\n`);
console.log(`${vocabularyOf(json).size} tokens in the vocabulary; wrote ${path}`);
