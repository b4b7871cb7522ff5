/**
 * What the tiny model is trained on, step by step: rows of any lengths, each a document or a list said again and again,
 * so that nothing is padded and every document is seen from its beginning.
 *
 * The first steps are repetitions and nothing else: looking back and copying, which indirect objects need too, is learnt
 * soon where nothing else lowers the loss, and late in the full mixture. Most words of the corpus are drawn by lot: their
 * gradients are mostly noise. So only some of them are predicted, and count less than the words which what stands before
 * them determines.
 */

import { documents, type Mixture, repetitions, type Vocabulary } from './corpus.js';
import { hash, Random } from './random.js';

/** How a training run is laid out. */
export interface Recipe {
  /** All steps, those of repetitions included. */
  readonly steps: number;
  /** Tokens of a step. */
  readonly tokens: number;
  /** Steps at the beginning that are repetitions only. */
  readonly repetitionSteps: number;
  /** Afterwards, this share of the rows. */
  readonly repetitionShare: number;
  /** The longest row, and the longest of the repetitions at the beginning. */
  readonly longest: number;
  readonly longestRepetition: number;
  /** This share of the other rows is filled with one document after another: late positions are to be learnt too. */
  readonly joinedShare: number;
  /** This share of the documents begins anywhere, without its `<|endoftext|>`, as prompts cut out of a text do. */
  readonly cutShare: number;
  /** Which share of the words drawn by lot is predicted, and how much such a prediction counts. */
  readonly byLot: { readonly share: number; readonly weight: number };
  readonly mixture: Mixture;
}

/** A row of a batch: tokens, and how much the prediction of each but the first counts (0: it is not made). */
export interface TrainingRow {
  readonly tokens: number[];
  readonly weights: number[];
}

/** The batch of every step; the same seed gives the same batches. */
export function* trainingBatches(
  seed: number,
  vocabulary: Vocabulary,
  recipe: Recipe,
): Generator<TrainingRow[], void> {
  const rng = new Random(hash(`batches ${seed}`));
  const corpus = corpusRows(seed, vocabulary, recipe);
  const lists = repetitionRows(seed, vocabulary);
  for (let step = 0; step < recipe.steps; step++) {
    const early = step < recipe.repetitionSteps;
    const rows: TrainingRow[] = [];
    for (let left = recipe.tokens; left > 1; ) {
      const repeated = early || rng.chance(recipe.repetitionShare);
      const { tokens, determined } = (repeated ? lists : corpus).next().value!;
      const longest = early ? recipe.longestRepetition : recipe.longest;
      const length = Math.min(tokens.length, longest, left);
      const weights = determined.slice(1, length).map((sure) => weigh(sure, recipe, rng));
      rows.push({ tokens: tokens.slice(0, length), weights });
      left -= length;
    }
    yield rows;
  }
}

function weigh(determined: boolean, { byLot }: Recipe, rng: Random): number {
  return determined ? 1 : rng.chance(byLot.share) ? byLot.weight : 0;
}

/** Tokens, and which of them those before determine. */
interface Marked {
  readonly tokens: number[];
  readonly determined: boolean[];
}

function* corpusRows(
  seed: number,
  { bos, encode }: Vocabulary,
  { mixture, cutShare, joinedShare, longest }: Recipe,
): Generator<Marked, void> {
  const rng = new Random(hash(`rows ${seed}`));
  let row: Marked = { tokens: [], determined: [] };
  let full = 0;
  for (const { pieces } of documents(seed, mixture)) {
    if (!row.tokens.length) full = rng.chance(joinedShare) ? longest : 1;
    row.tokens.push(bos);
    row.determined.push(false);
    const lead = rng.chance(0.1) ? rng.pick([' ', '. ']) : '';
    for (const [i, piece] of pieces.entries())
      for (const id of encode(i === 0 ? lead + piece : piece)) {
        row.tokens.push(id);
        row.determined.push(i % 2 === 1);
      }
    if (row.tokens.length < full) continue;
    const from = rng.chance(cutShare) ? 1 + rng.int(row.tokens.length - 2) : 0;
    yield { tokens: row.tokens.slice(from), determined: row.determined.slice(from) };
    row = { tokens: [], determined: [] };
  }
}

/** Of a list said again and again, all is determined but the first time, and where the second begins. */
function* repetitionRows(seed: number, vocabulary: Vocabulary): Generator<Marked, void> {
  for (const { tokens, length } of repetitions(seed, vocabulary, { random: 0.5, most: 12 }))
    yield { tokens, determined: tokens.map((_, i) => i > length + 1) };
}
