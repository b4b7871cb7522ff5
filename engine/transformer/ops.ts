/**
 * GPT-2's operations on tensors. Activations are packed: `[tokens, ...]`. Each operation is one dispatch
 * (one per chunk where a table is too large for one binding), its result joins the scope of its input, and it ends with
 * its vector-Jacobian product (`taped`), which ops-backward.ts has.
 */

import { isQuantised } from '../../kernels/core/stored.js';
import { embed, gatherRows } from '../../kernels/memory/embed.js';
import { activation, solu } from '../../kernels/pointwise/activation.js';
import type { Activation } from '../../kernels/pointwise/activation-functions.js';
import { gated } from '../../kernels/pointwise/gated.js';
import { headInput, headResult } from '../../kernels/products/head-matmul.js';
import { linear as linearLaunch, unembed as unembedLaunch } from '../../kernels/products/matmul.js';
import { quantisedLinear } from '../../kernels/products/quantised.js';
import type { Binding } from '../gpu/gpu.js';
import type { Scope } from '../gpu/storage.js';
import type { DType, GpuArray } from '../tensor/array.js';
import {
  ALIGN,
  blocksOfRows,
  columnParts,
  rowTooLong,
  rowWindows,
  type Table,
  withDense,
  writePart,
} from '../tensor/launches.js';
import { isTaped, taped } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import type { Batch } from './batch.js';
import {
  activateBackward,
  embedBackward,
  gatedByBackward,
  gatherTableBackward,
  headProjectBackward,
  headResultsBackward,
  linearBackward,
  softmaxLinearUnitBackward,
  unembedBackward,
} from './ops-backward.js';
import type { GpuBlock } from './weights.js';

/** W_E[token] + W_pos[position]: [tokens, dModel]. */
export function embedTokens(W_E: Table, W_pos: Table, batch: Batch): Tensor {
  const { gpu } = batch.table;
  const out = Tensor.result(gpu, [batch.tokens, W_E.width], [batch.table], 'hook_resid_pre');
  const pos = W_pos.chunks[0].tensor.binding();
  for (const { row0, rows, tensor } of W_E.chunks) {
    const { stored } = tensor;
    const launch = embed({ tokens: batch.tokens, width: W_E.width, row0, rows, stored }, gpu.caps);
    gpu.launch(launch, [batch.table.binding(), tensor.weights(), pos, out.binding()]);
  }
  const tables = [...W_E.chunks, W_pos.chunks[0]].map((c) => c.tensor);
  return taped(out, tables, embedBackward(W_E, W_pos, batch.ids ?? [], batch.positions));
}

/** Rows of a table, by token id or by position: [tokens, width]. */
export function lookUp(table: Table, batch: Batch, by: 'token' | 'position'): Tensor {
  const token = by === 'token';
  const which = token ? (batch.ids ?? []) : batch.positions;
  return gatherTable(table, batch.table, which, token ? 0 : batch.tokens);
}

/**
 * Rows `ids[idsOffset …+ n]` of a table: [n, width].
 * @param which these row numbers on the host too, or only how many: then gradients cannot go back to the table
 */
export function gatherTable(
  table: Table,
  ids: Tensor<'u32'>,
  which: number | readonly number[],
  idsOffset = 0,
): Tensor {
  const { gpu } = ids;
  const n = typeof which === 'number' ? which : which.length;
  const { width } = table;
  const out = Tensor.result(gpu, [n, width], [ids], 'rows');
  for (const { row0, rows, tensor } of table.chunks)
    gpu.launch(gatherRows({ n, width, row0, rows, idsOffset, stored: tensor.stored }, gpu.caps), [
      ids.binding(),
      tensor.weights(),
      out.binding(),
    ]);
  const chunks = table.chunks.map((c) => c.tensor);
  if (typeof which !== 'number') return taped(out, chunks, gatherTableBackward(table, which));
  if (isTaped(...chunks)) throw new Error('gradients of rows of a table need their numbers on the host');
  return out;
}

/** What a linear layer does besides: an activation, and a residual stream that is added, or numbers that multiply its result. */
export interface LinearOptions {
  readonly act?: Activation | null;
  readonly residual?: Tensor | null;
  readonly times?: Tensor | null;
}

/** act(x · W + b) + residual, or · times: [tokens, inner] · [inner, cols]. */
export function linear(
  x: Tensor,
  W: Tensor,
  b: Tensor | null,
  { act = null, residual = null, times = null }: LinearOptions = {},
): Tensor {
  // The gradient of the activation needs what went into it, and that of a factor what it multiplies.
  if ((act || times) && isTaped(x, W, b, times)) {
    let post = linear(x, W, b);
    if (act) post = activate(post, act);
    if (times) post = post.mul(times);
    return residual ? post.add(residual) : post;
  }
  const { gpu } = x;
  const [inner, cols] = W.shape;
  const rows = x.size / inner;
  const out = Tensor.result(gpu, [rows, cols], [x], 'linear');
  const more = residual ?? times;
  withDense(more ? [x, more] : [x], ([x, more]) => {
    const sizes = { rows, inner, cols };
    const epilogue = { bias: b !== null, act, residual: residual !== null, times: times !== null };
    const { stored } = W;
    const launch = isQuantised(stored)
      ? quantisedLinear({ ...sizes, ...epilogue, stored }, gpu.caps)
      : linearLaunch({ ...sizes, ...epilogue, stored }, gpu.caps);
    gpu.launch(launch, [x.binding(), W.weights(), ...bindings(b, more, out)]);
  });
  return taped(out, [x, W, b, residual], linearBackward(x, W, isTaped(W)));
}

/** The MLP's nonlinearity. */
export function activate(x: Tensor, act: Activation): Tensor {
  const { gpu } = x;
  const out = Tensor.result(gpu, x.shape, [x], 'hook_post');
  withDense([x], ([x]) => gpu.launch(activation({ n: x.size, act }, gpu.caps), bindings(x, out)));
  return taped(out, [x], activateBackward(x, act));
}

/** act(gate) ∘ x. */
export function gatedBy(gate: Tensor, x: Tensor, act: Activation): Tensor {
  const { gpu } = x;
  const out = Tensor.result(gpu, x.shape, [x], 'hook_post');
  withDense([gate, x], ([g, x]) => gpu.launch(gated({ n: x.size, act }, gpu.caps), bindings(g, x, out)));
  return taped(out, [gate, x], gatedByBackward(gate, x, act));
}

/** SoLU: x · softmax(x) over the last axis. */
export function softmaxLinearUnit(x: Tensor): Tensor {
  const { gpu } = x;
  const cols = x.shape.at(-1)!;
  const out = Tensor.result(gpu, x.shape, [x], 'hook_mid');
  withDense([x], ([x]) => gpu.launch(solu({ rows: x.size / cols, cols }, gpu.caps), bindings(x, out)));
  return taped(out, [x], softmaxLinearUnitBackward(x));
}

/** Windows [tokens, heads, dHead] of [tokens, all heads · dHead], one after another, sharing its memory. */
export function splitHeads(all: Tensor, dHead: number, heads: readonly number[]): Tensor[] {
  const apart = all.reshape([-1, heads.reduce((n, h) => n + h, 0), dHead]);
  let at = 0;
  return heads.map((n) => apart.window([null, [at, (at += n)]]));
}

/**
 * Queries (`part` 0), keys (1) or values (2) from an input of their own for every head: [tokens, head, dModel], with as many heads
 * as there are of them.
 */
export function headProject(x: Tensor, w: GpuBlock, part: 0 | 1 | 2, dHead: number): Tensor {
  const { gpu } = x;
  const [tokens, heads, dModel] = x.shape;
  const out = Tensor.result(gpu, [tokens, heads, dHead], [x], 'heads');
  const wCols = w.W_QKV.shape[1];
  const col0 = part && wCols - (3 - part) * heads * dHead;
  const launch = headInput({ tokens, heads, dModel, dHead, wCols, col0, bias: w.b_QKV !== null }, gpu.caps);
  withDense([x, w.W_QKV], ([x, W]) => gpu.launch(launch, bindings(x, W, w.b_QKV, out)));
  return taped(out, [x, w.W_QKV, w.b_QKV], headProjectBackward(x, w.W_QKV, part, dHead));
}

/** What each head writes to the residual stream: z [tokens, head, dHead] → [tokens, head, dModel]. */
export function headResults(z: Tensor, W_O: Tensor): Tensor {
  const { gpu } = z;
  const [tokens, heads, dHead] = z.shape;
  const dModel = W_O.shape[1];
  const out = Tensor.result(gpu, [tokens, heads, dModel], [z], 'hook_result');
  withDense([z, W_O], ([z, W]) =>
    gpu.launch(headResult({ tokens, heads, dHead, dModel }, gpu.caps), bindings(z, W, out)),
  );
  return taped(out, [z, W_O], headResultsBackward(z, W_O));
}

/** Logits: x · W_Uᵀ + b_U, capped where the model caps them, [rows, dVocab]. */
export function unembed(x: Tensor, W_U: Table, b_U: Tensor | null): Tensor {
  const { gpu } = x;
  const inner = W_U.width;
  const out = Tensor.result(gpu, [x.size / inner, W_U.rows], [x], 'logits');
  const bias = b_U !== null;
  const { softCap } = W_U;
  withDense([x], ([x]) => {
    if (rowTooLong(gpu, Math.min(x.size / inner, ALIGN) * W_U.rows)) return unembedInParts(x, W_U, b_U, out);
    for (const [start, rows] of rowWindows(gpu, x.size / inner, W_U.rows))
      for (const { row0, rows: cols, tensor } of W_U.chunks) {
        const sizes = {
          rows,
          inner,
          cols,
          col0: row0,
          stride: W_U.rows,
          bias,
          stored: tensor.stored,
          softCap,
        };
        const y = out.binding(start * W_U.rows, rows * W_U.rows);
        const read = [x.binding(start * inner, rows * inner), tensor.weights(), ...bindings(b_U)];
        gpu.launch(unembedLaunch(sizes, gpu.caps), [...read, y]);
      }
  });
  const chunks = W_U.chunks.map((c) => c.tensor);
  return taped(out, [x, b_U, ...chunks], unembedBackward(x, W_U, out, isTaped(...chunks)));
}

/** Logits whose rows no binding takes: some columns after the others, put in their place. */
function unembedInParts(x: GpuArray<DType>, W_U: Table, b_U: Tensor | null, out: Tensor): void {
  const { gpu } = out;
  const { rows: stride, width: inner, softCap } = W_U;
  const rows = x.size / inner;
  for (const [start, n] of blocksOfRows(gpu, rows))
    for (const { row0, rows: columns, tensor } of W_U.chunks)
      for (const [from, to] of columnParts(gpu, n, columns)) {
        const cols = to - from;
        const col0 = row0 + from;
        const part = out.empty([n, cols]);
        const weights = [tensor.weights(from * inner, cols * inner)];
        if (b_U) weights.push(b_U.binding(col0, cols));
        const sizes = {
          rows: n,
          inner,
          cols,
          col0: 0,
          stride: cols,
          bias: b_U !== null,
          stored: tensor.stored,
          softCap,
          window: isQuantised(tensor.stored) ? { first: from, rows: columns } : null,
        };
        gpu.launch(unembedLaunch(sizes, gpu.caps), [
          x.binding(start * inner, n * inner),
          ...weights,
          part.binding(),
        ]);
        writePart(out, { shape: [n, cols], strides: [stride, 1], offset: start * stride + col0 }, part);
        part.dispose();
      }
}

/** The unembedding without the cap of its logits. */
export const uncapped = (W_U: Table): Table => (W_U.softCap ? { ...W_U, softCap: null } : W_U);

/** Columns of the unembedding: W [n, dModel] and b [n, 1] of some tokens. */
export function unembedColumns(
  ids: Tensor<'u32'>,
  which: readonly number[],
  W_U: Table,
  b_U: Tensor | null,
): { W: Tensor; b: Tensor | null } {
  const bias = b_U && { rows: W_U.rows, width: 1, chunks: [{ row0: 0, rows: W_U.rows, tensor: b_U }] };
  return { W: gatherTable(W_U, ids, which), b: bias && gatherTable(bias, ids, which) };
}

/** Logits of some tokens, before a cap: x · W_U[tokens]ᵀ + b_U, [rows, tokens]. */
export function logitsOfTokens(x: Tensor, tokens: readonly number[], W_U: Table, b_U: Tensor | null): Tensor {
  const { gpu, scope } = x;
  const ids = Tensor.from<'u32'>(gpu, Uint32Array.from(tokens), [tokens.length], { label: 'tokens', scope });
  const { W, b } = unembedColumns(ids, tokens, W_U, b_U);
  const products = x.matmul(W.transpose());
  return b ? products.add(b.reshape([1, tokens.length])) : products;
}

/** Chosen rows of a [rows, width] tensor. `which`: row numbers. */
export function pickRows(x: Tensor, which: readonly number[], scope: Scope | null = x.scope): Tensor {
  const [rows, width] = x.shape;
  const ids = Tensor.from<'u32'>(x.gpu, Uint32Array.from(which), [which.length], { label: 'rows', scope });
  const tensor = x.dense();
  const out = gatherTable({ rows, width, chunks: [{ row0: 0, rows, tensor }] }, ids, which);
  if (tensor !== x) tensor.dispose();
  ids.dispose();
  return out;
}

const bindings = (...tensors: (GpuArray<DType> | null | undefined)[]): Binding[] =>
  tensors.flatMap((t) => (t ? [t.binding()] : []));
