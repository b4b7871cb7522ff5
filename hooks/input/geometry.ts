/** What an intervention must know of a hook point: its axes, and when a change there reaches other positions. */

import type { Config } from '../../weights/config.js';
import { isPattern, layerOf } from './names.js';

/** Half a block, the embedding before all blocks, or the layer norm behind them. */
export type Half = 'embed' | 'attention' | 'mlp' | 'final';

/** Where a hook point is, and how its numbers lie: [pos, (head,) width], or [head, query, key] for patterns. */
export interface Geometry {
  readonly name: string;
  readonly layer: number | null;
  readonly half: Half;
  /** Scores and patterns: [head, query, key]. */
  readonly pattern: boolean;
  /** Heads, or null where there is no such axis. */
  readonly heads: number | null;
  /** Length of the last axis; 0 for patterns, where it is the number of keys. */
  readonly width: number;
  /** True when a change at one position reaches later ones within the same half block: keys and values do. */
  readonly spreads: boolean;
}

const MLP_HALF =
  /\.(hook_resid_mid|hook_mlp_in|ln2\.hook_\w+|mlp\.(ln\.)?hook_\w+|hook_mlp_out|hook_resid_post)$/;
const HEAD_INPUT = /\.hook_(attn_in|[qkv]_input)$/;
const PER_HEAD = /\.attn\.hook_(q|k|v|z|result)$/;
const SPREADS = /\.(hook_resid_pre|hook_attn_in|hook_[kv]_input|ln1\.hook_\w+|attn\.hook_[kv])$/;

/** Is it one of the on-demand inputs of attention, [pos, head, dModel]? */
export const isHeadInput = (name: string): boolean => HEAD_INPUT.test(name);

/** The geometry of a hook point; the name must be one of the model's. */
export function geometryOf(name: string, config: Config): Geometry {
  const { nHeads, dModel, dHead, dMlp } = config;
  const layer = layerOf(name);
  const pattern = isPattern(name);
  const width = pattern
    ? 0
    : /\.hook_scale$/.test(name)
      ? 1
      : /\.mlp\.(ln\.)?hook_/.test(name)
        ? dMlp
        : /\.attn\.hook_[qkvz]$/.test(name)
          ? dHead
          : dModel;
  return {
    name,
    layer,
    half:
      layer !== null
        ? MLP_HALF.test(name)
          ? 'mlp'
          : 'attention'
        : name.startsWith('ln_final')
          ? 'final'
          : 'embed',
    pattern,
    heads: pattern || HEAD_INPUT.test(name) || PER_HEAD.test(name) ? nHeads : null,
    width,
    spreads: SPREADS.test(name),
  };
}

/** Halves in order of execution: 0 the embedding, then two a layer, then the final layer norm. */
export const halfIndex = ({ half, layer }: Pick<Geometry, 'half' | 'layer'>, nLayers: number): number =>
  half === 'embed' ? 0 : half === 'final' ? 2 * nLayers + 1 : 1 + 2 * layer! + (half === 'mlp' ? 1 : 0);
