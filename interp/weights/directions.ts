/**
 * What directions of the residual stream say in terms of tokens: neurons, and singular vectors of weights
 * (Millidge and Black 2022, TransformerLens' SVDInterpreter). They are multiplied with W_U as the model has
 * it, without the last layer norm.
 */

import { is, needed, optional, options, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import { gainAt, normAt } from '../../weights/norm.js';
import { mlpMatrix, ovCircuit } from './circuits.js';
import { type HostMatrix, scaleColumns, transpose } from './linear-algebra.js';
import { type TokenTable, topTokens } from './token-circuits.js';
import { topSingular } from './top-singular.js';

const SVD = options<SvdInterpreterOptions>({
  matrix: needed(is.oneOf('OV', 'w_in', 'w_out')),
  layer: needed(is.integer),
  head: is.integer,
  vectors: is.count,
  k: is.count,
});

const takes = signatures({
  neuronToLogits: { model: is.model, layer: is.integer, neuron: is.integer, k: optional(is.count) },
  svdInterpreter: { model: is.model, options: SVD },
});

/**
 * The tokens that a neuron's output makes likelier when it is active, and those it makes less likely: its row
 * of W_out · W_U.
 * @returns axes neuron × rank, of one neuron
 */
export const neuronToLogits = takes.neuronToLogits(async function neuronToLogits(
  model: Model,
  layer: number,
  neuron: number,
  k = 10,
): Promise<TokenTable> {
  const { shape, data } = mlpMatrix(model, layer, 'W_out');
  const [dMlp, dModel] = shape;
  if (!Number.isInteger(neuron) || neuron < 0 || neuron >= dMlp)
    throw new Error(`neuron ${neuron}: this model has ${dMlp} neurons a layer (0–${dMlp - 1})`);
  const row = model.tensor(data.subarray(neuron * dModel, (neuron + 1) * dModel), [1, dModel]);
  try {
    const axis = { name: 'neuron', labels: [`L${layer}N${neuron}`] };
    const about = { method: 'neuron to logits', metric: 'logit per unit of activation', layer, neuron };
    return await topTokens(model, row, model.gpuWeights.W_U, k, axis, about);
  } finally {
    row.dispose();
  }
});

/** Options of `svdInterpreter`. */
export interface SvdInterpreterOptions {
  /** A head's W_V·W_O (what it writes), an MLP's W_in (what its neurons read) or W_out (what they write). */
  readonly matrix: 'OV' | 'w_in' | 'w_out';
  readonly layer: number;
  /** For `'OV'`. */
  readonly head?: number;
  /** How many singular vectors. Default 10. */
  readonly vectors?: number;
  /** Tokens a vector. Default 10. */
  readonly k?: number;
}

/** Tokens of singular vectors. */
export interface SvdInterpretation extends TokenTable {
  /** [vectors], descending. */
  readonly singularValues: Float32Array;
}

/**
 * The singular vectors of a weight matrix that lie in the residual stream, by their products with W_U:
 * TransformerLens' SVDInterpreter. Those of W_in have ln2's gain multiplied in where it has not been folded.
 * A singular vector may as well point the other way: it is shown with the sign that makes its largest product
 * positive.
 * @returns axes vector × rank
 */
export const svdInterpreter = takes.svdInterpreter(async function svdInterpreter(
  model: Model,
  { matrix, layer, head, vectors = 10, k = 10 }: SvdInterpreterOptions,
): Promise<SvdInterpretation> {
  if (!Number.isInteger(vectors) || vectors < 1)
    throw new Error(`svdInterpreter: vectors = ${vectors}; a whole number from 1 is needed`);
  const { S, directions } = singularDirections(model, matrix, layer, head, vectors);
  const signs = await signsOf(model, directions);
  const signed = Float32Array.from(directions.data, (x, i) => x * signs[Math.floor(i / directions.shape[1])]);
  const x = model.tensor(signed, directions.shape);
  try {
    const axis = { name: 'vector', labels: Array.from(S, (_, i) => String(i)) };
    const about = {
      method: `singular vectors of ${matrix}`,
      metric: 'product with W_U',
      matrix,
      layer,
      head,
    };
    const table = await topTokens(model, x, model.gpuWeights.W_U, k, axis, about);
    return { ...table, singularValues: Float32Array.from(S) };
  } finally {
    x.dispose();
  }
});

/** The largest singular values, and their vectors in the residual stream, one a row. */
function singularDirections(
  model: Model,
  matrix: SvdInterpreterOptions['matrix'],
  layer: number,
  head: number | undefined,
  vectors: number,
): { S: Float64Array; directions: HostMatrix } {
  if (matrix === 'OV') {
    if (head === undefined) throw new Error('svdInterpreter: say which `head` the OV matrix is of');
    const { S, Vh } = ovCircuit(model, layer, head).svd();
    const n = Math.min(vectors, S.length);
    const width = Vh.shape[1];
    return { S: S.slice(0, n), directions: { shape: [n, width], data: Vh.data.slice(0, n * width) } };
  }
  if (matrix !== 'w_in' && matrix !== 'w_out')
    throw new Error(`svdInterpreter: matrix "${matrix}"; "OV", "w_in" or "w_out" is needed`);
  const W = mlpMatrix(model, layer, matrix === 'w_in' ? 'W_in' : 'W_out');
  const norm = normAt(model.config, 'ln2');
  const weights = model.weights.ln2[layer];
  const gain = norm && weights && Float32Array.from(weights.w.data, (_, i) => gainAt(norm, weights, i));
  const A = matrix === 'w_out' ? W : gain ? scaleColumns(transpose(W), gain) : transpose(W); // [dMlp, dModel]
  const { S, Vh } = topSingular(A, Math.min(vectors, ...A.shape));
  return { S, directions: Vh };
}

/** Per direction 1 or −1. */
async function signsOf(model: Model, directions: HostMatrix): Promise<number[]> {
  const x = model.tensor(Float32Array.from(directions.data), directions.shape);
  try {
    const labels = Array.from({ length: directions.shape[0] }, (_, i) => String(i));
    const { top, bottom } = await topTokens(model, x, model.gpuWeights.W_U, 1, { name: '', labels }, {});
    return labels.map((_, i) => (top[i][0].value >= -bottom[i][0].value ? 1 : -1));
  } finally {
    x.dispose();
  }
}
