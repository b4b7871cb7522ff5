/**
 * From the residual stream to queries, keys and values: one product for all of them, norms of queries and
 * keys, and rotary positions, which turn both. Keys and values may have fewer heads: each serves some
 * neighbouring heads of queries.
 */

import type { Tensor } from '../../tensor/tensor.js';
import type { Layer } from '../block.js';
import { headProject, linear, splitHeads } from '../ops.js';
import { keepKeysValues } from './attention.js';
import type { Norm } from './norm.js';
import { turned } from './rotary.js';

type Three = readonly [q: Tensor, k: Tensor, v: Tensor];

/** What the products are made of. */
interface Projected {
  readonly parts: Three;
  /** Queries and keys as one tensor, where they lie side by side and turn together. */
  readonly both: Tensor | null;
  /** What the norm makes of the residual stream; null where heads have inputs of their own. */
  readonly normalized: Tensor | null;
}

/**
 * Queries [tokens, head, dHead], keys and values [tokens, kvHead, dHead], as attention uses them; the last
 * two go to the store where the batch has one. And what they were made of: the normed residual stream, null
 * where heads had inputs of their own.
 * @param seen the residual stream
 */
export async function queriesKeysValues(
  layer: Layer,
  seen: Tensor,
): Promise<{ parts: Three; normalized: Tensor | null }> {
  const { at, batch } = layer;
  const { parts, both, normalized } = await projections(layer, seen);
  const q = await at('attn.hook_q', parts[0]);
  const k = await at('attn.hook_k', parts[1]);
  const v = await at('attn.hook_v', parts[2]);
  const apart = q !== parts[0] || k !== parts[1];
  const [usedQ, usedK] = await rotated(layer, await normedHeads(layer, q, k), apart ? null : both);
  keepKeysValues(usedK, v, batch, layer.layer);
  return { parts: [usedQ, usedK, v], normalized };
}

async function projections(layer: Layer, seen: Tensor): Promise<Projected> {
  const { w, facts, tap, name } = layer;
  const norm = facts.before.attn && w.ln1;
  const own = await ownInputs(layer, seen, norm);
  if (own) return { parts: own, both: null, normalized: null };
  const normalized = norm ? await norm.run(tap, name('ln1'), seen) : seen; //         [tokens, dModel]
  const { heads, kvHeads, dHead } = facts.attention;
  const project = (input: Tensor) => linear(input, w.W_QKV, w.b_QKV); //              [tokens, (head + 2 kvHead) · dHead]
  const split = (all: Tensor) => splitHeads(all, dHead, [heads, kvHeads, kvHeads]) as unknown as Three;
  const all = project(normalized);
  const parts = split(all);
  if (facts.positions.kind === 'shortformer') {
    const [q, k] = split(project(normalized.add(await layer.embeddedPositions())));
    return { parts: [q, k, parts[2]], both: null, normalized };
  }
  const rotary = facts.positions.kind === 'rotary' && !facts.attention.qkNorm;
  const both = rotary ? splitHeads(all, dHead, [heads + kvHeads, kvHeads])[0] : null;
  return { parts, both, normalized };
}

/** Queries and keys behind their norms, head by head or all heads together. */
async function normedHeads(layer: Layer, q: Tensor, k: Tensor): Promise<[Tensor, Tensor]> {
  const { tap, name, w, facts } = layer;
  const { qkNorm } = facts.attention;
  if (!qkNorm) return [q, k];
  const run = async (x: Tensor, norm: Norm, hook: string) => {
    const [, heads, dHead] = x.shape;
    if (qkNorm.along === 'head') return norm.run(tap, name(hook), x);
    return (await norm.run(tap, name(hook), x.reshape([-1, heads * dHead]))).reshape([-1, heads, dHead]);
  };
  return [await run(q, w.qNorm!, 'attn.q_norm'), await run(k, w.kNorm!, 'attn.k_norm')];
}

/** Queries and keys, turned by the angles of their positions. `both`: as one tensor, for one kernel. */
async function rotated(
  { facts, batch, w, at }: Layer,
  [q, k]: readonly [Tensor, Tensor],
  both: Tensor | null,
): Promise<readonly [Tensor, Tensor]> {
  const { positions, attention } = facts;
  if (positions.kind !== 'rotary') return [q, k];
  const turning = { pairs: positions.pairs, dims: positions.dims, angles: w.angles! };
  const { heads, kvHeads, dHead } = attention;
  const [rotQ, rotK] = both
    ? splitHeads(turned(both, batch, turning), dHead, [heads, kvHeads])
    : [turned(q, batch, turning), turned(k, batch, turning)];
  return [await at('attn.hook_rot_q', rotQ), await at('attn.hook_rot_k', rotK)];
}

/**
 * The on-demand inputs of attention: each head may be given a residual stream of its own, and its queries,
 * keys and values one each. Null where nobody changed any of them (the usual, fast way goes on). As in
 * TransformerLens the norm then runs for each of the three, and its hook points see [tokens, head, dModel].
 * Where heads share keys and values there are as many inputs of keys and values as there are of these, and
 * none for all three.
 */
async function ownInputs(layer: Layer, x: Tensor, norm: Norm | null): Promise<Three | null> {
  const { config, facts, w, tap, name, at } = layer;
  const { heads, kvHeads, dHead } = facts.attention;
  const hooks = ['hook_q_input', 'hook_k_input', 'hook_v_input'];
  if (!tap.wants(name('hook_attn_in'), ...hooks.map(name))) return null;
  const each = x.reshape([-1, 1, config.dModel]);
  const forHeads = new Map([heads, kvHeads].map((n) => [n, each.expand([-1, n, -1])])); // [tokens, head, dModel]
  const shared = heads === kvHeads ? await at('hook_attn_in', forHeads.get(heads)!) : null;
  const inputs: Tensor[] = [];
  for (const [i, hook] of hooks.entries())
    inputs.push(await at(hook, shared ?? forHeads.get(i ? kvHeads : heads)!));
  if (inputs.every((t, i) => t === forHeads.get(i ? kvHeads : heads))) return null;
  const made: Tensor[] = [];
  for (const [i, input] of inputs.entries()) {
    let normalized = norm ? await norm.run(tap, name('ln1'), input) : input; //       [tokens, head, dModel]
    if (facts.positions.kind === 'shortformer' && i < 2)
      normalized = normalized.add((await layer.embeddedPositions()).reshape([-1, 1, config.dModel]));
    made.push(headProject(normalized, w, i as 0 | 1 | 2, dHead));
  }
  return made as unknown as Three;
}
