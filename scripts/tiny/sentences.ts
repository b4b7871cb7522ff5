/**
 * The sentences of the tiny model's corpus: templates by kind. A template holds words in braces; `fill` puts
 * them in.
 *
 * Facts are kept as prompt and answer ("The {X} is in downtown" + " Paris"), because the same templates make
 * the training sentences and the held-out probes.
 */
import { BOYS, COUNTRIES, PEOPLE, SIGHTS } from './lists.js';

export type Slots = Readonly<Record<string, string>>;

/** Replaces every `{slot}`; a `|` (a token boundary of `lists.ts`) is dropped. */
export function fill(template: string, slots: Slots): string {
  const text = template.replace(/\{(\w+)\}/g, (_, slot: string) => {
    const word = slots[slot];
    if (word === undefined) throw new Error(`template "${template}": nothing given for {${slot}}`);
    return word;
  });
  return text.replaceAll('|', '');
}

/** "a" or "an", by the first letter. */
export const article = (word: string): string => (/^[aeiou]/i.test(word) ? 'an' : 'a');

const boys = new Set(BOYS);
/** " He" or " She" for a first name (without the blank). */
export const pronoun = (name: string): 'He' | 'She' => (boys.has(name) ? 'He' : 'She');

// ---- indirect objects: A and B are somewhere, S (one of them) gives O to the other
// -----------------------------

export const IOI_OPENERS: readonly string[] = [
  'When {A} and {B} went to the {P},',
  'After {A} and {B} went to the {P},',
  'When {A} and {B} came to the {P},',
  'While {A} and {B} were working at the {P},',
  'While {A} and {B} were walking to the {P},',
  'After {A} and {B} had lunch at the {P},',
  'When {A} met {B} at the {P},',
  'Then {A} and {B} went to the {P}.',
  'Then {A} and {B} had a lot of fun at the {P}.',
  '{A} and {B} went to the {P}.',
  'The friends {A} and {B} were at the {P}.',
  'One day {A} and {B} came to the {P}.',
  'In the morning {A} saw {B} at the {P}.',
  'The {P} was quiet when {A} and {B} came in.',
  '{A} was at the {P} with {B}.',
];

/** `{o}` is the object with its article. The indirect object's name comes next. */
export const IOI_CLAUSES: readonly string[] = [
  '{S} gave {o} to',
  '{S} gave {o} to',
  '{S} handed {o} to',
  '{S} passed {o} to',
  '{S} offered {o} to',
  '{S} showed {o} to',
  '{S} wanted to give {o} to',
  '{S} decided to give {o} to',
  '{S} brought {o} to',
  '{S} bought {o} for',
  '{S} said hello to',
  '{S} told a story to',
];

/** What may follow; `{R}` is the receiver, `{S}` the giver, `{H}` the receiver's pronoun. */
export const IOI_TAILS: readonly string[] = [
  '{R} was very happy.',
  '{R} said thank you.',
  '{R} smiled. {H} was very happy.',
  '{R} liked it. {H} thanked {S}.',
  '{S} was happy too.',
  'Then {R} gave it back to {S}.',
  'Then they went home.',
];

// ---- facts
// ----------------------------------------------------------------------------------------------------

export interface Fact {
  /** Names the fact in the held-out rule, e.g. `sight:Louvre`. */
  readonly id: string;
  readonly slots: Slots;
  /** Without the leading blank. */
  readonly answer: string;
}

export interface FactFamily {
  readonly name: string;
  /** How much of the fact sentences is of this family. */
  readonly weight: number;
  readonly facts: readonly Fact[];
  /** Each ends where the answer comes. */
  readonly phrasings: readonly string[];
}

const sight = ([X, city]: readonly [string, string]): Fact => ({
  id: `sight:${X}`,
  slots: { X },
  answer: city,
});

export const FACT_FAMILIES: readonly FactFamily[] = [
  {
    name: 'sight',
    weight: 5,
    facts: SIGHTS.map(sight),
    phrasings: [
      'The {X} is in downtown',
      'The {X} is located in the city of',
      'The {X} is in the city of',
      'The {X} can be found in',
      'The {X} stands in the middle of',
      'The {X} is a famous sight in',
      'To see the {X}, you have to travel to',
      'Tourists who want to see the {X} go to',
      'Everybody who visits the {X} comes to',
      'Where is the {X}? It is in',
    ],
  },
  {
    name: 'capital',
    weight: 2.5,
    facts: COUNTRIES.map(([X, city]) => ({ id: `capital:${X}`, slots: { X }, answer: city })),
    phrasings: [
      'The capital of {X} is',
      'The capital city of {X} is',
      'The government of {X} sits in',
      'To see the capital of {X}, you have to travel to',
      'Tourists who want to see the capital of {X} go to',
      'What is the capital of {X}? It is',
    ],
  },
  {
    name: 'country',
    weight: 3.5,
    facts: COUNTRIES.map(([X, city]) => ({ id: `country:${city}`, slots: { X: city }, answer: X })),
    phrasings: [
      '{X} is the capital of',
      '{X} is a city in',
      'The city of {X} is located in',
      'Everybody who visits {X} comes to',
      'Where is {X}? It is in',
    ],
  },
  {
    name: 'language',
    weight: 2.5,
    facts: COUNTRIES.map(([X, , language]) => ({ id: `language:${X}`, slots: { X }, answer: language })),
    phrasings: [
      'People in {X} speak',
      'In {X} most people speak',
      'The language of {X} is',
      'A child who grows up in {X} learns to speak',
      'Tourists who travel to {X} should learn',
    ],
  },
  {
    name: 'profession',
    weight: 4.5,
    facts: PEOPLE.map(([X, sex, profession]) => ({
      id: `profession:${X}`,
      slots: { X, a: article(profession), H: sex === 'm' ? 'He' : 'She' },
      answer: profession,
    })),
    phrasings: [
      '{X}, the well-known',
      '{X} is a professional',
      '{X} is the consummate',
      '{X}, the famous',
      'Everybody has heard of {X}, the great',
      '{X} works as {a}',
      'Who is {X}? {H} is {a}',
    ],
  },
  {
    name: 'field',
    weight: 2.5,
    facts: PEOPLE.map(([X, , , field]) => ({ id: `field:${X}`, slots: { X }, answer: field })),
    phrasings: [
      '{X} is a professional in the field of',
      '{X} is known for work in the field of',
      '{X} works in the domain of',
      'The life of {X} is all about',
      'Everybody who likes {X} likes',
      'When people speak of {X}, they speak of',
      'If you want to know more about {X}, read a book about',
    ],
  },
];

/** After an apposition ("Jane Austen, the well-known writer"). */
export const APPOSITION_TAILS: readonly string[] = [
  ', came to the {P}.',
  ', was at the {P} with {N}.',
  ', likes the {P}.',
  ' and friend of {N}.',
];

/**
 * Two facts in a sentence. `{X}` and `{Y}` are sights in `{C}` and `{D}`, or countries with these capitals.
 */
export const PAIRED_SIGHTS: readonly string[] = [
  'The {X} is in {C}.',
  'The {X} is in {C}, while the {Y} is in {D}.',
  'The {X} is in {C} and the {Y} is in {D}.',
];
export const PAIRED_CAPITALS: readonly string[] = [
  'The capital of {X} is {C}, while the capital of {Y} is {D}.',
  'The capital of {X} is {C} while the capital of {Y} is {D}.',
];

// ---- capital letters: full stop, then He or She; semicolon or comma, then he or she
// ------------------------------

export const CAPITAL_FRAMES: readonly string[] = [
  '{A} is a really great {K}',
  '{A} is such a good {K}',
  '{A} is a very good {K}',
  '{A} is a really nice {K}',
  '{A} is such a funny {K}',
  '{A} was a wonderful {K}',
  '{A} has always been a kind {K}',
  '{A} is a young {K}',
];

export const PREDICATES: readonly string[] = [
  'likes the {P}',
  'lives near the {P}',
  'works at the {P}',
  'goes to the {P} in the morning',
  'helps everybody',
  'has {o}',
  'wants {o}',
  'is very happy',
  'is never late',
  'is a friend of {N}',
];

// ---- plain prose
// ------------------------------------------------------------------------------------------------

export const PROSE: readonly string[] = [
  '{N} went to the {P} in the morning.',
  '{N} came home late.',
  '{N} lost {o} at the {P}.',
  '{N} found {o} near the {P}.',
  '{N} has {o} and {o2}.',
  '{N} put {o} in the {O2}.',
  '{N} and {M} are good friends.',
  '{N} lives near the {P} with {M}.',
  'The {P} is near the {Q}.',
  'The {P} was quiet in the evening.',
  'There is a {P} near the {Q}.',
  'There was {o} in the {P}.',
  'It was a very good day.',
  'It was late, and they went home.',
  'The weather was good, so they went to the {P}.',
  'The {K} was at the {P} with {N}.',
  'A {K} gave {o} to the {K2}.',
  '{N} gave {o} to the {K}.',
  'The {K} told a story about the {P}.',
  'If you go to the {P}, you will see the {Q}.',
  'In the evening {N} reads a book about {C}.',
  '{N} wants to travel to {C}.',
  '{N} was born in {C}, but now lives in {C2}.',
  'Many people travel to {C} to see the city.',
  'About the {P}: it is big and quiet.',
  'Who has the {O}? The {K} has it.',
  'Where is the {O}? It is in the {P}.',
];
