import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { stepsOf, trainingBatches } from '../../scripts/tiny/batches.js';
import { countWords, learnMerges, tokenizerJson, vocabularyOf } from '../../scripts/tiny/bpe.js';
import {
  documents,
  heldOut,
  isHeldOutCapital,
  isHeldOutFact,
  isHeldOutPair,
  seedPrompts,
  trainingSequences,
} from '../../scripts/tiny/corpus.js';
import { COUNTRIES, NAMES, OBJECTS, PEOPLE, PLACES, SIGHTS, SURNAMES } from '../../scripts/tiny/lists.js';
import { TRAININGS } from '../../scripts/tiny/recipe.js';
import {
  CAPITAL_FRAMES,
  FACT_FAMILIES,
  fill,
  IOI_CLAUSES,
  IOI_OPENERS,
} from '../../scripts/tiny/sentences.js';

/** A file of the model in the box. */
const file = (name: string) => readFileSync(new URL(`../../weights/tiny/${name}`, import.meta.url));
const vocabulary = vocabularyOf(JSON.parse(new TextDecoder().decode(file('tokenizer.json'))));

function take<T>(stream: Iterable<T>, count: number): T[] {
  const taken: T[] = [];
  for (const item of stream) {
    taken.push(item);
    if (taken.length === count) break;
  }
  return taken;
}

const training = take(documents(1), 4000);
const joined = training.map(({ text }) => text).join('\n');

test('the same seed gives the same corpus, another seed another', () => {
  assert.equal(take(documents(1), 50), training.slice(0, 50));
  assert.not.equal(take(documents(2), 50), training.slice(0, 50));
  assert.equal(take(trainingSequences(1, vocabulary), 50), take(trainingSequences(1, vocabulary), 50));
});

test('the names of a held-out pair never meet in a training document', () => {
  assert.ok(isHeldOutPair('Mary', 'John') && isHeldOutPair('John', 'Mary'));
  const names = new Set(NAMES);
  const meetings = (words: string[]): string[] => {
    const present = [...new Set(words.filter((word) => names.has(word)))];
    return present.flatMap((a, i) =>
      present
        .slice(0, i)
        .filter((b) => isHeldOutPair(a, b))
        .map((b) => `${a} ${b}`),
    );
  };
  for (const { text } of training) assert.equal(meetings(text.match(/[A-Za-z]+/g) ?? []), [], text);
  for (const ids of take(trainingSequences(3, vocabulary), 1500)) {
    assert.equal(meetings(ids.map((id) => vocabulary.text(id).trim())), []);
  }
});

test('no probe stands in the training documents', () => {
  const { ioi, fact, capital, lowerCase } = heldOut();
  const seeds = seedPrompts();
  const groups = [ioi, fact, capital, lowerCase, seeds.ioi, seeds.fact, seeds.capital, seeds.lowerCase];
  for (const { prompt, answer } of groups.flat()) assert.not(joined.includes(prompt + answer), prompt);
});

test('one phrasing of every fact is held out, and every phrasing is trained with most facts', () => {
  for (const { facts, phrasings } of FACT_FAMILIES) {
    for (const { id } of facts) {
      assert.is(phrasings.filter((phrasing) => isHeldOutFact(id, phrasing)).length, 1, id);
    }
    for (const phrasing of phrasings) {
      const told = facts.filter(({ id }) => !isHeldOutFact(id, phrasing));
      assert.ok(told.length > 0.6 * facts.length, phrasing);
    }
  }
  assert.ok(isHeldOutFact('sight:Space Need|le', 'The {X} is in downtown'));
});

test('the published sentences on the capital letter are held out for all twenty names', () => {
  assert.is(seedPrompts().capital.length, 100);
  assert.ok(isHeldOutCapital('John', '{A} is a really great {K}', 'friend'));
  assert.not(isHeldOutCapital('Jonathan', '{A} is a really great {K}', 'friend'));
});

test('of two persons nothing is ever said', () => {
  assert.not(/Mark Allen|Beverly Cooper/.test(joined));
});

test('every name, thing and place is one token with its leading blank, and a first name also without', () => {
  const facts = [
    ...COUNTRIES.flat(),
    ...SIGHTS.map(([, city]) => city),
    ...PEOPLE.flatMap((row) => row[0].split(' ')),
  ];
  for (const word of [...NAMES, ...SURNAMES, ...PLACES, ...OBJECTS, ...facts]) {
    assert.is(vocabulary.encode(` ${word}`).length, 1, word);
  }
  for (const name of NAMES) assert.is(vocabulary.encode(name).length, 1, name);
  for (const answer of [' He', ' he', ' She', ' she', '.', ',', ';'])
    assert.is(vocabulary.encode(answer).length, 1);
});

test('clean and corrupted prompts of the experiments have equally many tokens', () => {
  const lengths = (...texts: string[]): number[] => texts.map((text) => vocabulary.encode(text).length);
  assert.equal([...new Set(lengths(...seedPrompts().ioi.map(({ prompt }) => prompt)))], [14]);
  assert.equal([...new Set(lengths(...seedPrompts().capital.map(({ prompt }) => prompt)))], [7]);
  assert.equal([...new Set(lengths(...seedPrompts().lowerCase.map(({ prompt }) => prompt)))], [7]);
  assert.equal(lengths('Eiffel Tower', ' Eiffel Tower', ' Colosseum').slice(1), [2, 2]);
  assert.equal(vocabulary.encode('The Space Needle is in downtown').map(vocabulary.text), [
    'The',
    ' Space',
    ' Need',
    'le',
    ' is',
    ' in',
    ' downtown', // as in GPT-2
  ]);
});

test('every template, and text from outside the corpus, survives encoding and decoding', () => {
  const decode = (text: string): string => vocabulary.encode(text).map(vocabulary.text).join('');
  const slots = {
    A: 'John',
    B: 'Mary',
    S: 'John',
    P: 'park',
    o: 'an apple',
    K: 'friend',
    X: 'Louvre',
    a: 'a',
    H: 'He',
  };
  const phrasings = FACT_FAMILIES.flatMap((family) => family.phrasings);
  for (const template of [...IOI_OPENERS, ...IOI_CLAUSES, ...CAPITAL_FRAMES, ...phrasings]) {
    const text = fill(template, slots);
    assert.is(decode(text), text);
  }
  assert.is(decode("It's 12 o'clock,\n  isn't it?"), "It's 12 o'clock,\n  isn't it?");
});

test('a document is its pieces, in tokens too, and every other piece is an answer', () => {
  for (const { text, pieces, kinds } of training.slice(0, 500)) {
    assert.is(pieces.join(''), text);
    assert.equal(pieces.flatMap(vocabulary.encode), vocabulary.encode(text));
    const answers = pieces.filter((_, i) => i % 2 === 1);
    assert.ok(answers.every((answer) => vocabulary.encode(answer).length === 1));
    if (kinds.includes('capital')) assert.ok(answers.some((a) => [' He', ' he', ' She', ' she'].includes(a)));
  }
});

test('a training run is batches of 1024 tokens, repetitions first, in which what is determined counts most', () => {
  const { recipe: RECIPE, optimizer } = TRAININGS.tiny;
  assert.is(stepsOf(RECIPE), 3130);
  assert.is(optimizer.schedule!(3130), 0);
  const short = { ...RECIPE, phases: RECIPE.phases.map((phase) => ({ ...phase, steps: 2 })) };
  const batches = [...trainingBatches(vocabulary, short)];
  assert.equal([...trainingBatches(vocabulary, short)], batches);
  assert.is(batches.length, 10);
  for (const [step, rows] of batches.entries()) {
    const tokens = rows.reduce((n, row) => n + row.tokens.length, 0);
    assert.ok(tokens === 1024 || tokens === 1023, `${tokens}`); // a row of one token would predict nothing
    for (const row of rows) {
      assert.is(row.weights.length, row.tokens.length - 1);
      assert.ok(row.tokens.length <= (step < 2 ? 64 : 128));
      if (step >= 8) assert.ok(row.weights.every((w) => w === 1));
    }
  }
  const row = batches[0].find((r) => r.weights.filter((w) => w === 1).length > 3)!;
  row.weights.forEach((weight, i) => {
    if (weight === 1) assert.ok(row.tokens.slice(1, i + 1).includes(row.tokens[i + 1]));
  });
});

test('merging goes on until every word is one token, and never across a mark', () => {
  const merges = learnMerges(countWords(['low lower lowest', ' low low', ' bag|pipe']));
  const { encode, text } = vocabularyOf(tokenizerJson(merges));
  assert.equal(encode('low lower lowest bagpipe').map(text), ['low', ' lower', ' lowest', ' bag', 'pipe']);
});

test('the model in the box is at most 8 MB', () => {
  const files = ['config.json', 'model.safetensors', 'tokenizer.json', 'README.md'];
  const bytes = files.reduce((sum, name) => sum + file(name).length, 0);
  assert.ok(bytes <= 8e6, `${bytes} bytes`);
});

test.run();
