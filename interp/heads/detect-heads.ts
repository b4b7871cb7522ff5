/**
 * TransformerLens' head_detector: how well does each head's attention on a text match a pattern? The pattern is that of a kind of
 * head, or any matrix [query, key] of yours.
 */

import type { Tensor } from '../../engine/tensor/tensor.js';
import type { TextInput } from '../../engine/tokens/text.js';
import { is, options, signatures } from '../../hooks/input/check.js';
import { readInput } from '../../hooks/input/input.js';
import type { Model } from '../../hooks/input/model.js';
import { provenance } from '../results/provenance.js';
import { type Labelled, labelled } from '../results/result.js';
import { checkHead } from '../weights/circuits.js';
import type { HostMatrix } from '../weights/linear-algebra.js';
import { type HeadKind, targetsOf } from './attention-targets.js';
import { headAxes } from './heads.js';
import { type Look, lookAtPatterns } from './patterns.js';

const KINDS: Readonly<Record<string, HeadKind>> = {
  previous_token_head: 'previous',
  duplicate_token_head: 'duplicate',
  induction_head: 'induction',
};

/** What a head is compared with: TransformerLens' names, or a matrix [query, key] with nothing above the diagonal. */
export type DetectionPattern =
  | 'previous_token_head'
  | 'duplicate_token_head'
  | 'induction_head'
  | readonly (readonly number[])[]
  | HostMatrix;

/** Options of `detectHeads`. */
export interface DetectOptions {
  /** [layer, head] pairs, or heads by layer: the others score −1. Default: all. */
  readonly heads?:
    | readonly (readonly [layer: number, head: number])[]
    | Readonly<Record<number, readonly number[]>>;
  /**
   * `'mul'` (default): Σ attention · pattern / Σ attention: of a pattern of zeros and ones, the fraction of attention that goes there.
   * `'abs'`: 1 − Σ |attention − pattern| / length, rounded to three decimals as in TransformerLens; 1 is a perfect match.
   */
  readonly errorMeasure?: 'mul' | 'abs';
  /** Leave out attention to the first token. Default false. */
  readonly excludeBos?: boolean;
  /** Leave out attention of each token to itself. Default false. */
  readonly excludeCurrentToken?: boolean;
  readonly prependBos?: boolean;
  /** Bytes of a layer's pattern that exist on the GPU at once: longer texts are run in blocks of queries. Default 64 MiB. */
  readonly blockBytes?: number;
  readonly signal?: AbortSignal;
}

const PATTERN = {
  ...is.either(is.text, is.nested, is.plainObject),
  what: "'previous_token_head', 'duplicate_token_head', 'induction_head' or a matrix",
};
const DETECT = options<DetectOptions>({
  heads: is.either(is.listOf(is.range, 'pairs [layer, head]'), is.plainObject),
  errorMeasure: is.oneOf('mul', 'abs'),
  excludeBos: is.boolean,
  excludeCurrentToken: is.boolean,
  prependBos: is.boolean,
  blockBytes: is.positive,
  signal: is.signal,
});

const takes = signatures({
  detectHeads: { model: is.model, input: is.prompts, pattern: PATTERN, options: DETECT },
});

/**
 * Scores of each head; of several texts their mean (with these options, where TransformerLens forgets them). With `'mul'`, a head
 * whose attention is all left out scores NaN, as there.
 * @returns axes layer × head; `meta.note` says when a pattern is not of zeros and ones though `'mul'` expects it.
 * @throws when a text has a single token, or a matrix does not fit it.
 */
export const detectHeads = takes.detectHeads(async function detectHeads(
  model: Model,
  input: TextInput,
  pattern: DetectionPattern,
  options: DetectOptions = {},
): Promise<Labelled> {
  const { heads, errorMeasure = 'mul', excludeBos = false, excludeCurrentToken = false } = options;
  const { blockBytes, signal } = options;
  if (errorMeasure !== 'mul' && errorMeasure !== 'abs')
    throw new Error(`detectHeads: errorMeasure "${errorMeasure}"; "mul" or "abs" is needed`);
  const { nHeads } = model.config;
  const axes = headAxes(model);
  const chosen = chosenHeads(model, heads);
  const layers = [...new Set(chosen.map(([layer]) => layer))];
  const rows = readInput(model, input, { prependBos: options.prependBos }).tokens;
  const sums = new Float64Array(model.config.nLayers * nHeads);
  let plain = true;
  for (const [i, row] of rows.entries()) {
    signal?.throwIfAborted();
    const detected = detectionPattern(pattern, row, rows.length > 1 ? `text ${i}` : 'the text');
    plain &&= detected.data.every((x) => x === 0 || x === 1);
    const scores = await rowScores(model, row, detected, layers, {
      errorMeasure,
      excludeBos,
      excludeCurrentToken,
      blockBytes,
    });
    scores.forEach((x, at) => {
      sums[at] += x / rows.length;
    });
  }
  const values = new Float32Array(sums.length).fill(-1);
  for (const [layer, head] of chosen) values[layer * nHeads + head] = sums[layer * nHeads + head];
  const meta = provenance(model, {
    method: 'head detection',
    metric: `match with ${typeof pattern === 'string' ? pattern : 'a pattern'} (${errorMeasure})`,
    pattern: typeof pattern === 'string' ? pattern : 'custom',
    errorMeasure,
    excludeBos,
    excludeCurrentToken,
    tokens: rows.length === 1 ? rows[0] : rows,
    ...(!plain && errorMeasure === 'mul' && { note: 'the pattern has values other than 0 and 1' }),
  });
  return labelled(values, axes, meta);
});

/** Scores of one text, [layer · head]; 0 in layers that were not asked for. */
async function rowScores(
  model: Model,
  row: readonly number[],
  { data }: HostMatrix,
  layers: readonly number[],
  {
    errorMeasure,
    excludeBos,
    excludeCurrentToken,
    blockBytes,
  }: Required<Pick<DetectOptions, 'errorMeasure' | 'excludeBos' | 'excludeCurrentToken'>> &
    Pick<DetectOptions, 'blockBytes'>,
): Promise<Float64Array> {
  const { nLayers, nHeads } = model.config;
  const n = row.length;
  const kept = Float32Array.from({ length: n * n }, (_, i) =>
    Number(!(excludeBos && i % n === 0) && !(excludeCurrentToken && i % n === Math.floor(i / n))),
  );
  const keep = model.tensor(kept, [n, n]);
  const target = model.tensor(data.map((x, i) => x * kept[i]) as Float32Array, [n, n]);
  const total = (t: Tensor) => t.sum(3).sum(2);
  const look: Look = (attention, from, until) => {
    const [kept, wanted] = [keep, target].map((t) =>
      t.slice([
        [from, until],
        [0, until],
      ]),
    );
    const seen = attention.mul(kept);
    const sums =
      errorMeasure === 'abs' ? [total(seen.sub(wanted).map('abs'))] : [total(seen.mul(wanted)), total(seen)];
    kept.dispose();
    wanted.dispose();
    return sums;
  };
  try {
    const found = await lookAtPatterns(model, [row], look, { layers, blockBytes });
    const scores = new Float64Array(nLayers * nHeads);
    for (const l of layers)
      for (let h = 0; h < nHeads; h++) {
        const [first, second] = found[l].map((of) => of[h]);
        scores[l * nHeads + h] = errorMeasure === 'abs' ? 1 - Number((first / n).toFixed(3)) : first / second;
      }
    return scores;
  } finally {
    keep.dispose();
    target.dispose();
  }
}

/** What to look for in a text. @throws unless it fits. */
function detectionPattern(pattern: DetectionPattern, tokens: readonly number[], what: string): HostMatrix {
  const n = tokens.length;
  if (n < 2) throw new Error(`detectHeads: ${what} is a single token, which can only attend to itself`);
  if (typeof pattern === 'string') {
    const kind = KINDS[pattern];
    if (kind) return targetsOf(kind, tokens);
    throw new Error(
      `detectHeads: pattern "${pattern}"; ${Object.keys(KINDS).join(', ')} or a matrix is needed`,
    );
  }
  const matrix =
    'data' in pattern
      ? pattern
      : { shape: [pattern.length, pattern[0]?.length ?? 0], data: Float32Array.from(pattern.flat()) };
  const { shape, data } = matrix;
  if (shape.length !== 2 || shape[0] !== n || shape[1] !== n || data.length !== n * n)
    throw new Error(`detectHeads: the pattern is ${shape.join(' × ')}, but ${what} has ${n} tokens`);
  if (data.some((x, i) => x !== 0 && i % n > Math.floor(i / n)))
    throw new Error('detectHeads: the pattern has values above the diagonal, where no token can attend');
  return matrix;
}

function chosenHeads(model: Model, heads: DetectOptions['heads']): (readonly [number, number])[] {
  const { nLayers, nHeads } = model.config;
  const pairs = Array.isArray(heads)
    ? (heads as readonly (readonly [number, number])[])
    : heads
      ? Object.entries(heads).flatMap(([l, list]) => (list as number[]).map((h) => [Number(l), h] as const))
      : Array.from({ length: nLayers * nHeads }, (_, i) => [Math.floor(i / nHeads), i % nHeads] as const);
  for (const [layer, head] of pairs) checkHead(model, layer, head);
  return [...pairs];
}
