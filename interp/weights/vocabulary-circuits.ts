/**
 * Circuits from tokens to tokens: products of W_E, a head and W_U. [dVocab, dVocab] entries never exist;
 * there are thin factors [dVocab, dHead], and some rows of their product at a time.
 */

import { PRODUCT_ROWS_BYTES } from '../../engine/budgets.js';
import { inScope, type Scope } from '../../engine/gpu/storage.js';
import type { Table } from '../../engine/tensor/launches.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import { packBatch } from '../../engine/transformer/batch.js';
import { mlpHalf } from '../../engine/transformer/model.js';
import { gatherTable, linear, lookUp, unembed } from '../../engine/transformer/ops.js';
import { noTap } from '../../engine/transformer/tap.js';
import { rankOf } from '../../engine/transformer/vocabulary/vocabulary.js';
import type { Runnable } from '../../hooks/input/model.js';
import { keyHeadOf } from './query-key.js';
import { forEveryHead } from './shared-heads.js';

/**
 * What stands for a token at the entry of a circuit: its row of W_E, or that with what the first MLP adds to
 * it when it reads nothing else (`'W_E+MLP0'`), the embedding that later layers see in effect.
 */
export type TokenVectors = 'W_E' | 'W_E+MLP0';

/**
 * A head's circuit between tokens: `'ov'`: attended token → logits; `'qk'`: query token → key token, as
 * scores without 1/√dHead.
 */
export interface TokenCircuit {
  readonly layer: number;
  readonly head: number;
  readonly circuit: 'ov' | 'qk';
  readonly embedding: TokenVectors;
}

/** What a long computation is told and tells. */
export interface Watch {
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** Tokens whose vectors exist at once. */
const TOKENS_AT_ONCE = 4096;

/** One of a head's four matrices as [dHead, dModel], in `scope`: W_Qᵀ, W_Kᵀ, W_Vᵀ or W_O. */
function headMatrix(
  { config, gpuWeights }: Runnable,
  { layer, head, matrix }: { layer: number; head: number; matrix: 'Q' | 'K' | 'V' | 'O' },
  scope: Scope,
): Tensor {
  const { nHeads, nKeyValueHeads, dHead } = config;
  const { W_QKV, W_O } = gpuWeights.blocks[layer];
  if (matrix === 'O') return W_O.alias(scope).slice([[head * dHead, (head + 1) * dHead]]);
  const kv = keyHeadOf({ config }, head);
  const starts = { Q: head, K: nHeads + kv, V: nHeads + nKeyValueHeads + kv };
  const column = starts[matrix] * dHead;
  return W_QKV.alias(scope)
    .window([null, [column, column + dHead]])
    .transpose()
    .slice([]);
}

/** Vectors of tokens, [n, dModel], in `scope`. `'W_U'`: the columns of the unembedding. */
async function vectorsOf(
  { gpu, config, gpuWeights: weights }: Runnable,
  side: TokenVectors | 'W_U',
  tokens: readonly number[],
  scope: Scope,
): Promise<Tensor> {
  if (side === 'W_U') {
    const ids = Tensor.from<'u32'>(gpu, Uint32Array.from(tokens), [tokens.length], {
      label: 'tokens',
      scope,
    });
    return gatherTable(weights.W_U, ids, tokens.length);
  }
  const inputs = tokens.map((token) => ({ tokens: [token] }));
  const batch = packBatch(gpu, config, inputs, scope);
  if (side === 'W_E+MLP0' && config.parallelAttnMlp)
    throw new Error(
      "'W_E+MLP0': the first MLP of this model reads its stream beside attention, and adds nothing before it: take 'W_E'",
    );
  const found = lookUp(weights.W_E, batch, 'token');
  const x = config.embedScale === 1 ? found : found.mul(config.embedScale);
  return side === 'W_E' ? x : mlpHalf({ config, weights, batch, tap: noTap }, 0, x);
}

/** Some tokens at a time. */
function* portions(tokens: readonly number[]): Generator<readonly number[]> {
  for (let i = 0; i < tokens.length; i += TOKENS_AT_ONCE) yield tokens.slice(i, i + TOKENS_AT_ONCE);
}

/**
 * Vectors of tokens times a matrix: [tokens, r]; the caller disposes of it.
 * @param W [r, dModel]
 */
async function projectTokens(
  model: Runnable,
  side: TokenVectors | 'W_U',
  tokens: readonly number[],
  W: Tensor,
): Promise<Tensor> {
  const parts: Tensor[] = [];
  try {
    for (const some of portions(tokens)) {
      await inScope(async (scope) => {
        const x = await vectorsOf(model, side, some, scope);
        parts.push(unembed(x, asTable(W.alias(scope)), null).keep());
      });
    }
    return Tensor.concat(parts);
  } finally {
    for (const t of parts) t.dispose();
  }
}

/**
 * The circuit of a head as left · rightᵀ: left [tokens, dHead], one row a source (or query) token; right
 * [dVocab, dHead], one row an output (or key) token. The caller disposes of both.
 */
export async function circuitFactors(
  model: Runnable,
  { layer, head, circuit, embedding }: TokenCircuit,
  tokens: readonly number[],
): Promise<{ left: Tensor; right: Tensor }> {
  const { dVocab, dVocabOut } = model.config;
  const all = Array.from({ length: circuit === 'ov' ? dVocabOut : dVocab }, (_, t) => t);
  const [into, out, end] = circuit === 'ov' ? (['V', 'O', 'W_U'] as const) : (['Q', 'K', embedding] as const);
  return inScope(async (scope) => {
    const matrix = (which: 'Q' | 'K' | 'V' | 'O') => headMatrix(model, { layer, head, matrix: which }, scope);
    const right = await projectTokens(model, end, all, matrix(out));
    try {
      return { left: await projectTokens(model, embedding, tokens, matrix(into)), right };
    } catch (e) {
      right.dispose();
      throw e;
    }
  });
}

/** Σ over tokens of (column of W_U) ⊗ (vector): W_U · E, [dModel, dModel]; the caller disposes of it. */
export async function unembeddedVectors(
  model: Runnable,
  side: TokenVectors,
  tokens: readonly number[],
): Promise<Tensor> {
  const { dModel } = model.config;
  let sum: Tensor | null = null;
  for (const some of portions(tokens)) {
    await inScope(async (scope) => {
      const E = await vectorsOf(model, side, some, scope);
      const U = (await vectorsOf(model, 'W_U', some, scope)).transpose().slice([]);
      const none = Tensor.from(model.gpu, new Float32Array(dModel), [dModel], { label: 'no bias', scope });
      const next: Tensor = linear(U, E, none, { residual: sum }).keep();
      sum?.dispose();
      sum = next;
    });
  }
  return sum!;
}

/**
 * W_O · M · W_V of all heads of a layer, [head, dHead, dHead], on the host. With M from `unembeddedVectors`
 * its eigenvalues are those of the head's circuit from tokens to logits.
 */
export async function headCores(model: Runnable, layer: number, M: Tensor): Promise<Float32Array> {
  const { nHeads, nKeyValueHeads, dHead, dModel } = model.config;
  const { W_O, W_QKV } = model.gpuWeights.blocks[layer];
  return inScope(async (scope) => {
    const left = W_O.alias(scope).matmul(M).reshape([nHeads, dHead, dModel]);
    const values = forEveryHead(
      W_QKV.alias(scope)
        .reshape([dModel, nHeads + 2 * nKeyValueHeads, dHead])
        .window([null, [nHeads + nKeyValueHeads, nHeads + 2 * nKeyValueHeads]]),
      model.config,
    ); // [dModel, head, dHead]
    return await left.matmul(values.transpose([1, 0, 2])).data();
  });
}

/** The k largest entries of each row, with their columns: [rows, k]. */
export interface Top {
  readonly values: Float32Array;
  readonly indices: Uint32Array;
}

/**
 * The k largest of x · table, [rows, width] · [width, columns], row by row; a few hundred rows exist at once.
 */
export async function topOfProduct(
  x: Tensor,
  table: Table,
  k: number,
  { onProgress, signal }: Watch = {},
): Promise<Top> {
  const rows = x.size / table.width;
  const top = { values: new Float32Array(rows * k), indices: new Uint32Array(rows * k) };
  const step = Math.max(64, Math.floor(PRODUCT_ROWS_BYTES / 4 / table.rows / 64) * 64);
  for (let from = 0; from < rows; from += step) {
    signal?.throwIfAborted();
    await inScope(async (scope) => {
      const some = x.alias(scope).window([[from, Math.min(rows, from + step)]]);
      const { values, indices } = unembed(some, table, null).topk(k);
      top.values.set(await values.data(), from * k);
      top.indices.set(await indices.data(), from * k);
    });
    onProgress?.(Math.min(rows, from + step), rows);
  }
  return top;
}

/** How many columns of x · table have a larger entry than column `targets[row]`, for each row. */
export async function ranksInProduct(
  x: Tensor,
  table: Table,
  targets: readonly number[],
): Promise<Float32Array> {
  const ranks = rankOf(x, Uint32Array.from(targets), table, null);
  try {
    return await ranks.data();
  } finally {
    ranks.dispose();
  }
}

/** A tensor [rows, width] as `topOfProduct` and `ranksInProduct` take it. */
export const asTable = (tensor: Tensor): Table => ({
  rows: tensor.shape[0],
  width: tensor.shape[1],
  chunks: [{ row0: 0, rows: tensor.shape[0], tensor }],
});
