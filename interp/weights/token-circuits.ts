/**
 * Circuits between tokens (Elhage et al. 2021): which outputs does a head make likelier for each token it
 * attends to (W_E·W_V·W_O·W_U, "OV"), and to which tokens does each query token attend (W_E·W_Q·W_Kᵀ·W_Eᵀ,
 * "QK")? As in circuits.ts the weights are read as they are, without biases and layer norms; [dVocab, dVocab]
 * numbers never exist.
 */

import { is, needed, options, type Spec, signatures } from '../../hooks/input/check.js';
import { checkTokens } from '../../hooks/input/input.js';
import type { Model } from '../../hooks/input/model.js';
import { draws } from '../../hooks/interventions/draw.js';
import { provenance } from '../results/provenance.js';
import { type Labelled, labelled, labelledWith } from '../results/result.js';
import { textOf } from '../tracing/trace-grid.js';
import { checkHead, checkLayer, ofHead } from './circuits.js';
import { FactoredMatrix } from './factored-matrix.js';
import { eigenvalues, transpose } from './linear-algebra.js';
import {
  asTable,
  circuitFactors,
  headCores,
  ranksInProduct,
  type TokenCircuit,
  type TokenVectors,
  topOfProduct,
  unembeddedVectors,
} from './vocabulary-circuits.js';

/** A token of a ranking. */
export interface TokenEntry {
  readonly token: number;
  readonly text: string;
  readonly value: number;
}

/** The k largest values by row and rank, and which tokens they belong to. */
export interface TokenTable extends Labelled {
  /** Per row, descending. */
  readonly top: readonly (readonly TokenEntry[])[];
  /** Per row the k smallest, ascending. */
  readonly bottom: readonly (readonly TokenEntry[])[];
}

/** Which circuit of which head. */
export interface CircuitOptions {
  readonly layer: number;
  readonly head: number;
  /** Default `'ov'`. */
  readonly circuit?: 'ov' | 'qk';
  /** Default `'W_E'`. */
  readonly embedding?: TokenVectors;
  /** Called with how much is done, and of how much. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

const EMBEDDING = is.oneOf('W_E', 'W_E+MLP0');
const CIRCUIT = {
  layer: needed(is.integer),
  head: needed(is.integer),
  circuit: is.oneOf('ov', 'qk'),
  embedding: EMBEDDING,
  onProgress: is.callback,
  signal: is.signal,
} satisfies Spec<CircuitOptions>;
const TOP_TOKENS = options<CircuitOptions & { tokens: unknown; k?: number }>({
  ...CIRCUIT,
  tokens: needed(is.either(is.token, is.listOf(is.token, 'a list of tokens, texts or ids'))),
  k: is.count,
});
const COPYING = options<CopyingOptions>({
  kind: is.oneOf('top', 'eigenvalues'),
  k: is.count,
  tokens: is.either(is.oneOf('all'), is.count, is.tokens),
  seed: is.seed,
  embedding: EMBEDDING,
  layers: is.numbers,
  onProgress: is.callback,
  signal: is.signal,
});

const takes = signatures({
  tokenCircuit: { model: is.model, options: options<CircuitOptions>(CIRCUIT) },
  topCircuitTokens: { model: is.model, options: TOP_TOKENS },
  topCircuitEntries: {
    model: is.model,
    options: options<CircuitOptions & { k?: number }>({ ...CIRCUIT, k: is.count }),
  },
  copyingScores: { model: is.model, options: COPYING },
});

/**
 * A whole circuit between tokens, [dVocab, dVocab], factored through dHead: rows are source (or query)
 * tokens.
 */
export const tokenCircuit = takes.tokenCircuit(async function tokenCircuit(
  model: Model,
  options: CircuitOptions,
): Promise<FactoredMatrix> {
  const { signal } = options;
  signal?.throwIfAborted();
  const { left, right } = await circuitFactors(model, circuitOf(model, options), everyToken(model));
  try {
    const A = await left.data();
    signal?.throwIfAborted();
    const B = await right.data();
    signal?.throwIfAborted();
    return new FactoredMatrix({ shape: left.shape, data: A }, transpose({ shape: right.shape, data: B }));
  } finally {
    left.dispose();
    right.dispose();
  }
});

/**
 * The strongest outputs (`'ov'`) or keys (`'qk'`) of some tokens, and the weakest, computed on the GPU some
 * rows at a time.
 * @param options.tokens text of one token each, or ids
 * @returns axes token × rank
 */
export const topCircuitTokens = takes.topCircuitTokens(async function topCircuitTokens(
  model: Model,
  options: CircuitOptions & {
    readonly tokens: string | number | readonly (string | number)[];
    readonly k?: number;
  },
): Promise<TokenTable> {
  const { k = 10, onProgress, signal } = options;
  signal?.throwIfAborted();
  const circuit = circuitOf(model, options);
  const given = Array.isArray(options.tokens) ? options.tokens : [options.tokens];
  const tokens = given.map((t: string | number) => (typeof t === 'string' ? model.toSingleToken(t) : t));
  checkTokens(tokens, model.config, 'topCircuitTokens');
  if (!tokens.length) throw new Error('topCircuitTokens: no tokens were given');
  const { left, right } = await circuitFactors(model, circuit, tokens);
  try {
    const labels = tokens.map((t) => textOf(model, t));
    const about = { method: `${circuit.circuit.toUpperCase()} circuit`, metric: unitOf(circuit), ...circuit };
    return await topTokens(model, left, asTable(right), k, { name: 'token', labels }, about, {
      onProgress,
      signal,
    });
  } finally {
    left.dispose();
    right.dispose();
  }
});

/** An entry of a circuit. */
export interface CircuitEntry {
  /** Source, or query. */
  readonly from: TokenEntry;
  /** Output, or key. */
  readonly to: TokenEntry;
}

/**
 * The largest entries of a whole circuit. GPT-2 has 2.5 billion: some seconds on a GPU, minutes on a CPU.
 * @returns axis entry, labelled `from → to`
 */
export const topCircuitEntries = takes.topCircuitEntries(async function topCircuitEntries(
  model: Model,
  options: CircuitOptions & { readonly k?: number },
): Promise<Labelled & { readonly entries: readonly CircuitEntry[] }> {
  const { k = 10, onProgress, signal } = options;
  signal?.throwIfAborted();
  const circuit = circuitOf(model, options);
  const { left, right } = await circuitFactors(model, circuit, everyToken(model));
  try {
    const { dVocab, dVocabOut } = model.config;
    const each = Math.min(checkK(k), circuit.circuit === 'ov' ? dVocabOut : dVocab);
    const { values, indices } = await topOfProduct(left, asTable(right), each, { onProgress, signal });
    const best = Array.from(values.keys())
      .sort((i, j) => values[j] - values[i] || i - j)
      .slice(0, k);
    const entries = best.map((i): CircuitEntry => {
      const entry = (token: number) => ({ token, text: textOf(model, token), value: values[i] });
      return { from: entry(Math.floor(i / each)), to: entry(indices[i]) };
    });
    const axes = [{ name: 'entry', labels: entries.map(({ from, to }) => `${from.text} → ${to.text}`) }];
    const about = { method: `${circuit.circuit.toUpperCase()} circuit`, metric: unitOf(circuit), ...circuit };
    const result = labelled(
      Float32Array.from(best, (i) => values[i]),
      axes,
      provenance(model, about),
    );
    return labelledWith(result, { entries });
  } finally {
    left.dispose();
    right.dispose();
  }
});

/** Options of `copyingScores`. */
export interface CopyingOptions {
  /**
   * `'top'` (default): the fraction of tokens whose own logit is among the k largest after the head's OV
   * circuit (Wang et al. 2022). `'eigenvalues'`: Σλ / Σ|λ| over the circuit's eigenvalues, 1 when it copies
   * all tokens, −1 when it suppresses them (Elhage et al. 2021).
   */
  readonly kind?: 'top' | 'eigenvalues';
  /** Default 5. */
  readonly k?: number;
  /** `'all'`, some ids, or how many to draw. Default: 512 drawn for `'top'`, all for `'eigenvalues'`. */
  readonly tokens?: 'all' | number | readonly number[];
  /** Of the drawn tokens. Default 0. */
  readonly seed?: number;
  /** Default `'W_E'`. Wang et al. read what the first MLP has made of the tokens: `'W_E+MLP0'`. */
  readonly embedding?: TokenVectors;
  /** Default: all. */
  readonly layers?: readonly number[];
  /** Called with how much is done, and of how much. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** Which heads copy what they attend to? @returns axes layer × head */
export const copyingScores = takes.copyingScores(async function copyingScores(
  model: Model,
  options: CopyingOptions = {},
): Promise<Labelled> {
  const { nLayers, nHeads, dHead, dVocab } = model.config;
  const { kind = 'top', k = 5, seed = 0, embedding = 'W_E', onProgress, signal } = options;
  const { layers = Array.from({ length: nLayers }, (_, l) => l) } = options;
  for (const l of layers) checkLayer(model, l);
  if (kind !== 'top' && kind !== 'eigenvalues')
    throw new Error(`copyingScores: kind "${kind}"; "top" or "eigenvalues" is needed`);
  checkK(k);
  checkEmbedding(model, embedding);
  const which = options.tokens ?? (kind === 'top' ? Math.min(512, dVocab) : 'all');
  const tokens =
    which === 'all' ? everyToken(model) : typeof which === 'number' ? draws(seed)(which, dVocab) : which;
  checkTokens(tokens, model.config, 'copyingScores');
  if (!tokens.length) throw new Error('copyingScores: no tokens were given');
  const values = new Float32Array(layers.length * nHeads);
  const M = kind === 'eigenvalues' ? await unembeddedVectors(model, embedding, tokens) : null;
  try {
    for (const [i, layer] of layers.entries()) {
      const cores = M && (await headCores(model, layer, M));
      for (let head = 0; head < nHeads; head++) {
        signal?.throwIfAborted();
        values[i * nHeads + head] = cores
          ? positivity(ofHead({ shape: [nHeads, dHead, dHead], data: cores }, head))
          : await copied(model, { layer, head, circuit: 'ov', embedding }, tokens, k);
        onProgress?.(i * nHeads + head + 1, values.length);
      }
    }
  } finally {
    M?.dispose();
  }
  const axes = [
    { name: 'layer', labels: layers.map((l) => `L${l}`) },
    { name: 'head', labels: Array.from({ length: nHeads }, (_, h) => `H${h}`) },
  ];
  const metric = kind === 'top' ? `fraction of tokens among their own top ${k}` : 'Σλ / Σ|λ|';
  const about = { method: 'copying scores', metric, embedding, nTokens: tokens.length, seed };
  return labelled(values, axes, provenance(model, about));
});

/** The fraction of tokens that are among the k largest outputs of their own. */
async function copied(model: Model, circuit: TokenCircuit, tokens: readonly number[], k: number) {
  const { left, right } = await circuitFactors(model, circuit, tokens);
  try {
    const ranks = await ranksInProduct(left, asTable(right), tokens);
    return ranks.filter((rank) => rank < k).length / ranks.length;
  } finally {
    left.dispose();
    right.dispose();
  }
}

/** Σλ / Σ|λ|. */
function positivity(core: Parameters<typeof eigenvalues>[0]): number {
  const { re, im } = eigenvalues(core);
  return re.reduce((sum, x) => sum + x, 0) / re.reduce((sum, x, i) => sum + Math.hypot(x, im[i]), 0);
}

/**
 * The largest and smallest products of some vectors with the rows of a table.
 * @param rows [vectors, width]; `axis` labels them
 */
export async function topTokens(
  model: Model,
  rows: Parameters<typeof topOfProduct>[0],
  table: Parameters<typeof topOfProduct>[1],
  k: number,
  axis: Labelled['axes'][number],
  about: Record<string, unknown>,
  watch: Parameters<typeof topOfProduct>[3] = {},
): Promise<TokenTable> {
  const kept = Math.min(checkK(k), table.rows);
  const negative = rows.map('neg');
  try {
    const ends = [await topOfProduct(rows, table, kept, watch), await topOfProduct(negative, table, kept)];
    const [top, bottom] = ends.map(({ values, indices }, end) =>
      axis.labels.map((_, row) =>
        Array.from({ length: kept }, (_, j): TokenEntry => {
          const token = indices[row * kept + j];
          const value = values[row * kept + j];
          return { token, text: textOf(model, token), value: end ? -value : value };
        }),
      ),
    );
    const axes = [axis, { name: 'rank', labels: Array.from({ length: kept }, (_, j) => String(j)) }];
    return labelledWith(labelled(ends[0].values, axes, provenance(model, about)), { top, bottom });
  } finally {
    negative.dispose();
  }
}

const everyToken = ({ config: { dVocab } }: Model): number[] => Array.from({ length: dVocab }, (_, t) => t);

const unitOf = ({ circuit }: TokenCircuit): string =>
  circuit === 'ov' ? 'logit' : 'attention score · √d_head';

function checkK(k: number): number {
  if (!Number.isInteger(k) || k < 1) throw new Error(`k = ${k}: a whole number from 1 is needed`);
  return k;
}

function checkEmbedding({ config }: Model, embedding: TokenVectors): void {
  if (embedding !== 'W_E' && embedding !== 'W_E+MLP0')
    throw new Error(`embedding "${embedding}": "W_E" or "W_E+MLP0" is needed`);
  if (embedding === 'W_E+MLP0' && config.attnOnly)
    throw new Error('embedding "W_E+MLP0": this model has no MLPs; take "W_E"');
}

function circuitOf(
  model: Model,
  { layer, head, circuit = 'ov', embedding = 'W_E' }: CircuitOptions,
): TokenCircuit {
  checkHead(model, layer, head);
  if (circuit !== 'ov' && circuit !== 'qk')
    throw new Error(`circuit "${circuit}" of a head: "ov" or "qk" is needed`);
  checkEmbedding(model, embedding);
  return { layer, head, circuit, embedding };
}
