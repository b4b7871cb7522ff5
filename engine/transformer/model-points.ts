/** The hook points of one model: what the table (points.ts) says for its configuration, looked up by name. */

import type { Config } from '../../weights/config.js';
import type { AxisName } from '../shape/axes.js';
import { lacking, type PointRow, type PointTable, pointTable, type Step } from './points.js';

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

/**
 * The hook points of a model: told by its configuration, and looked up by name. Those that can only be read
 * are not listed.
 */
export class Points implements Iterable<Point> {
  /** In order of execution. */
  readonly names: readonly string[];
  /** Those that exist in every run. */
  readonly always: readonly string[];
  readonly config: Config;
  readonly #table: PointTable;
  readonly #listed: readonly Point[];
  readonly #byName: ReadonlyMap<string, Point>;
  readonly #aliases = new Map<string, string>();
  readonly #copies = new Map<string, string>();

  constructor(config: Config, table: PointTable = pointTable) {
    this.config = config;
    this.#table = table;
    const all = layOut(config, table);
    this.#byName = new Map(all.map((point) => [point.name, point]));
    this.#listed = all.filter(({ row }) => row.readOnly === undefined);
    this.names = this.#listed.map(({ name }) => name);
    this.always = this.#listed.filter((point) => !point.onDemand).map(({ name }) => name);
    for (const { layer, row } of all)
      for (const alias of row.aliases ?? [])
        this.#aliases.set(layer === null ? alias : `blocks.${layer}.${alias}`, inBlock(row.name, layer));
    for (const row of [...table.attention, ...table.mlp]) {
      if (row.copyOf === undefined || lacking(row, config) !== null) continue;
      this.#copies.set(row.name, row.copyOf);
      for (let l = 0; l < config.nLayers; l++)
        this.#aliases.set(inBlock(row.name, l), inBlock(row.copyOf, l));
    }
  }

  [Symbol.iterator](): Iterator<Point> {
    return this.#listed.values();
  }

  /** The point of that name (or alias), or undefined. */
  get(name: string): Point | undefined {
    return this.#byName.get(name) ?? this.#byName.get(this.#aliases.get(name) ?? '');
  }

  /**
   * The point that a name, without its layer, is a copy of in TransformerLens, or undefined: `ln1.hook_scale`
   * of `ln2.hook_scale`.
   */
  copied(local: string): string | undefined {
    return this.#copies.get(local);
  }

  /** The same points and more: `table` says which, in each step behind those that are there. */
  with(table: Partial<PointTable>): Points {
    const all = Object.entries(this.#table).map(([step, rows]) => [
      step,
      [...rows, ...(table[step as Step] ?? [])],
    ]);
    return new Points(this.config, Object.fromEntries(all) as PointTable);
  }

  /**
   * Why a name that the table knows, without its layer, is none of this model's, or null: "has no MLPs
   * (attention only)".
   */
  missing(local: string): string | null {
    const row = Object.values(this.#table)
      .flat()
      .find(({ name }) => name === local);
    return row ? lacking(row, this.config) : null;
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
  const add = (rows: readonly PointRow[], layer: number | null, step: number) => {
    for (const row of rows)
      if (row.copyOf === undefined && lacking(row, config) === null)
        out.push(pointAt(config, row, layer, step, out.length));
  };
  add(table.embedding, null, 0);
  for (let l = 0; l < config.nLayers; l++) {
    add(table.attention, l, 1 + 2 * l);
    // Nothing joins between attention and an MLP that reads the same residual stream.
    add(table.mlp, l, (config.parallelAttnMlp ? 1 : 2) + 2 * l);
  }
  add(table.final, null, 2 * config.nLayers + 1);
  return out;
}

function pointAt(config: Config, row: PointRow, layer: number | null, step: number, order: number): Point {
  const heads = row.keyValue ? config.nKeyValueHeads : config.nHeads;
  const lengths: Record<string, number> = {
    d_heads: heads * config.dHead,
    d_model: config.dModel,
    d_head: config.dHead,
    d_mlp: config.dMlp,
    d_vocab: config.dVocabOut,
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
    heads: row.axes.includes('head') ? heads : null,
    width: last === null ? 1 : lengths[last],
    step,
    join: row.joinsNext ? 3 + 2 * layer! : step,
    reachesLater: row.reachesLater ?? false,
    onDemand: row.onDemand ?? false,
  };
}
