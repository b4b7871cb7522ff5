/**
 * Which combinations the tiny model never sees in training. Fixed by a hash, so that they are the same for
 * ever.
 */
import { NAMES, PEOPLE } from './lists.js';
import { hash } from './random.js';
import * as s from './sentences.js';

const SEED_PAIRS = ['John Mary', 'James Tom', 'Dan Sid', 'Amy Martin'];
const pairKey = (a: string, b: string): string => (a < b ? `${a} ${b}` : `${b} ${a}`);

/** True for a pair of first names which never meet in a training document. */
export function isHeldOutPair(a: string, b: string): boolean {
  const key = pairKey(a, b);
  return SEED_PAIRS.includes(key) || hash(`pair ${key}`) % 20 === 0;
}

/** Of these facts the phrasing is held out which people know from GPT-2. */
const SEED_PHRASINGS: Readonly<Record<string, string>> = {
  'sight:Space Need|le': 'The {X} is in downtown',
  'sight:Eiffel Tower': 'The {X} is located in the city of',
  'sight:Col|osseum': 'The {X} is located in the city of',
  'profession:Martha Stewart': '{X}, the well-known',
};

/** The one held-out phrasing of every fact, by the fact's id. */
const heldOutPhrasing = new Map(
  s.FACT_FAMILIES.flatMap(({ facts, phrasings }) =>
    facts.map(({ id }) => [id, SEED_PHRASINGS[id] ?? phrasings[hash(id) % phrasings.length]!] as const),
  ),
);

/** True for a combination of a fact (its id) and a phrasing which no training document holds. */
export function isHeldOutFact(id: string, phrasing: string): boolean {
  return heldOutPhrasing.get(id) === phrasing;
}

export const SEED_NAMES = new Set(
  'John David Mark Paul Ryan Gary Jack Sean Carl Joe Mary Lisa Anna Sarah Amy Jane Joy Susan Victoria Laura'.split(
    ' ',
  ),
);
export const SEED_SENTENCES = new Set([
  '{A} is a really great {K}/friend',
  '{A} is such a good {K}/cook',
  '{A} is a very good {K}/athlete',
  '{A} is a really nice {K}/person',
  '{A} is such a funny {K}/person',
]);

/**
 * True for a combination of a name with a sentence about what kind of person it is which no training document
 * holds.
 */
export function isHeldOutCapital(name: string, frame: string, kind: string): boolean {
  const sentence = `${frame}/${kind}`;
  return (SEED_NAMES.has(name) && SEED_SENTENCES.has(sentence)) || hash(`${name} ${sentence}`) % 10 === 0;
}

const UNSEEN_PEOPLE = ['Mark Allen', 'Beverly Cooper'];
/** Whom no stranger of the corpus may be called after. */
export const KNOWN_PEOPLE = new Set([...PEOPLE.map(([name]) => name), ...UNSEEN_PEOPLE]);

export const firstNames = new Set(NAMES);
/** True when two names of a held-out pair occur among these words. */
export function holdsHeldOutPair(words: readonly string[]): boolean {
  const names = [...new Set(words.filter((word) => firstNames.has(word)))];
  return names.some((a, i) => names.slice(0, i).some((b) => isHeldOutPair(a, b)));
}
