/**
 * Hook points: the one place that knows them. The table says of each its name, its axes, in which step of a pass its
 * activation is made, what a change of it reaches, and which models have it. Names, shorthands, the axes that a user
 * sees, the planning of sweeps and the README's table come from here; the forward pass calls `tap.at` with these names
 * in this order. Names and axes are TransformerLens'. A new point is one line here and one in the forward pass.
 *
 * A pass through L layers has 2L + 2 steps: 0 the embedding, 1 + 2l attention of layer l, 2 + 2l its MLP, 2L + 1 the
 * final norm. The rows of a sweep may join before every step.
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
  /** Where a query may not look it is −∞, before and after a change: attention scores. */
  readonly masked?: boolean;
  /** What a change puts on keys behind the query counts: patterns. */
  readonly weighsKeys?: boolean;
  /** All must hold of a model that has the point. Default: none, every model has it. */
  readonly when?: readonly Condition[];
  /** Shorthands of TransformerLens besides the name's last part without `hook_`. */
  readonly shorthands?: readonly string[];
  /** Names of the same activation in TransformerLens 4. */
  readonly aliases?: readonly string[];
}

/** The table: hook points of each step, in order of execution. */
export type PointTable = Readonly<Record<Step, readonly PointRow[]>>;

/** What a hook point may ask of a model, and what a model without it has not. */
const conditions = {
  mlp: { holds: (c: Config) => !c.attnOnly, missing: 'no MLPs (attention only)' },
  norms: { holds: (c: Config) => hasNorms(c), missing: 'no layer norms' },
  mlpNorm: { holds: (c: Config) => c.actFn === 'solu_ln', missing: 'no norm in its MLPs (solu_ln has one)' },
} as const;
type Condition = keyof typeof conditions;

const [reachesLater, joinsNext, onDemand, headInput, weighsKeys] = [true, true, true, true, true];
const STREAM = ['pos', 'd_model'] as const;
const STREAM_OF_HEADS = ['pos', 'head', 'd_model'] as const;
const HEADS = ['pos', 'head', 'd_head'] as const;
const NEURONS = ['pos', 'd_mlp'] as const;
const PATTERN = ['head', 'query', 'key'] as const;
const when = ['mlp'] as const;

/** The hook points of a norm along the last of some axes. */
const norm = <const N extends string>(
  name: N,
  axes: readonly AxisName[],
  { when = [], ...more }: Omit<PointRow, 'name' | 'axes'> = {},
) => {
  const rest = { ...more, when: ['norms' as const, ...when] };
  const scale = `${name}.hook_scale` as const;
  const normalized = `${name}.hook_normalized` as const;
  return [
    { name: scale, axes: [...axes.slice(0, -1), null], ...rest },
    { name: normalized, axes, ...rest },
  ] as const;
};

const points = {
  embedding: [
    { name: 'hook_embed', axes: STREAM, reachesLater, aliases: ['embed.hook_out'] },
    { name: 'hook_pos_embed', axes: STREAM, reachesLater, aliases: ['pos_embed.hook_out'] },
  ],
  attention: [
    { name: 'hook_resid_pre', axes: STREAM, reachesLater, aliases: ['hook_in'] },
    { name: 'hook_attn_in', axes: STREAM_OF_HEADS, reachesLater, onDemand, headInput },
    { name: 'hook_q_input', axes: STREAM_OF_HEADS, onDemand, headInput },
    { name: 'hook_k_input', axes: STREAM_OF_HEADS, reachesLater, onDemand, headInput },
    { name: 'hook_v_input', axes: STREAM_OF_HEADS, reachesLater, onDemand, headInput },
    ...norm('ln1', STREAM, { reachesLater, beforeHeads: true }),
    { name: 'attn.hook_q', axes: HEADS, shorthands: ['query'], aliases: ['attn.q.hook_out'] },
    { name: 'attn.hook_k', axes: HEADS, reachesLater, shorthands: ['key'], aliases: ['attn.k.hook_out'] },
    { name: 'attn.hook_v', axes: HEADS, reachesLater, shorthands: ['value'], aliases: ['attn.v.hook_out'] },
    { name: 'attn.hook_attn_scores', axes: PATTERN, masked: true, shorthands: ['attn_logits'] },
    { name: 'attn.hook_pattern', axes: PATTERN, weighsKeys, shorthands: ['attn'] },
    { name: 'attn.hook_z', axes: HEADS, aliases: ['attn.o.hook_in'] },
    { name: 'attn.hook_result', axes: STREAM_OF_HEADS, onDemand },
    { name: 'hook_attn_out', axes: STREAM, aliases: ['attn.hook_out'] },
  ],
  mlp: [
    { name: 'hook_resid_mid', axes: STREAM, when, aliases: ['ln2.hook_in'] },
    { name: 'hook_mlp_in', axes: STREAM, onDemand, when },
    ...norm('ln2', STREAM, { when }),
    { name: 'mlp.hook_pre', axes: NEURONS, when, shorthands: ['mlp_pre'], aliases: ['mlp.in.hook_out'] },
    { name: 'mlp.hook_mid', axes: NEURONS, when: ['mlp', 'mlpNorm'], shorthands: ['mlp_mid'] },
    ...norm('mlp.ln', NEURONS, { when: ['mlp', 'mlpNorm'] }),
    { name: 'mlp.hook_post', axes: NEURONS, when, shorthands: ['mlp_post'], aliases: ['mlp.out.hook_in'] },
    { name: 'hook_mlp_out', axes: STREAM, when, aliases: ['mlp.hook_out'] },
    { name: 'hook_resid_post', axes: STREAM, reachesLater, joinsNext, aliases: ['hook_out'] },
  ],
  final: [...norm('ln_final', STREAM)],
} as const satisfies PointTable;

/** All hook points that a model may have. */
export const pointTable: PointTable = points;

/** The name of a hook point in a block, without `blocks.{l}.`. */
export type BlockPointName = (typeof points)['attention' | 'mlp'][number]['name'];
/** The full name of a hook point. */
export type PointName =
  | (typeof points)['embedding' | 'final'][number]['name']
  | `blocks.${number}.${BlockPointName}`;

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

/** A hook point of one model. */
export interface Point {
  /** In full: `blocks.3.attn.hook_z`. */
  readonly name: string;
  /** Without `blocks.{l}.`. */
  readonly local: string;
  /** Null outside the blocks. */
  readonly layer: number | null;
  /** Among the model's points, in order of execution. */
  readonly order: number;
  readonly row: PointRow;
  /** As a user sees them: `['batch', 'pos', 'head', 'd_head']`. */
  readonly axes: readonly AxisName[];
  /** Scores and patterns: [batch, head, query, key]. */
  readonly pattern: boolean;
  /** Heads, or null where there is no such axis. */
  readonly heads: number | null;
  /** Length of the last axis; 0 for patterns, where it is the number of keys. */
  readonly width: number;
  /** Number of the step that makes the activation. */
  readonly step: number;
  /** Number of the step in which a change is applied: its own, or the next. */
  readonly join: number;
  /** Whether a change at one position reaches later ones in the step where it is applied. */
  readonly reachesLater: boolean;
  readonly onDemand: boolean;
}

/** The hook points of a model: told by its configuration, and looked up by name. */
export class Points implements Iterable<Point> {
  /** In order of execution. */
  readonly names: readonly string[];
  /** Those that exist in every run. */
  readonly always: readonly string[];
  readonly config: Config;
  readonly #table: PointTable;
  readonly #byName: ReadonlyMap<string, Point>;
  readonly #aliases = new Map<string, string>();

  constructor(config: Config, table: PointTable = pointTable) {
    this.config = config;
    this.#table = table;
    const all = layOut(config, table);
    this.#byName = new Map(all.map((point) => [point.name, point]));
    this.names = all.map(({ name }) => name);
    this.always = all.filter((point) => !point.onDemand).map(({ name }) => name);
    for (const { layer, row } of all)
      for (const alias of row.aliases ?? [])
        this.#aliases.set(layer === null ? alias : `blocks.${layer}.${alias}`, inBlock(row.name, layer));
  }

  [Symbol.iterator](): Iterator<Point> {
    return this.#byName.values();
  }

  /** The point of that name (or alias), or undefined. */
  get(name: string): Point | undefined {
    return this.#byName.get(name) ?? this.#byName.get(this.#aliases.get(name) ?? '');
  }

  /** The same points and more: `table` says which, in each step behind those that are there. */
  with(table: Partial<PointTable>): Points {
    const all = Object.entries(this.#table).map(([step, rows]) => [
      step,
      [...rows, ...(table[step as Step] ?? [])],
    ]);
    return new Points(this.config, Object.fromEntries(all) as PointTable);
  }

  /** Why a name that the table knows, without its layer, is none of this model's, or null: "no MLPs (attention only)". */
  missing(local: string): string | null {
    const row = Object.values(this.#table)
      .flat()
      .find(({ name }) => name === local);
    const failed = row?.when?.find((condition) => !conditions[condition].holds(this.config));
    return failed ? conditions[failed].missing : null;
  }
}

const known = new WeakMap<Config, Points>();

/** The hook points of a model as its configuration tells them; made once for each configuration. */
export function pointsOf(config: Config): Points {
  let points = known.get(config);
  if (!points) known.set(config, (points = new Points(config)));
  return points;
}

const inBlock = (name: string, layer: number | null) => (layer === null ? name : `blocks.${layer}.${name}`);

/** All points of a model in order of execution. */
function layOut(config: Config, table: PointTable): Point[] {
  const out: Point[] = [];
  const holds = ({ when = [] }: PointRow) => when.every((condition) => conditions[condition].holds(config));
  const add = (rows: readonly PointRow[], layer: number | null, step: number) => {
    for (const row of rows) if (holds(row)) out.push(pointAt(config, row, layer, step, out.length));
  };
  add(table.embedding, null, 0);
  for (let l = 0; l < config.nLayers; l++) {
    add(table.attention, l, 1 + 2 * l);
    add(table.mlp, l, 2 + 2 * l);
  }
  add(table.final, null, 2 * config.nLayers + 1);
  return out;
}

function pointAt(config: Config, row: PointRow, layer: number | null, step: number, order: number): Point {
  const lengths: Record<string, number> = {
    d_model: config.dModel,
    d_head: config.dHead,
    d_mlp: config.dMlp,
    key: 0,
  };
  const last = row.axes.at(-1) ?? null;
  return {
    name: inBlock(row.name, layer),
    local: row.name,
    layer,
    order,
    row,
    axes: ['batch', ...row.axes],
    pattern: last === 'key',
    heads: row.axes.includes('head') ? config.nHeads : null,
    width: last === null ? 1 : lengths[last],
    step,
    join: step + (row.joinsNext ? 1 : 0),
    reachesLater: row.reachesLater ?? false,
    onDemand: row.onDemand ?? false,
  };
}
