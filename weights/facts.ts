/**
 * Of which parts a model's block is made, layer by layer: what the engine composes a block of, what the hook
 * points are told by, and what methods ask instead of asking for a family. `Config` holds the same settings
 * flat, as they are written in a file; `blockFacts(config, layer)` says what they mean for one layer.
 *
 * What stands outside the blocks: `config.embedScale` multiplies the tokens' embedding (not the unembedding,
 * where they are one matrix), `config.outputLogitsSoftCap` caps logits as C·tanh(x / C),
 * `config.tieWordEmbeddings` tells whether W_U is W_E.
 */

import type { ActFn, AttentionDir, Config } from './config.js';
import { type NormFacts, normAt } from './norm.js';
import { type Rotary, type RotaryTable, rotaryTable } from './rotary.js';

/** Where a block learns of positions. */
export type PositionFacts =
  /**
   * Learned, added to the residual stream before the first block (`standard`) or to what queries and keys
   * read.
   */
  | { readonly kind: 'standard' | 'shortformer' }
  /** Queries and keys turn, behind their norms; layers with the same frequencies share the `table` object. */
  | ({ readonly kind: 'rotary'; readonly table: RotaryTable } & Pick<Rotary, 'pairs' | 'dims'>)
  | { readonly kind: 'none' };

/** What attention does in a layer. */
export interface AttentionFacts {
  readonly heads: number;
  /** Heads of keys and values: query head h reads number ⌊h · kvHeads / heads⌋. */
  readonly kvHeads: number;
  readonly dHead: number;
  readonly direction: AttentionDir;
  /** A query sees this many positions, its own the last of them; null: all up to its own. */
  readonly window: number | null;
  /** Scores are multiplied by it. */
  readonly scale: number;
  /** Scores s become C·tanh(s / C), behind the scale and before the mask; null: as they are. */
  readonly softCap: number | null;
  /**
   * Of queries and keys, before they turn: along each head, or along all heads together (`width`); null:
   * none.
   */
  readonly qkNorm: { readonly along: 'head' | 'width'; readonly facts: NormFacts } | null;
  /** Whether the checkpoint has biases of q, k and v, and of the output. */
  readonly biases: { readonly qkv: boolean; readonly out: boolean };
}

/** What the MLP does. */
export interface MlpFacts {
  /** Neurons. */
  readonly width: number;
  readonly activation: ActFn;
  /** act(x·W_gate) ∘ (x·W_in) instead of act(x·W_in). */
  readonly gated: boolean;
  /** Whether the checkpoint has biases. */
  readonly biases: boolean;
}

/** The parts of one block. */
export interface BlockFacts {
  /** Attention first, then the MLP of the sum; or both from the same residual stream, added together. */
  readonly order: 'sequential' | 'parallel';
  /**
   * Norms of what attention and MLP read; null: none. Where they are the same norm (parallel blocks with
   * one), `mlp` is null and `shared` true: the MLP reads what ln1 gives.
   */
  readonly before: {
    readonly attn: NormFacts | null;
    readonly mlp: NormFacts | null;
    readonly shared: boolean;
  };
  /**
   * Norms of what attention and MLP write, before it is added (ln1_post, ln2_post; OLMo-2 calls them ln1,
   * ln2); null: none.
   */
  readonly behind: { readonly attn: NormFacts | null; readonly mlp: NormFacts | null };
  readonly positions: PositionFacts;
  readonly attention: AttentionFacts;
  /** Null: attention only. */
  readonly mlp: MlpFacts | null;
}

/** Attention or the MLP of a block. */
export type BlockPart = 'attn' | 'mlp';

/** The norm through which a part of a block reads the residual stream; null: none. */
export function normBefore(config: Config, layer: number, part: BlockPart): 'ln1' | 'ln2' | null {
  const { before } = blockFacts(config, layer);
  if (part === 'attn' || before.shared) return before.attn && 'ln1';
  return before.mlp && 'ln2';
}

/** The norm that what a part of a block writes passes before it is added; null: none. */
export function normBehind(
  config: Config,
  layer: number,
  part: BlockPart,
): 'ln1' | 'ln1_post' | 'ln2' | 'ln2_post' | null {
  const { before, behind } = blockFacts(config, layer);
  if (!behind[part]) return null;
  const name = part === 'attn' ? 'ln1' : 'ln2';
  return before[part] ? `${name}_post` : name;
}

const known = new WeakMap<Config, BlockFacts[]>();
const tables = new WeakMap<Rotary, Map<boolean, RotaryTable>>();

/** The parts of block `layer`. The same configuration and layer give the same object. */
export function blockFacts(config: Config, layer: number): BlockFacts {
  let all = known.get(config);
  if (!all) known.set(config, (all = []));
  return (all[layer] ??= factsOf(config, layer));
}

function factsOf(config: Config, layer: number): BlockFacts {
  const { normPlaces, parallelAttnMlp, sharedNorm, attnOnly } = config;
  const [ln1, ln2] = [normAt(config, 'ln1'), attnOnly ? null : normAt(config, 'ln2')];
  const behindOnly = normPlaces === 'behind';
  const window = config.windows?.[layer] ?? null;
  const qkFacts = normAt(config, 'attn.q_norm');
  return {
    order: parallelAttnMlp ? 'parallel' : 'sequential',
    before: { attn: behindOnly ? null : ln1, mlp: behindOnly ? null : ln2, shared: sharedNorm },
    behind: behindOnly
      ? { attn: ln1, mlp: ln2 }
      : { attn: normAt(config, 'ln1_post'), mlp: attnOnly ? null : normAt(config, 'ln2_post') },
    positions: positionsOf(config, window !== null),
    attention: {
      heads: config.nHeads,
      kvHeads: config.nKeyValueHeads,
      dHead: config.dHead,
      direction: config.attentionDir,
      window,
      scale: scoreScale(config, layer),
      softCap: config.attnScoresSoftCap,
      qkNorm: qkFacts && config.qkNorm !== 'none' ? { along: config.qkNorm, facts: qkFacts } : null,
      biases: { qkv: config.qkvBias, out: config.outBias },
    },
    mlp: attnOnly
      ? null
      : {
          width: config.dMlp,
          activation: config.actFn,
          gated: config.gatedMlp,
          biases: config.mlpBias,
        },
  };
}

/** What the scores of a layer are multiplied by. */
function scoreScale(config: Config, layer: number): number {
  const inverseLayer = config.scaleAttnByInverseLayerIdx ? 1 / (layer + 1) : 1;
  const { scoreScale: own, scaleAttn, dHead } = config;
  return (own ?? (scaleAttn ? 1 / Math.sqrt(dHead) : 1)) * inverseLayer;
}

function positionsOf({ positionEmbedding, rotary }: Config, windowed: boolean): PositionFacts {
  if (positionEmbedding !== 'rotary') return { kind: positionEmbedding };
  if (!rotary) throw new Error("positionEmbedding is 'rotary', and the configuration has no rotary");
  const own = windowed && rotary.windowed !== null;
  let made = tables.get(rotary);
  if (!made) tables.set(rotary, (made = new Map()));
  let table = made.get(own);
  if (!table) made.set(own, (table = rotaryTable(rotary, own)));
  return { kind: 'rotary', pairs: rotary.pairs, dims: rotary.dims, table };
}
