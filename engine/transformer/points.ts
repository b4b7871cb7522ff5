/**
 * Hook points: the one place that knows them. The table says of each its name, its axes, in which step of a pass its
 * activation is made, what a change of it reaches, and which models have it. Names, shorthands, the axes that a user
 * sees, the planning of sweeps and the README's table come from here; the forward pass calls `tap.at` with these names
 * in this order. Names and axes are TransformerLens'. A new point is one line here and one in the forward pass.
 *
 * A pass through L layers has 2L + 2 steps: 0 the embedding, 1 + 2l attention of layer l, 2 + 2l its MLP, 2L + 1 the
 * final norm. The rows of a sweep may join before every step. Parallel blocks do all in step 1 + 2l.
 */

import type { Config } from '../../weights/config.js';
import { hasNorms } from '../../weights/norm.js';
import type { AxisName } from '../shape/axes.js';

/** A part of a pass. */
export type Step = 'embedding' | 'attention' | 'mlp' | 'final';

/** What the table says of a hook point; of one in a block, `name` and `aliases` lack `blocks.{l}.`. */
export interface PointRow {
  readonly name: string;
  /** Those behind `batch`; null: an axis without a name, of length 1. */
  readonly axes: readonly AxisName[];
  /** A change at one position reaches later ones within the step where it is applied, as that of a key or value does. */
  readonly reachesLater?: boolean;
  /** A change is applied before the next step instead of in the point's own: rows that join there come by it, too. */
  readonly joinsNext?: boolean;
  /** Made only when somebody asks for it, since it costs work. */
  readonly onDemand?: boolean;
  /** An input of single heads: where one is changed, the norm before attention runs once a head. */
  readonly headInput?: boolean;
  /** Of the norm that runs once a head where an input of single heads is changed. */
  readonly beforeHeads?: boolean;
  /** Its heads are those of keys and values, of which there may be fewer. */
  readonly keyValue?: boolean;
  /** Where a query may not look it is −∞, before and after a change: attention scores. */
  readonly masked?: boolean;
  /** What a change puts on keys behind the query counts: patterns. */
  readonly weighsKeys?: boolean;
  /** Why it can only be read: changes are refused with these words. Such a point is named in full, and on no list. */
  readonly readOnly?: string;
  /** No point of its own: the name reads this point of the same block, which TransformerLens keeps twice. */
  readonly copyOf?: string;
  /** All must hold of a model that has the point. Default: none, every model has it. */
  readonly when?: readonly Condition[];
  /** Shorthands of TransformerLens besides the name's last part without `hook_`. */
  readonly shorthands?: readonly string[];
  /** Names of the same activation in TransformerLens 4. */
  readonly aliases?: readonly string[];
}

/** The table: hook points of each step, in order of execution. */
export type PointTable = Readonly<Record<Step, readonly PointRow[]>>;

/** What a hook point may ask of a model, and how a model is that does not have it. */
const conditions = {
  mlp: { holds: (c: Config) => !c.attnOnly, otherwise: 'has no MLPs (attention only)' },
  norms: { holds: (c: Config) => hasNorms(c), otherwise: 'has no norms' },
  normsBefore: {
    holds: (c: Config) => c.normPlaces !== 'behind',
    otherwise: 'has norms only behind attention and MLP',
  },
  normsBehind: {
    holds: (c: Config) => c.normPlaces === 'behind',
    otherwise: 'has norms before attention and MLP',
  },
  normsAround: {
    holds: (c: Config) => c.normPlaces === 'both',
    otherwise: 'has no norms behind attention and MLP',
  },
  mlpNorm: {
    holds: (c: Config) => c.actFn === 'solu_ln',
    otherwise: 'has no norm in its MLPs (solu_ln has one)',
  },
  headNorms: {
    holds: (c: Config) => c.qkNorm === 'head',
    otherwise: 'has no norms of the queries and keys of single heads',
  },
  joinedNorms: {
    holds: (c: Config) => c.qkNorm === 'width',
    otherwise: 'has no norms of the queries and keys of all heads together',
  },
  ownNorm: {
    holds: (c: Config) => !c.sharedNorm,
    otherwise: 'reads attention and MLP through one norm, ln1',
  },
  oneNorm: {
    holds: (c: Config) => c.sharedNorm,
    otherwise: 'has a norm of its own before its MLPs',
  },
  learned: {
    holds: ({ positionEmbedding: p }: Config) => p === 'standard' || p === 'shortformer',
    otherwise: 'has no position embeddings',
  },
  rotary: {
    holds: (c: Config) => c.positionEmbedding === 'rotary',
    otherwise: 'does not rotate queries and keys',
  },
  gated: { holds: (c: Config) => c.gatedMlp, otherwise: 'has MLPs without a gate' },
  sequential: {
    holds: (c: Config) => !c.parallelAttnMlp,
    otherwise: 'adds attention and MLP to the same residual stream: nothing is between them',
  },
  ungrouped: {
    holds: (c: Config) => c.nKeyValueHeads === c.nHeads,
    otherwise:
      'has fewer key and value heads than query heads: take hook_q_input, hook_k_input or hook_v_input',
  },
} as const;
type Condition = keyof typeof conditions;

/** Why a model lacks a hook point of the table, "has no MLPs (attention only)", or null: it has it. */
export function lacking({ when = [] }: PointRow, config: Config): string | null {
  const failed = when.find((condition) => !conditions[condition].holds(config));
  return failed ? conditions[failed].otherwise : null;
}

/** Marks of rows. */
const [reachesLater, joinsNext, onDemand, headInput, keyValue] = [true, true, true, true, true];
const STREAM = ['pos', 'd_model'] as const;
const STREAM_OF_HEADS = ['pos', 'head', 'd_model'] as const;
const HEADS = ['pos', 'head', 'd_head'] as const;
/** Of all heads together. */
const ALL_HEADS = ['pos', 'd_heads'] as const;
const NEURONS = ['pos', 'd_mlp'] as const;
const PATTERN = ['head', 'query', 'key'] as const;

/** The hook points of a norm along the last of some axes. */
const norm = <const N extends string>(
  name: N,
  axes: readonly AxisName[],
  { when = [], ...more }: Omit<PointRow, 'name' | 'axes'> = {},
) => {
  // MLPs are asked for first: a model without them lacks the norm before them for that reason.
  const rest = {
    ...more,
    when: [...when.filter((c) => c === 'mlp'), 'norms' as const, ...when.filter((c) => c !== 'mlp')],
  };
  const point = <const P extends string>(part: P, own: readonly AxisName[]) => ({
    ...{ name: `${name}.${part}` as const, axes: own, ...rest },
    copyOf: rest.copyOf && `${rest.copyOf}.${part}`,
  });
  return [point('hook_scale', [...axes.slice(0, -1), null]), point('hook_normalized', axes)] as const;
};

const points = {
  embedding: [
    { name: 'hook_embed', axes: STREAM, reachesLater, aliases: ['embed.hook_out'] },
    {
      name: 'hook_pos_embed',
      axes: STREAM,
      reachesLater,
      when: ['learned'],
      aliases: ['pos_embed.hook_out'],
    },
  ],
  attention: [
    { name: 'hook_resid_pre', axes: STREAM, reachesLater, aliases: ['hook_in'] },
    { name: 'hook_attn_in', axes: STREAM_OF_HEADS, reachesLater, onDemand, headInput, when: ['ungrouped'] },
    { name: 'hook_q_input', axes: STREAM_OF_HEADS, onDemand, headInput },
    { name: 'hook_k_input', axes: STREAM_OF_HEADS, reachesLater, onDemand, headInput, keyValue },
    { name: 'hook_v_input', axes: STREAM_OF_HEADS, reachesLater, onDemand, headInput, keyValue },
    ...norm('ln1', STREAM, { reachesLater, beforeHeads: true, when: ['normsBefore'] }),
    { name: 'attn.hook_q', axes: HEADS, shorthands: ['query'], aliases: ['attn.q.hook_out'] },
    {
      name: 'attn.hook_k',
      axes: HEADS,
      reachesLater,
      keyValue,
      shorthands: ['key'],
      aliases: ['attn.k.hook_out'],
    },
    {
      name: 'attn.hook_v',
      axes: HEADS,
      reachesLater,
      keyValue,
      shorthands: ['value'],
      aliases: ['attn.v.hook_out'],
    },
    ...norm('attn.q_norm', HEADS, { when: ['headNorms'] }),
    ...norm('attn.q_norm', ALL_HEADS, { when: ['joinedNorms'] }),
    ...norm('attn.k_norm', HEADS, { reachesLater, keyValue, when: ['headNorms'] }),
    ...norm('attn.k_norm', ALL_HEADS, { reachesLater, keyValue, when: ['joinedNorms'] }),
    { name: 'attn.hook_rot_q', axes: HEADS, when: ['rotary'] },
    { name: 'attn.hook_rot_k', axes: HEADS, reachesLater, keyValue, when: ['rotary'] },
    { name: 'attn.hook_attn_scores', axes: PATTERN, masked: true, shorthands: ['attn_logits'] },
    { name: 'attn.hook_pattern', axes: PATTERN, weighsKeys: true, shorthands: ['attn'] },
    { name: 'attn.hook_z', axes: HEADS, aliases: ['attn.o.hook_in'] },
    { name: 'attn.hook_result', axes: STREAM_OF_HEADS, onDemand },
    ...norm('ln1', STREAM, { when: ['normsBehind'] }),
    ...norm('ln1_post', STREAM, { when: ['normsAround'] }),
    { name: 'hook_attn_out', axes: STREAM, aliases: ['attn.hook_out'] },
  ],
  mlp: [
    { name: 'hook_resid_mid', axes: STREAM, when: ['mlp', 'sequential'], aliases: ['ln2.hook_in'] },
    { name: 'hook_mlp_in', axes: STREAM, onDemand, when: ['mlp'] },
    ...norm('ln2', STREAM, { when: ['mlp', 'normsBefore', 'ownNorm'] }),
    ...norm('ln2', STREAM, { when: ['mlp', 'normsBefore', 'oneNorm'], copyOf: 'ln1' }),
    {
      name: 'mlp.hook_pre',
      axes: NEURONS,
      when: ['mlp'],
      shorthands: ['mlp_pre'],
      aliases: ['mlp.in.hook_out'],
    },
    { name: 'mlp.hook_pre_linear', axes: NEURONS, when: ['mlp', 'gated'] },
    { name: 'mlp.hook_mid', axes: NEURONS, when: ['mlp', 'mlpNorm'], shorthands: ['mlp_mid'] },
    ...norm('mlp.ln', NEURONS, { when: ['mlp', 'mlpNorm'] }),
    {
      name: 'mlp.hook_post',
      axes: NEURONS,
      when: ['mlp'],
      shorthands: ['mlp_post'],
      aliases: ['mlp.out.hook_in'],
    },
    ...norm('ln2', STREAM, { when: ['mlp', 'normsBehind'] }),
    ...norm('ln2_post', STREAM, { when: ['mlp', 'normsAround'] }),
    { name: 'hook_mlp_out', axes: STREAM, when: ['mlp'], aliases: ['mlp.hook_out'] },
    { name: 'hook_resid_post', axes: STREAM, reachesLater, joinsNext, aliases: ['hook_out'] },
  ],
  final: [
    ...norm('ln_final', STREAM),
    { name: 'unembed.hook_in', axes: STREAM, onDemand },
    {
      name: 'unembed.hook_out',
      axes: ['pos', 'd_vocab'],
      onDemand,
      readOnly: 'logits are computed only as far as a metric reads them: change unembed.hook_in',
    },
  ],
} as const satisfies PointTable;

/** All hook points that a model may have. */
export const pointTable: PointTable = points;

/** The name of a hook point in a block, without `blocks.{l}.`. */
export type BlockPointName = (typeof points)['attention' | 'mlp'][number]['name'];
/** The full name of a hook point. */
export type PointName =
  | (typeof points)['embedding' | 'final'][number]['name']
  | `blocks.${number}.${BlockPointName}`;

/** The rows of the table that stand in blocks, and those that do not. */
type BlockRow = (typeof points)['attention' | 'mlp'][number];
type OuterRow = (typeof points)['embedding' | 'final'][number];
/** The names that some rows give in a field that is a list. */
type Listed<Row, Field extends string> = Row extends {
  readonly [F in Field]: readonly (infer N extends string)[];
}
  ? N
  : never;
/** `hook_z` of `attn.hook_z`. */
type LastPart<N extends string> = N extends `${string}.${infer Rest}` ? LastPart<Rest> : N;
type Bare<N extends string> = N extends `hook_${infer Rest}` ? Rest : N;
type BareName = Bare<LastPart<BlockRow['name']>>;
/** `hook_in` and `hook_out` are the block's, not the unembedding's. */
type ShortenedName = Exclude<(BlockRow | OuterRow)['name'], `unembed.${string}`>;

/** Names of TransformerLens 4 for the same points. */
export type PointAlias = Listed<OuterRow, 'aliases'> | `blocks.${number}.${Listed<BlockRow, 'aliases'>}`;
/** What stands for a point of every block, or outside them: `attn.hook_z`, `hook_z`, `z`, `query`, `hook_in`. */
export type PointShort =
  | (BlockRow | OuterRow)['name']
  | LastPart<ShortenedName>
  | Bare<LastPart<ShortenedName>>
  | Listed<BlockRow, 'shorthands'>
  | Listed<BlockRow, 'aliases'>;
/** Every way to write a hook point: its full name, an alias, a shorthand, alone or with a layer as in `z3` and `k6a`. */
export type HookPoint =
  | PointName
  | PointAlias
  | PointShort
  | `${BareName | Listed<BlockRow, 'shorthands'>}${number}`
  | `${'q' | 'k' | 'v' | 'z' | 'pattern' | 'attn_scores' | 'result'}${number}a`
  | `${'pre' | 'post'}${number}m`
  | `${'scale' | 'normalized'}${number}${'ln1' | 'ln2'}`;

/** `blocks.3.attn.hook_z`: the full name of a hook point in a block. */
export const pointName = <const N extends BlockPointName>(name: N, layer: number): `blocks.${number}.${N}` =>
  `blocks.${layer}.${name}`;

/** The layer that a name begins with, `blocks.3.…`, and the rest of it; the layer is null outside the blocks. */
export function splitName(name: string): { readonly layer: number | null; readonly local: string } {
  const found = /^blocks\.(\d+)\./.exec(name);
  return found
    ? { layer: Number(found[1]), local: name.slice(found[0].length) }
    : { layer: null, local: name };
}

const classicNames = new Map<string, string>();
for (const row of Object.values(pointTable).flat() as readonly PointRow[])
  for (const alias of row.aliases ?? []) classicNames.set(alias, row.name);

/** A name as results have it: of an alias the classic one (`blocks.1.hook_in` is `blocks.1.hook_resid_pre`). */
export function classicName(name: string): string {
  const { layer, local } = splitName(name);
  const found = classicNames.get(local);
  if (found === undefined) return name;
  return layer === null ? found : `blocks.${layer}.${found}`;
}
