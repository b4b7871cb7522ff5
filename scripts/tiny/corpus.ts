/**
 * The corpus of the tiny model, made of the templates in `sentences.ts` and the lists in `lists.ts`: an
 * endless, seeded stream of short documents, and the combinations which never occur in it (`heldOut`), on
 * which the trained model is measured. Training (`batches.ts`) reads `documents` and `repetitions`.
 *
 * What is held out:
 *  - pairs of first names: a twentieth of all pairs, and the four pairs of the well-known IOI prompts. The
 *    two names of such a pair never occur in one document, of whatever kind;
 *  - one phrasing of every fact, among them the prompts people know from GPT-2 ("The Space Needle is in
 *    downtown"): the fact is told in the other phrasings, the phrasing with other facts;
 *  - (name, sentence) for the capital letter: a tenth, and twenty names with five sentences of the experiment
 *    on GPT-2;
 *  - two persons, Mark Allen and Beverly Cooper, of whom nothing is ever said.
 */
import {
  firstNames,
  holdsHeldOutPair,
  isHeldOutCapital,
  isHeldOutFact,
  isHeldOutPair,
  KNOWN_PEOPLE,
  SEED_NAMES,
  SEED_SENTENCES,
} from './held-out.js';
import { COUNTRIES, KINDS, NAMES, OBJECTS, PLACES, PROFESSIONS, SIGHTS, SURNAMES } from './lists.js';
import { hash, Random } from './random.js';
import * as s from './sentences.js';

export { isHeldOutCapital, isHeldOutFact, isHeldOutPair } from './held-out.js';

export type Kind = 'ioi' | 'fact' | 'capital' | 'prose';

/** A document of the corpus, without its `<|endoftext|>`. `kinds` says of which kinds its parts are. */
export interface Document {
  readonly kinds: readonly Kind[];
  readonly text: string;
  /**
   * The text in pieces: every other one, from the second on, is an answer, which what stands before it
   * determines.
   */
  readonly pieces: readonly string[];
}

/** Marks an answer inside a text, its leading blank included, for `pieces`. */
const ANSWER = '\u0001';
const answered = (answer: string): string => `${ANSWER} ${answer}${ANSWER}`;

// ---- sentences
// ------------------------------------------------------------------------------------------------

const thing = (object: string): string => `${s.article(object)} ${object}`;
const CITIES = [...new Set([...SIGHTS.map(([, city]) => city), ...COUNTRIES.map(([, capital]) => capital)])];

/** Fresh words for every slot that is not special to a kind. */
function commonSlots(rng: Random): s.Slots {
  const [P, Q] = rng.sample(PLACES, 2) as [string, string];
  const [O, O2] = rng.sample(OBJECTS, 2) as [string, string];
  const [K, K2] = rng.sample(KINDS, 2) as [string, string];
  const [N, M] = rng.sample(NAMES, 2) as [string, string];
  const [C, C2] = rng.sample(CITIES, 2) as [string, string];
  return { P, Q, O, O2, K, K2, N, M, C, C2, o: thing(O), o2: thing(O2) };
}

function ioi(rng: Random): string {
  const [A, B, other] = rng.sample(NAMES, 3) as [string, string, string];
  const slots = commonSlots(rng);
  const o = rng.chance(0.5) ? thing(slots.O!) : `the ${slots.O}`;
  // Sometimes a third person gives: then nothing says which of the two receives.
  const S = rng.chance(0.06) ? other : rng.pick([A, B]);
  const R = S === A ? B : S === B ? A : rng.pick([A, B]);
  const named = { ...slots, A, B, S, R, o, H: s.pronoun(R) };
  const story = `${s.fill(rng.pick(s.IOI_OPENERS), named)} ${s.fill(rng.pick(s.IOI_CLAUSES), named)}${S === other ? ` ${R}` : answered(R)}.`;
  return rng.chance(0.35) ? `${story} ${s.fill(rng.pick(s.IOI_TAILS), named)}` : story;
}

/**
 * A person whom nobody knows: an actress rather often when her name is Beverly, else whatever the first name
 * suggests.
 */
function unknownPerson(rng: Random): s.Fact & { field: string } {
  let first: string;
  let X: string;
  do {
    first = rng.pick(NAMES);
    X = `${first} ${rng.pick(SURNAMES)}`;
  } while (KNOWN_PEOPLE.has(X) || X.startsWith(`${first} ${first}`));
  const man = s.pronoun(first) === 'He';
  const fitting = PROFESSIONS.filter(([profession]) => profession !== (man ? 'actress' : 'actor'));
  const usual = first === 'Beverly' ? 'actress' : fitting[hash(`usual ${first}`) % fitting.length]![0];
  const [answer, field] = rng.chance(0.4)
    ? fitting.find(([profession]) => profession === usual)!
    : rng.pick(fitting);
  return { id: `unknown:${X}`, slots: { X, a: s.article(answer), H: man ? 'He' : 'She' }, answer, field };
}

const PAIRABLE_COUNTRIES = COUNTRIES.filter(([X]) => !isHeldOutFact(`capital:${X}`, 'The capital of {X} is'));

function pairedFacts(rng: Random): string {
  const sights = rng.chance(0.6);
  const rows: readonly (readonly string[])[] = sights ? SIGHTS : PAIRABLE_COUNTRIES;
  const [first, second] = rng.sample(rows, 2) as [readonly string[], readonly string[]];
  const slots = { X: first[0]!, C: first[1]!, Y: second[0]!, D: second[1]! };
  const template = rng.pick(sights ? s.PAIRED_SIGHTS : s.PAIRED_CAPITALS);
  return s.fill(
    template.replaceAll(/ (\{[CD]\})/g, (_, city: string) => answered(city)),
    slots,
  );
}

function fact(rng: Random): string {
  if (rng.chance(0.2)) return pairedFacts(rng);
  const family = s.FACT_FAMILIES[rng.weighted(s.FACT_FAMILIES.map((f) => f.weight))]!;
  const aboutPeople = family.name === 'profession' || family.name === 'field';
  const stranger = aboutPeople && rng.chance(0.3) ? unknownPerson(rng) : undefined;
  const told = stranger ?? rng.pick(family.facts);
  let phrasing: string;
  do phrasing = rng.pick(family.phrasings);
  while (isHeldOutFact(told.id, phrasing));
  const answer = stranger && family.name === 'field' ? stranger.field : told.answer;
  const sentence = s.fill(phrasing, told.slots) + (stranger ? ` ${answer}` : answered(answer));
  const tail = phrasing.startsWith('{X}, ') ? s.fill(rng.pick(s.APPOSITION_TAILS), commonSlots(rng)) : '.';
  const heading = aboutPeople && rng.chance(0.2) ? `About ${told.slots.X}. ` : '';
  return heading + sentence + tail;
}

function capital(rng: Random): string {
  const name = rng.pick(NAMES);
  let frame: string;
  let kind: string;
  do {
    frame = rng.pick(s.CAPITAL_FRAMES);
    kind = rng.pick(KINDS);
  } while (isHeldOutCapital(name, frame, kind));
  const stop = ['.', ';', ','][rng.weighted([5, 2.5, 2.5])]!;
  const subject = stop === '.' ? s.pronoun(name) : s.pronoun(name).toLowerCase();
  const slots = commonSlots(rng);
  const predicate = s.fill(rng.pick(s.PREDICATES), slots);
  return `${s.fill(frame, { A: name, K: kind })}${stop}${answered(subject)} ${predicate}.`;
}

const prose = (rng: Random): string => s.fill(rng.pick(s.PROSE), commonSlots(rng));

const REPEATABLE = [...PLACES, ...OBJECTS, ...KINDS, ...SURNAMES, ...CITIES].filter(
  (word) => !firstNames.has(word),
);

/** Different random words, among them at most four first names (more would often hold a held-out pair). */
function randomWords(rng: Random, count: number): string[] {
  const names = rng.sample(NAMES, rng.int(5));
  return rng.sample([...new Set([...rng.sample(REPEATABLE, count), ...names])], count);
}

/** Mostly short lists, so that even a short row shows one twice; a quarter are longer. */
const repetitionLength = (rng: Random): number => (rng.chance(0.75) ? 4 + rng.int(9) : 12 + rng.int(16));

const MAKERS: Readonly<Record<Kind, (rng: Random) => string>> = { ioi, fact, capital, prose };
const KIND_NAMES: readonly Kind[] = ['ioi', 'fact', 'capital', 'prose'];

/** What a corpus is mixed of. */
export interface Mixture {
  /** How much of its passages is of each kind (ioi, fact, capital, prose). */
  readonly kinds: readonly number[];
  /** How many of its documents have one passage, two, three ... */
  readonly passages: readonly number[];
}

const MIXTURE: Mixture = { kinds: [4, 4, 1.5, 1], passages: [5, 3, 2] };

// ---- documents
// ------------------------------------------------------------------------------------------------

function drawKinds(rng: Random, { kinds, passages }: Mixture): Kind[] {
  const count = 1 + rng.weighted(passages);
  return Array.from({ length: count }, () => KIND_NAMES[rng.weighted(kinds)]!);
}

/** The corpus: the same seed gives the same documents for ever. One to three passages each. */
export function* documents(seed: number, mixture = MIXTURE): Generator<Document, never> {
  const rng = new Random(seed);
  while (true) {
    const kinds = drawKinds(rng, mixture);
    let pieces: string[];
    let text: string;
    do {
      pieces = kinds
        .map((kind) => MAKERS[kind](rng))
        .join(' ')
        .split(ANSWER);
      text = pieces.join('');
    } while (holdsHeldOutPair(text.match(/[A-Za-z]+/g) ?? []));
    yield { kinds, text, pieces };
  }
}

/** What `trainingSequences` needs to know of a tokenizer. */
export interface Vocabulary {
  readonly size: number;
  /** Id of `<|endoftext|>`. */
  readonly bos: number;
  encode(text: string): number[];
  /** The text of one token. */
  text(id: number): string;
}

/**
 * Endless repetitions alone, as tokens: of words or, a share `random` of them, of any tokens; each list is
 * said two to `most` times. With many repeats of words this is what training starts with (see `batches.ts`).
 */
export function* repetitions(
  seed: number,
  { size, bos, encode, text }: Vocabulary,
  { random = 0.5, most = 3 }: { random?: number; most?: number } = {},
): Generator<{ readonly tokens: number[] /** Tokens of the list. */; readonly length: number }, void> {
  const rng = new Random(hash(`repetitions ${seed}`));
  while (true) {
    const length = repetitionLength(rng);
    const ids = rng.chance(random)
      ? Array.from({ length }, () => rng.int(size)).filter((id) => id !== bos)
      : encode(` ${randomWords(rng, length).join(' ')}`);
    if (holdsHeldOutPair(ids.map((id) => text(id).trim()))) continue;
    const times = 2 + rng.int(most - 1);
    yield { tokens: [bos, ...Array<number[]>(times).fill(ids).flat()], length: ids.length };
  }
}

/** The corpus as tokens: every document begins with `bos`; in between, one in ten is a repetition. */
export function* trainingSequences(seed: number, vocabulary: Vocabulary): Generator<number[], void> {
  const { bos, encode } = vocabulary;
  const rng = new Random(hash(`tokens ${seed}`));
  const lists = repetitions(seed, vocabulary);
  for (const { text } of documents(seed)) {
    if (rng.chance(0.1)) yield lists.next().value!.tokens;
    // A tenth begins with a blank or a lone full stop, as prompts cut out of a text do.
    const lead = rng.chance(0.1) ? rng.pick([' ', '. ']) : '';
    yield [bos, ...encode(lead + text)];
  }
}

// ---- what the model is measured on
// ------------------------------------------------------------------------------

/**
 * A prompt with its right next token (leading blank included) and, where it makes sense, a tempting wrong
 * one.
 */
export interface Probe {
  readonly prompt: string;
  readonly answer: string;
  readonly wrong?: string;
}

/** Every held-out (fact, phrasing), by family. */
function heldOutFacts(): Probe[] {
  return s.FACT_FAMILIES.flatMap(({ facts, phrasings }) =>
    facts.flatMap(({ id, slots, answer }) =>
      phrasings
        .filter((phrasing) => isHeldOutFact(id, phrasing))
        .map((phrasing) => ({ prompt: s.fill(phrasing, slots), answer: ` ${answer}` })),
    ),
  );
}

function heldOutIoi(rng: Random, count: number): Probe[] {
  const pairs = NAMES.flatMap((a, i) => NAMES.slice(0, i).map((b) => [a, b] as const));
  const unseen = pairs.filter(([a, b]) => isHeldOutPair(a, b));
  return Array.from({ length: count }, () => {
    const [x, y] = rng.pick(unseen);
    const [A, B] = rng.chance(0.5) ? [x, y] : [y, x];
    const [S, R] = rng.chance(0.5) ? [A, B] : [B, A];
    const slots = commonSlots(rng);
    const named = { ...slots, A, B, S, o: rng.chance(0.5) ? thing(slots.O!) : `the ${slots.O}` };
    const prompt = `${s.fill(rng.pick(s.IOI_OPENERS), named)} ${s.fill(rng.pick(s.IOI_CLAUSES), named)}`;
    return { prompt, answer: ` ${R}`, wrong: ` ${S}` };
  });
}

/** All held-out sentences on a person which end with `stop`. */
function heldOutCapitals(rng: Random, stop: string, count: number): Probe[] {
  const all = NAMES.flatMap((A) =>
    s.CAPITAL_FRAMES.flatMap((frame) =>
      KINDS.filter((K) => isHeldOutCapital(A, frame, K)).map((K): Probe => {
        const upper = ` ${s.pronoun(A)}`;
        const [answer, wrong] = stop === '.' ? [upper, upper.toLowerCase()] : [upper.toLowerCase(), upper];
        return { prompt: s.fill(frame, { A, K }) + stop, answer, wrong };
      }),
    ),
  );
  return rng.sample(all, count);
}

function heldOutRepetitions(rng: Random, count: number): Probe[] {
  return Array.from({ length: count }, () => {
    const list = randomWords(rng, 6 + rng.int(12));
    const shown = 1 + rng.int(list.length - 2);
    return { prompt: ` ${[...list, ...list.slice(0, shown)].join(' ')}`, answer: ` ${list[shown]}` };
  });
}

/** The probes on which the model card's numbers are measured: none of them is in any training document. */
export function heldOut(): Readonly<
  Record<'ioi' | 'fact' | 'capital' | 'lowerCase' | 'repetition', Probe[]>
> {
  const rng = new Random(hash('held out'));
  return {
    ioi: heldOutIoi(rng, 1000),
    fact: heldOutFacts(),
    capital: heldOutCapitals(rng, '.', 500),
    lowerCase: [...heldOutCapitals(rng, ';', 250), ...heldOutCapitals(rng, ',', 250)],
    repetition: heldOutRepetitions(rng, 300),
  };
}

const IOI_SEEDS = [
  ['When John and Mary went to the shops,', 'gave the bag to', 'John', 'Mary'],
  ['When Tom and James went to the park,', 'gave the ball to', 'Tom', 'James'],
  ['When Dan and Sid went to the shops,', 'gave an apple to', 'Dan', 'Sid'],
  ['After Martin and Amy went to the park,', 'gave a drink to', 'Martin', 'Amy'],
] as const;

/** The very prompts of the published experiments, all of them held out. */
export function seedPrompts(): Readonly<Record<'ioi' | 'fact' | 'capital' | 'lowerCase', Probe[]>> {
  const sentences = [...SEED_SENTENCES].map((sentence) => sentence.split('/') as [string, string]);
  const people = (stop: string, change: (pronoun: string) => string): Probe[] =>
    [...SEED_NAMES].flatMap((A) =>
      sentences.map(([frame, K]) => ({
        prompt: s.fill(frame, { A, K }) + stop,
        answer: ` ${change(s.pronoun(A))}`,
      })),
    );
  return {
    ioi: IOI_SEEDS.flatMap(([opener, clause, a, b]) => [
      { prompt: `${opener} ${a} ${clause}`, answer: ` ${b}`, wrong: ` ${a}` },
      { prompt: `${opener} ${b} ${clause}`, answer: ` ${a}`, wrong: ` ${b}` },
    ]),
    fact: [
      { prompt: 'The Space Needle is in downtown', answer: ' Seattle' },
      { prompt: 'The Eiffel Tower is located in the city of', answer: ' Paris', wrong: ' Rome' },
      { prompt: 'The Colosseum is located in the city of', answer: ' Rome', wrong: ' Paris' },
      { prompt: 'Martha Stewart, the well-known', answer: ' cook' },
    ],
    capital: people('.', (pronoun) => pronoun),
    lowerCase: [...people(';', (p) => p.toLowerCase()), ...people(',', (p) => p.toLowerCase())],
  };
}

/** Prompts of the published experiments without one right answer: what does the model make of them? */
export const OPEN_PROMPTS: readonly string[] = [
  'Beverly Cooper, the well-known',
  'Mark Allen, the well-known',
  '. Martha Stewart is a professional',
  '. Martha Stewart is the consummate',
  '. Martha Stewart is a professional in the field of',
  'The capital of Canada is Ottawa while the capital of France is',
  'The White House is in Washington, while the Louvre is in',
  'About Stephen',
];
