/**
 * How activations lie, and which of their numbers the model uses, written down for the tests by the documentation of hook
 * points: nothing of it comes from the library.
 */
import type { Config } from '../../index.js';

/** [pos, (head,) width] of a hook point; scores and patterns are [head, query, key]. */
export interface Shape {
  readonly pattern: boolean;
  readonly heads: number | null;
  readonly width: number;
}

/** The shape of a hook point's activation. */
export function shapeOf(name: string, { nHeads, dModel, dHead, dMlp }: Config): Shape {
  const last = name.slice(name.lastIndexOf('.') + 1).replace('hook_', '');
  const at = (heads: number | null, width: number): Shape => ({ pattern: false, heads, width });
  if (last === 'pattern' || last === 'attn_scores') return { pattern: true, heads: nHeads, width: 0 };
  if (last === 'scale') return at(null, 1);
  if (last === 'normalized') return at(null, name.includes('.mlp.') ? dMlp : dModel);
  if (['q', 'k', 'v', 'z'].includes(last)) return at(nHeads, dHead);
  if (['result', 'attn_in', 'q_input', 'k_input', 'v_input'].includes(last)) return at(nHeads, dModel);
  if (['pre', 'post', 'mid'].includes(last)) return at(null, dMlp);
  return at(null, dModel);
}

/** Does the number of this key count for the query? Scores are masked after a hook; weights are used as they are. */
export const counts = (name: string, query: number, key: number): boolean =>
  key <= query || name.endsWith('hook_pattern');
