/**
 * How activations lie, and which of their numbers the model uses, written down for the tests by the
 * documentation of hook points: nothing of it comes from the library.
 */
import type { Config } from '../../index.js';

/** [pos, (head,) width] of a hook point; scores and patterns are [head, query, key]. */
export interface Shape {
  readonly pattern: boolean;
  readonly heads: number | null;
  readonly width: number;
}

/** The shape of a hook point's activation. */
export function shapeOf(name: string, config: Config): Shape {
  const { nHeads, nKeyValueHeads, dModel, dHead, dMlp } = config;
  const last = name.slice(name.lastIndexOf('.') + 1).replace('hook_', '');
  const at = (heads: number | null, width: number): Shape => ({ pattern: false, heads, width });
  if (last === 'pattern' || last === 'attn_scores') return { pattern: true, heads: nHeads, width: 0 };
  if (/\.attn\.[qk]_norm\./.test(name)) {
    const heads = name.includes('q_norm') ? nHeads : nKeyValueHeads;
    const whole = config.qkNorm === 'width';
    if (last === 'scale') return at(whole ? null : heads, 1);
    return whole ? at(null, heads * dHead) : at(heads, dHead);
  }
  if (last === 'scale') return at(null, 1);
  if (last === 'normalized') return at(null, name.includes('.mlp.') ? dMlp : dModel);
  if (['q', 'rot_q', 'z'].includes(last)) return at(nHeads, dHead);
  if (['k', 'v', 'rot_k'].includes(last)) return at(nKeyValueHeads, dHead);
  if (['result', 'attn_in', 'q_input'].includes(last)) return at(nHeads, dModel);
  if (['k_input', 'v_input'].includes(last)) return at(nKeyValueHeads, dModel);
  if (['pre', 'pre_linear', 'post', 'mid'].includes(last)) return at(null, dMlp);
  return at(null, dModel);
}

/**
 * Does the number of this key count for the query? Scores are masked after a hook; weights are used as they
 * are.
 */
export const counts = (name: string, query: number, key: number): boolean =>
  key <= query || name.endsWith('hook_pattern');
