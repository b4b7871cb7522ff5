/**
 * What heads and MLPs compute, read from the weights alone (Elhage et al. 2021, "A Mathematical Framework for
 * Transformer Circuits"). A head's weights only ever occur in two products: W_Q·W_Kᵀ says where it attends,
 * W_V·W_O what it moves. Both are [d_model, d_model] of rank d_head and stay factored.
 *
 * All circuits read the weights as they are in the model. Layer norms stand between what writes and what
 * reads: load the model with `foldLn` (the default), or their gains are missing. Biases are no part of
 * circuits.
 */

import type { Tensor } from '../../engine/tensor/tensor.js';
import { is, needed, options, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import { normals } from '../../hooks/interventions/draw.js';
import { shownJson } from '../../weights/checks/messages.js';
import type { HostTensor } from '../../weights/formats/types.js';
import { provenance } from '../results/provenance.js';
import { type Labelled, labelled } from '../results/result.js';
import { blockNorms } from './block-norms.js';
import { FactoredMatrix } from './factored-matrix.js';
import { type HostMatrix, lengthOf, type Matrix64, transpose } from './linear-algebra.js';
import { keyHeadOf, ofHead, queryKey } from './query-key.js';

export { ofHead } from './query-key.js';

const HEAD = { layer: needed(is.integer), head: is.integer };
const WRITER = is.either(is.oneOf('embed', 'pos_embed'), options<{ layer: number; head?: number }>(HEAD));
const READER = is.either(
  is.oneOf('unembed'),
  options<{ layer: number; head?: number; input?: string }>({ ...HEAD, input: is.oneOf('q', 'k', 'v') }),
);
const BIAS = options<AccumulatedBiasOptions>({ mlpInput: is.boolean, includeMlpBiases: is.boolean });
const COMPOSITION = options<CompositionOptions>({
  baseline: is.either(
    is.boolean,
    options<{ samples?: number; seed?: number }>({ samples: is.count, seed: is.seed }),
  ),
  onProgress: is.callback,
  signal: is.signal,
});

const takes = signatures({
  ovCircuit: { model: is.model, layer: is.integer, head: is.integer },
  qkCircuit: {
    model: is.model,
    layer: is.integer,
    head: is.integer,
    options: options<QkOptions>({ distance: is.whole }),
  },
  virtualWeights: { model: is.model, from: WRITER, to: READER },
  accumulatedBias: { model: is.model, layer: is.integer, options: BIAS },
  compositionScores: { model: is.model, mode: is.oneOf('Q', 'K', 'V'), options: COMPOSITION },
});

/**
 * W_V · W_O: what the head adds to the stream where it attends, [dModel, dModel]. b_V·W_O and b_O come on top
 * of it, and a norm behind attention, where there is one.
 */
export const ovCircuit = takes.ovCircuit(function ovCircuit(
  model: Model,
  layer: number,
  head: number,
): FactoredMatrix {
  checkHead(model, layer, head);
  const { W_V, W_O } = model.weights;
  return new FactoredMatrix(ofHead(W_V[layer], keyHeadOf(model, head)), ofHead(W_O[layer], head));
});

/** Options of `qkCircuit`. */
export interface QkOptions {
  /** In models with rotary positions: how many positions the query is behind its key. Default 0. */
  readonly distance?: number;
}

/**
 * W_Q · W_Kᵀ: query · circuit · keyᵀ is the attention score before it is scaled (divided by √dHead) and
 * capped, [dModel, dModel]. The terms of b_Q and b_K come on top of it. With rotary positions it is the
 * circuit at a distance; with norms on queries and keys scores are it over the scales of both.
 */
export const qkCircuit = takes.qkCircuit(function qkCircuit(
  model: Model,
  layer: number,
  head: number,
  { distance = 0 }: QkOptions = {},
): FactoredMatrix {
  checkHead(model, layer, head);
  const { Q, K } = queryKey(model, layer, head, distance);
  return new FactoredMatrix(Q, transpose(K));
});

// ---- virtual weights
// -----------------------------------------------------------------------------------------------

/** What writes to the residual stream: tokens, positions, a head (through its z), the neurons of an MLP. */
export type Writer = 'embed' | 'pos_embed' | { readonly layer: number; readonly head?: number };

/** What reads it: the unembedding, a head's queries, keys or values, the neurons of an MLP. */
export type Reader =
  | 'unembed'
  | { readonly layer: number; readonly head?: undefined }
  | { readonly layer: number; readonly head: number; readonly input: 'q' | 'k' | 'v' };

/**
 * The weights that connect two parts of a model across the layers between them: (what one writes) · (what the
 * other reads), as [neurons of layer 3, neurons of layer 7], factored through d_model.
 * @throws when the writer comes after the reader.
 */
export const virtualWeights = takes.virtualWeights(function virtualWeights(
  model: Model,
  from: Writer,
  to: Reader,
): FactoredMatrix {
  const w = model.weights;
  const writes = (): HostMatrix => {
    if (from === 'embed') return w.W_E;
    if (from === 'pos_embed') return w.W_pos;
    if (from.head === undefined) return mlpMatrix(model, from.layer, 'W_out');
    checkHead(model, from.layer, from.head);
    return ofHead(w.W_O[from.layer], from.head);
  };
  const reads = (): HostMatrix => {
    if (to === 'unembed') return w.W_U;
    if (to.head === undefined) return mlpMatrix(model, to.layer, 'W_in');
    checkHead(model, to.layer, to.head);
    const matrices = { q: w.W_Q, k: w.W_K, v: w.W_V }[to.input];
    if (!matrices) throw new Error(`virtualWeights: input "${to.input}" of a head; it has q, k and v`);
    return ofHead(matrices[to.layer], to.input === 'q' ? to.head : keyHeadOf(model, to.head));
  };
  const [A, B] = [writes(), reads()];
  // Half layers: attention, then MLP.
  const half = (part: Writer | Reader) =>
    typeof part === 'string' ? null : 2 * part.layer + (part.head === undefined ? 1 : 0);
  const [written, read] = [half(from), half(to)];
  if (written !== null && read !== null && written >= read)
    throw new Error(
      `virtualWeights from ${shownJson(from)} to ${shownJson(to)}: nothing flows back; the writer must come first`,
    );
  return new FactoredMatrix(A, B);
});

/** W_in [dModel, dMlp] or W_out [dMlp, dModel] of a layer. @throws when the model has no MLPs. */
export function mlpMatrix(model: Model, layer: number, which: 'W_in' | 'W_out'): HostTensor {
  checkLayer(model, layer);
  if (model.config.attnOnly) throw new Error(`${which} of layer ${layer}: this model has no MLPs`);
  return model.weights[which][layer];
}

/** Options of `accumulatedBias`. */
export interface AccumulatedBiasOptions {
  /** Up to the MLP of `layer`, its attention included. Default false. */
  readonly mlpInput?: boolean;
  /** Default true. False where MLPs are looked at as a whole, biases and all. */
  readonly includeMlpBiases?: boolean;
}

/**
 * The sum of all b_O and b_out before block `layer` (0 … nLayers): the part of the residual stream there that
 * is the same for every input. [dModel]
 */
export const accumulatedBias = takes.accumulatedBias(function accumulatedBias(
  model: Model,
  layer: number,
  { mlpInput = false, includeMlpBiases = true }: AccumulatedBiasOptions = {},
): Float32Array {
  const { nLayers, dModel, attnOnly } = model.config;
  const most = mlpInput ? nLayers - 1 : nLayers;
  if (!Number.isInteger(layer) || layer < 0 || layer > most)
    throw new Error(
      `accumulatedBias: layer ${layer}; 0 to ${most} are possible${mlpInput ? ' with mlpInput' : ''}`,
    );
  const { b_O, b_out } = model.weights;
  const sum = new Float64Array(dModel);
  const add = ({ data }: HostTensor) => {
    for (let i = 0; i < dModel; i++) sum[i] += data[i];
  };
  for (let l = 0; l < layer; l++) {
    add(b_O[l]);
    if (includeMlpBiases && !attnOnly) add(b_out[l]);
  }
  if (mlpInput) add(b_O[layer]);
  return Float32Array.from(sum);
});

// ---- composition
// ---------------------------------------------------------------------------------------------------

/** Options of `compositionScores`. */
export interface CompositionOptions {
  /**
   * Subtract the mean score of random heads of this size (Gaussian weights), as Elhage et al. do. Default
   * false.
   */
  readonly baseline?: boolean | { readonly samples?: number; readonly seed?: number };
  /** Called with how much is done, and of how much. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * How much each head reads of what each earlier one writes: ‖W_OV · R‖ / (‖W_OV‖ · ‖R‖) with Frobenius' norm,
 * where R is the reading head's QK circuit (`'Q'`: through its queries), its transpose (`'K'`) or its OV
 * circuit (`'V'`). TransformerLens' `all_composition_scores`: zero unless the reading head's layer is the
 * later one.
 *
 * A norm does not change when a factor with orthonormal columns is left out: of each circuit [dModel, dHead]
 * or [dHead, dModel] is left, and of each pair [dHead, dHead], made on the GPU layer by layer.
 * @returns axes source layer × source head × layer × head
 */
export const compositionScores = takes.compositionScores(async function compositionScores(
  model: Model,
  mode: 'Q' | 'K' | 'V',
  { baseline = false, onProgress, signal }: CompositionOptions = {},
): Promise<Labelled> {
  if (!['Q', 'K', 'V'].includes(mode))
    throw new Error(`compositionScores: mode "${mode}"; "Q", "K" or "V" is needed`);
  const { nLayers, nHeads } = model.config;
  const reader = (layer: number, head: number) => {
    if (mode === 'V') return ovCircuit(model, layer, head);
    const qk = qkCircuit(model, layer, head);
    return mode === 'Q' ? qk : qk.T;
  };
  const heads = Array.from({ length: nHeads }, (_, h) => h);
  const values = new Float32Array((nLayers * nHeads) ** 2);
  const random = baseline === false ? null : randomBaseline(model, baseline === true ? {} : baseline);
  const earlier: Stacked[] = [];
  try {
    for (let layer = 0; layer < nLayers; layer++) {
      signal?.throwIfAborted();
      const right =
        layer === 0
          ? null
          : stack(
              model,
              heads.map((h) => transpose(reader(layer, h).collapseRight())),
            );
      try {
        for (const [source, left] of right ? earlier.entries() : []) {
          const norms = await blockNorms(left.tensor, right!.tensor, nHeads);
          norms.forEach((norm, i) => {
            const [s, h] = [Math.floor(i / nHeads), i % nHeads];
            const score = norm / left.norms[s] / right!.norms[h] - (random?.mean ?? 0);
            values[((source * nHeads + s) * nLayers + layer) * nHeads + h] = score;
          });
        }
      } finally {
        right?.tensor.dispose();
      }
      if (layer + 1 < nLayers)
        earlier.push(
          stack(
            model,
            heads.map((h) => ovCircuit(model, layer, h).collapseLeft()),
          ),
        );
      onProgress?.(layer + 1, nLayers);
    }
  } finally {
    for (const { tensor } of earlier) tensor.dispose();
  }
  const axes = (['source ', ''] as const).flatMap((prefix) => [
    { name: `${prefix}layer`, labels: Array.from({ length: nLayers }, (_, l) => `L${l}`) },
    { name: `${prefix}head`, labels: heads.map((h) => `H${h}`) },
  ]);
  const metric = `${mode}-composition${random ? ' above random heads' : ''}`;
  const about = { method: 'composition scores', mode, metric, ...(random && { baseline: random }) };
  return labelled(values, axes, provenance(model, about));
});

/**
 * Circuits of a layer's heads, less their orthonormal parts, one below the other on the GPU; and the norm of
 * each.
 */
interface Stacked {
  /** [head · dHead, dModel] */
  readonly tensor: Tensor;
  readonly norms: readonly number[];
}

function stack(model: Model, parts: readonly Matrix64[]): Stacked {
  const [rows, columns] = parts[0].shape;
  const data = new Float32Array(parts.length * rows * columns);
  parts.forEach((part, p) => {
    data.set(part.data, p * rows * columns);
  });
  const tensor = model.tensor(data, [parts.length * rows, columns]);
  return { tensor, norms: parts.map((p) => lengthOf(p.data)) };
}

/** The mean score of pairs of heads with Gaussian weights. */
function randomBaseline(
  { config: { dModel, dHead } }: Model,
  { samples = 32, seed = 0 }: { samples?: number; seed?: number },
) {
  const draw = normals(seed);
  const circuit = () =>
    new FactoredMatrix(
      { shape: [dModel, dHead], data: draw(dModel * dHead) },
      { shape: [dHead, dModel], data: draw(dHead * dModel) },
    );
  let sum = 0;
  for (let i = 0; i < samples; i++) {
    const [left, right] = [circuit(), circuit()];
    sum += left.matmul(right).norm() / left.norm() / right.norm();
  }
  return { mean: sum / samples, samples, seed };
}

// ---- inside
// --------------------------------------------------------------------------------------------------------

/** @throws unless the model has the layer. */
export function checkLayer({ config: { nLayers } }: Model, layer: number): void {
  if (!Number.isInteger(layer) || layer < 0 || layer >= nLayers)
    throw new Error(`layer ${layer}: this model has ${nLayers} layers (0–${nLayers - 1})`);
}

/** @throws unless the model has the head. */
export function checkHead(model: Model, layer: number, head: number): void {
  checkLayer(model, layer);
  const { nHeads } = model.config;
  if (!Number.isInteger(head) || head < 0 || head >= nHeads)
    throw new Error(`head ${head}: this model has ${nHeads} heads a layer (0–${nHeads - 1})`);
}
