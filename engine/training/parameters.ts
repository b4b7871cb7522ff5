/** A model's trainable tensors, by name. */

import type { Table } from '../tensor/launches.js';
import type { Tape } from '../tensor/tape.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Norm } from '../transformer/parts/norm.js';
import type { GpuBlock, WeightTensors } from '../transformer/weights.js';

/** A trainable tensor. */
export interface Parameter {
  /**
   * `W_E`, `W_pos`, `blocks.0.W_QKV`, `blocks.0.ln1.w`, `blocks.0.W_gate`, `ln_final.b`, `W_U` (untied only), `b_U` …; a table in several
   * chunks is `W_E[0]`, `W_E[1]` …
   */
  readonly name: string;
  readonly tensor: Tensor;
  /** Widths of the matrices that lie side by side in it: queries, keys, values. Absent: it is one. */
  readonly columns?: readonly number[];
}

/** The trainable tensors of a model, in order of execution: a tied W_U is W_E and not told twice. */
export function parameters(weights: WeightTensors): Parameter[] {
  const out: Parameter[] = [];
  const columns = new Map(
    weights.blocks.map(({ W_QKV, W_O }) => {
      const [queries, keys] = [W_O.shape[0], (W_QKV.shape[1] - W_O.shape[0]) / 2];
      return [W_QKV, [queries, keys, keys]];
    }),
  );
  mapWeights(weights, (tensor, name) => {
    out.push({ name, tensor, columns: columns.get(tensor) });
    return tensor;
  });
  return out;
}

/** The same weights as points of a tape that gradients are wanted for: operations on them are recorded. */
export const watchWeights = (weights: WeightTensors, tape: Tape): WeightTensors =>
  mapWeights(weights, (t, name) => tape.watch(t, name, tape.scope));

/** The same weights with each tensor replaced. */
function mapWeights(w: WeightTensors, f: (t: Tensor, name: string) => Tensor): WeightTensors {
  const table = (t: Table, name: string): Table => ({
    ...t,
    chunks: t.chunks.map((c, i) => ({
      ...c,
      tensor: f(c.tensor, t.chunks.length > 1 ? `${name}[${i}]` : name),
    })),
  });
  const norm = (n: Norm | null, name: string): Norm | null =>
    n?.withWeights((t, part) => f(t, `${name}.${part}`)) ?? null;
  const maybe = (t: Tensor | null, name: string): Tensor | null => t && f(t, name);
  const W_E = table(w.W_E, 'W_E');
  const W_pos = w.W_pos && table(w.W_pos, 'W_pos');
  const blocks = w.blocks.map((b, l): GpuBlock => {
    const name = (part: string) => `blocks.${l}.${part}`;
    return {
      ln1: norm(b.ln1, name('ln1')),
      W_QKV: f(b.W_QKV, name('W_QKV')),
      b_QKV: maybe(b.b_QKV, name('b_QKV')),
      qNorm: norm(b.qNorm, name('attn.q_norm')),
      kNorm: norm(b.kNorm, name('attn.k_norm')),
      angles: b.angles,
      W_O: f(b.W_O, name('W_O')),
      b_O: maybe(b.b_O, name('b_O')),
      ln1Post: norm(b.ln1Post, name('ln1_post')),
      ln2: norm(b.ln2, name('ln2')),
      mlp: b.mlp && {
        W_gate: maybe(b.mlp.W_gate, name('W_gate')),
        b_gate: maybe(b.mlp.b_gate, name('b_gate')),
        W_in: f(b.mlp.W_in, name('W_in')),
        b_in: maybe(b.mlp.b_in, name('b_in')),
        ln: norm(b.mlp.ln, name('mlp.ln')),
        W_out: f(b.mlp.W_out, name('W_out')),
        b_out: maybe(b.mlp.b_out, name('b_out')),
      },
      ln2Post: norm(b.ln2Post, name('ln2_post')),
    };
  });
  const lnFinal = norm(w.lnFinal, 'ln_final');
  const W_U = w.W_U === w.W_E ? W_E : table(w.W_U, 'W_U');
  return { W_E, W_pos, blocks, lnFinal, W_U, b_U: w.b_U && f(w.b_U, 'b_U') };
}
