/**
 * What the tiny model is trained on, step by step: rows of any lengths, each a document or a list said again
 * and again, so that nothing is padded and every document is seen from its beginning.
 *
 * The first steps are repetitions and nothing else: looking back and copying, which indirect objects need
 * too, is learnt soon where nothing else lowers the loss, and late in the full mixture. Most words of the
 * corpus are drawn by lot: their gradients are mostly noise. So only some of them are predicted, and count
 * less than the words which what stands before them determines; only at the end they all count the same.
 */

import { documents, type Mixture, repetitions, type Vocabulary } from './corpus.js';
import { firstNames } from './held-out.js';
import { hash, Random } from './random.js';

/** A part of a training run. */
export interface Phase {
  readonly steps: number;
  /** This share of the rows is repetitions. */
  readonly repetitionShare: number;
  /** The longest row. */
  readonly longest: number;
  /** Which share of the words drawn by lot is predicted, and how much such a prediction counts. */
  readonly byLot: { readonly share: number; readonly weight: number };
  /** What the other rows are drawn from. */
  readonly corpus: Corpus;
}

/** Documents, and how they become rows. */
export interface Corpus {
  readonly seed: number;
  readonly mixture: Mixture;
  /** This share of the rows begins anywhere, without its `<|endoftext|>`, as prompts cut out of a text do. */
  readonly cutShare: number;
  /** This share is filled with one document after another: late positions are to be learnt too. */
  readonly joinedShare: number;
  /**
   * Of the documents that do not begin with a first name, this share is kept (all by default). Names have no
   * leading blank there, so they are other tokens than elsewhere, and rare ones.
   */
  readonly otherBeginnings?: number;
  /**
   * Whether an `<|endoftext|>` stands behind every document, and is predicted, so that generation ends.
   * Default false.
   */
  readonly ended?: boolean;
}

/** How a training run is laid out. */
export interface Recipe {
  /** Of the repetitions, and of what is drawn. */
  readonly seed: number;
  /** Tokens of a step. */
  readonly tokens: number;
  readonly phases: readonly Phase[];
}

/** Steps of the whole run. */
export const stepsOf = ({ phases }: Recipe): number => phases.reduce((sum, { steps }) => sum + steps, 0);

/** A row of a batch: tokens, and how much the prediction of each but the first counts (0: it is not made). */
export interface TrainingRow {
  readonly tokens: number[];
  readonly weights: number[];
}

/** The batch of every step; the same recipe gives the same batches. */
export function* trainingBatches(
  vocabulary: Vocabulary,
  { seed, tokens: size, phases }: Recipe,
): Generator<TrainingRow[], void> {
  const rng = new Random(hash(`batches ${seed}`));
  const lists = repetitionRows(seed, vocabulary);
  const corpora = new Map<Corpus, Generator<Marked, void>>();
  for (const phase of phases) {
    const corpus = corpora.get(phase.corpus) ?? corpusRows(vocabulary, phase.corpus, phase.longest);
    if (phase.repetitionShare < 1) corpora.set(phase.corpus, corpus);
    for (let step = 0; step < phase.steps; step++) {
      const rows: TrainingRow[] = [];
      for (let left = size; left > 1; ) {
        const repeated = phase.repetitionShare === 1 || rng.chance(phase.repetitionShare);
        const { tokens, determined } = (repeated ? lists : corpus).next().value!;
        const length = Math.min(tokens.length, phase.longest, left);
        const weights = determined.slice(1, length).map((sure) => weigh(sure, phase, rng));
        rows.push({ tokens: tokens.slice(0, length), weights });
        left -= length;
      }
      yield rows;
    }
  }
}

function weigh(determined: boolean, { byLot }: Phase, rng: Random): number {
  return determined ? 1 : rng.chance(byLot.share) ? byLot.weight : 0;
}

/** Tokens, and which of them those before determine. */
interface Marked {
  readonly tokens: number[];
  readonly determined: boolean[];
}

const beginsWithName = (text: string): boolean => firstNames.has(/^[A-Za-z]+/.exec(text)?.[0] ?? '');

function* corpusRows(
  { bos, encode }: Vocabulary,
  { seed, mixture, cutShare, joinedShare, otherBeginnings = 1, ended = false }: Corpus,
  longest: number,
): Generator<Marked, void> {
  const rng = new Random(hash(`rows ${seed}`));
  let row: Marked = { tokens: [], determined: [] };
  let full = 0;
  for (const { text, pieces } of documents(seed, mixture)) {
    if (otherBeginnings < 1 && !beginsWithName(text) && !rng.chance(otherBeginnings)) continue;
    if (!row.tokens.length) full = rng.chance(joinedShare) ? longest : 1;
    if (!ended || !row.tokens.length) mark(bos, false);
    const lead = rng.chance(0.1) ? rng.pick([' ', '. ']) : '';
    for (const [i, piece] of pieces.entries())
      for (const id of encode(i === 0 ? lead + piece : piece)) mark(id, i % 2 === 1);
    if (ended) mark(bos, true);
    if (row.tokens.length < full) continue;
    const from = rng.chance(cutShare) ? 1 + rng.int(row.tokens.length - 2) : 0;
    yield { tokens: row.tokens.slice(from), determined: row.determined.slice(from) };
    row = { tokens: [], determined: [] };
  }
  function mark(token: number, determined: boolean): void {
    row.tokens.push(token);
    row.determined.push(determined);
  }
}

/** Of a list said again and again, all is determined but the first time, and where the second begins. */
function* repetitionRows(seed: number, vocabulary: Vocabulary): Generator<Marked, void> {
  for (const { tokens, length } of repetitions(seed, vocabulary, { random: 0.5, most: 12 }))
    yield { tokens, determined: tokens.map((_, i) => i > length + 1) };
}
