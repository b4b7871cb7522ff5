/**
 * Queries and keys of one head as their scores use them: with the heads that share keys, the gains of norms
 * on queries and keys, and rotary positions. A query at a distance δ behind its key scores as one at position
 * δ with a key at 0: scores of rotary models depend on the distance alone.
 */

import type { Model } from '../../hooks/input/model.js';
import { blockFacts } from '../../weights/facts.js';
import type { HostTensor, NormWeights } from '../../weights/formats/types.js';
import { gainAt, type NormFacts } from '../../weights/norm.js';
import type { HostMatrix } from './linear-algebra.js';

/** The head of keys and values that a head reads. */
export const keyHeadOf = (
  { config: { nHeads, nKeyValueHeads } }: { config: Pick<Model['config'], 'nHeads' | 'nKeyValueHeads'> },
  head: number,
): number => Math.floor((head * nKeyValueHeads) / nHeads);

/** The matrix of one head, of [head, rows, columns]: shares its memory. */
export function ofHead({ shape: [, rows, columns], data }: HostTensor, head: number): HostMatrix {
  const size = rows * columns;
  return { shape: [rows, columns], data: data.subarray(head * size, (head + 1) * size) };
}

/**
 * W_Q, turned by `distance`, and W_K of a head, [dModel, dHead] each: Q · Kᵀ is its circuit. Gains of norms
 * on queries and keys are in them; the norms' scales, one a position, are not.
 * @param distance position of the query less that of the key. 0 in models that do not turn
 */
export function queryKey(
  model: Model,
  layer: number,
  head: number,
  distance: number,
): { readonly Q: HostMatrix; readonly K: HostMatrix } {
  const { config, weights } = model;
  const { positions, attention } = blockFacts(config, layer);
  if (!Number.isInteger(distance) || distance < 0)
    throw new Error(
      `distance ${distance}: how many positions a query is behind its key, an integer of 0 or more`,
    );
  if (distance && positions.kind !== 'rotary')
    throw new Error(
      `distance ${distance}: this model has no rotary positions; what it knows of distances is in its embeddings`,
    );
  const kv = keyHeadOf(model, head);
  let [Q, K] = [ofHead(weights.W_Q[layer], head), ofHead(weights.W_K[layer], kv)];
  if (attention.qkNorm) {
    const { facts, along } = attention.qkNorm;
    const { qNorm = null, kNorm = null } = weights.parts.blocks[layer];
    Q = scaled(Q, facts, qNorm, along === 'width' ? head * config.dHead : 0);
    K = scaled(K, facts, kNorm, along === 'width' ? kv * config.dHead : 0);
  }
  if (positions.kind === 'rotary') {
    Q = turned(Q, distance, positions);
    K = turned(K, 0, positions);
  }
  return { Q, K };
}

/** Columns times the gain of a norm behind them. @param from where the head's part of the gain begins */
function scaled(
  { shape, data }: HostMatrix,
  facts: NormFacts,
  weights: NormWeights | null,
  from: number,
): HostMatrix {
  const columns = shape[1];
  return { shape, data: Float32Array.from(data, (x, i) => x * gainAt(facts, weights, from + (i % columns))) };
}

/** Rows [dHead] turned as a query at that position is, times the magnitude of the turn. */
function turned(
  { shape, data }: HostMatrix,
  position: number,
  {
    pairs,
    dims,
    table: { frequencies, magnitude },
  }: {
    pairs: 'halves' | 'adjacent';
    dims: number;
    table: { frequencies: readonly number[]; magnitude: number };
  },
): HostMatrix {
  const out = Float32Array.from(data);
  const columns = shape[1];
  for (let row = 0; row < data.length; row += columns)
    frequencies.forEach((f, i) => {
      const [a, b] = pairs === 'halves' ? [row + i, row + i + dims / 2] : [row + 2 * i, row + 2 * i + 1];
      const [c, s] = [Math.cos(position * f) * magnitude, Math.sin(position * f) * magnitude];
      out[a] = data[a] * c - data[b] * s;
      out[b] = data[b] * c + data[a] * s;
    });
  return { shape, data: out };
}
