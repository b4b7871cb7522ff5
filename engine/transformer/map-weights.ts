/** All tensors of a model, one by one, by name. */

import type { Table } from '../tensor/launches.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Norm } from './parts/norm.js';
import type { GpuBlock, WeightTensors } from './weights.js';

/**
 * The same weights with each tensor replaced: `W_E`, `W_pos`, `blocks.0.W_QKV`, `blocks.0.ln1.w`,
 * `ln_final.b`, `W_U` (untied only), `b_U` …; a table in several chunks is `W_E[0]`, `W_E[1]` …
 */
export function mapWeights(w: WeightTensors, f: (t: Tensor, name: string) => Tensor): WeightTensors {
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
