/**
 * What the benchmark asks of another library: the same work, on the same adapter, to be compared before it is
 * timed.
 */

import type { RandomModel } from '../model.js';
import type { ProductCandidate, Shape } from '../products.js';

/** Another library. */
export interface Peer {
  /** Key of its figures. */
  readonly id: string;
  readonly name: string;
  readonly version: string;
  /** Y = X · W + b, or (unembedding) X · Wᵀ. */
  product(s: Shape): Promise<ProductCandidate>;
  /**
   * GPT-2's forward pass, all logits. `maxBindingBytes`: of the adapter, for those who must split the
   * embedding.
   */
  forward(model: RandomModel, tokens: readonly number[], maxBindingBytes: number): Promise<ProductCandidate>;
}

/** Peers that took part in a contest: their candidates, and why others could not. */
export interface Contest {
  readonly candidates: readonly { readonly peer: Peer; readonly candidate: ProductCandidate }[];
  /** By peer id. */
  readonly failures: Readonly<Record<string, string>>;
  dispose(): void;
}

/**
 * Has every peer do the same work, and compares: |theirs − ours| ≤ atol for each number.
 * @throws when results differ. A peer that cannot do the work at all is reported in `failures`.
 */
export async function contest(
  what: string,
  ours: ProductCandidate,
  peers: readonly Peer[],
  make: (peer: Peer) => Promise<ProductCandidate>,
  atol: number,
): Promise<Contest> {
  const candidates: { peer: Peer; candidate: ProductCandidate }[] = [];
  const failures: Record<string, string> = {};
  const dispose = () => {
    for (const { candidate } of candidates) candidate.dispose();
  };
  const expected = peers.length ? await ours.result() : new Float32Array();
  for (const peer of peers) {
    let result: Float32Array;
    try {
      const candidate = await make(peer);
      candidates.push({ peer, candidate });
      result = await candidate.result();
    } catch (e) {
      failures[peer.id] = String((e as Error).message ?? e);
      if (candidates.at(-1)?.peer === peer) candidates.pop()!.candidate.dispose();
      continue;
    }
    const where = difference(expected, result, atol);
    if (where !== null) {
      dispose();
      throw new Error(`${what}: ${where(peer.name)}`);
    }
  }
  return { candidates, failures, dispose };
}

function difference(a: Float32Array, b: Float32Array, atol: number): ((name: string) => string) | null {
  if (a.length !== b.length) return (name) => `Glassbox gives ${a.length} numbers, ${name} ${b.length}`;
  const i = a.findIndex((x, i) => !(Math.abs(x - b[i]) <= atol));
  return i < 0 ? null : (name) => `Glassbox gives ${a[i]} and ${name} ${b[i]} at ${i}`;
}
