/**
 * What a user may say for hook points: full names, names without their layer, TransformerLens' shorthands and
 * aliases, regular expressions and functions. Which points there are is told by
 * `engine/transformer/points.ts`.
 */

import { type Point, type Points, pointsOf } from '../../engine/transformer/model-points.js';
import { type HookPoint, pointTable, splitName } from '../../engine/transformer/points.js';
import { isRegExp } from '../../weights/checks/kinds.js';
import { quoted } from '../../weights/checks/messages.js';
import type { Config } from '../../weights/config.js';
import { is, optional, options, signatures } from './check.js';

/** What a user may say for a set of hook points. */
export type NameFilter =
  | HookPoint
  | (string & {})
  | RegExp
  | ((name: string) => boolean)
  | readonly (HookPoint | (string & {}) | RegExp)[];

/**
 * What is written where hook points are named. A text that TypeScript knows must be able to be one: a
 * misspelt one is a type error. Texts that are known only when the program runs are checked then.
 */
export type Spelled<T> = [NameFilter] extends [T] ? T : Spell<T>;
type Spell<T> = T extends string
  ? string extends T
    ? T
    : T extends HookPoint | 'logits'
      ? T
      : [Extract<HookPoint, T>] extends [never]
        ? HookPoint
        : T
  : T extends readonly unknown[]
    ? { readonly [I in keyof T]: Spell<T[I]> }
    : T;
/** Hooks whose points are spelled so. */
export type SpelledHooks<H> = H extends readonly unknown[]
  ? { readonly [I in keyof H]: H[I] extends readonly [infer N, infer F] ? readonly [Spelled<N>, F] : H[I] }
  : H;
/** Options of a run whose hook points are spelled so: `names`, and those of `hooks`. */
export type SpelledOptions<Options, N, H> = Omit<Options, 'names' | 'hooks'> & {
  readonly names?: N;
  readonly hooks?: H;
} & { readonly names?: Spelled<N>; readonly hooks?: SpelledHooks<H> };

const takes = signatures({
  hookNames: { config: is.config, options: options<{ onDemand?: boolean }>({ onDemand: is.boolean }) },
  actName: { name: is.text, layer: optional(is.layer), layerType: optional(is.layerType) },
});

/**
 * All hook points of a model in order of execution. GPT-2 small has 208 without the on-demand ones.
 * `unembed.hook_out`, which can only be read, is not among them.
 */
export const hookNames = takes.hookNames(function hookNames(
  config: Config,
  { onDemand = true }: { onDemand?: boolean } = {},
): string[] {
  const points = pointsOf(config);
  return [...(onDemand ? points.names : points.always)];
});

const LAYER_TYPES: Record<string, string> = {
  a: 'attn',
  m: 'mlp',
  b: '',
  block: '',
  blocks: '',
  attention: 'attn',
};

/** What a shorthand names: `z` is `attn.hook_z`. Points of norms are told by the layer type. */
const shorthands = new Map<string, string>();
for (const { name, shorthands: more = [] } of [...pointTable.attention, ...pointTable.mlp]) {
  const parts = name.split('.');
  const short = parts.at(-1)!.replace('hook_', '');
  if (parts.length === 2 && (parts[0] === 'attn' || parts[0] === 'mlp')) shorthands.set(short, name);
  for (const other of more) shorthands.set(other, name);
}

/**
 * TransformerLens' `get_act_name`: the hook point that a shorthand names.
 * @param layer negative layers count from the end only where a model resolves them (`cache.get`)
 * @param layerType `'ln1'`, `'ln2'` for scale and normalized; `'a'`, `'m'` and the like are accepted
 * @example actName('resid_mid', 4) // blocks.4.hook_resid_mid
 * @example actName('k6a') // blocks.6.attn.hook_k
 * @example actName('scale', 2, 'ln1') // blocks.2.ln1.hook_scale
 */
export const actName = takes.actName(function actName(
  name: string,
  layer?: number | null,
  layerType?: string | null,
): string {
  if (name.includes('.'))
    return layer == null || name.startsWith('blocks.') ? name : `blocks.${layer}.${name}`;
  if (name.startsWith('hook_') && layer == null) return name;
  const compact = /^([a-z]+)(\d+)([a-z]?.*)$/.exec(name);
  if (compact && layer == null) return actName(compact[1], Number(compact[2]), compact[3] || layerType);
  const bare = name.startsWith('hook_') ? name.slice('hook_'.length) : name;
  const local = shorthands.get(bare);
  if (layer == null) {
    if (bare === 'scale' || bare === 'normalized') return `ln_final.hook_${bare}`;
    return `hook_${local?.split('hook_')[1] ?? bare}`;
  }
  if (local) return `blocks.${layer}.${local}`;
  const type = layerType == null ? '' : (LAYER_TYPES[layerType] ?? layerType);
  return `blocks.${layer}.${type ? `${type}.` : ''}hook_${bare}`;
});

/** The full name of what `cache.get` is asked for; an alias has the classic name. @throws when there is no such layer. */
export function cachedName(
  points: Points,
  name: string,
  layer?: number | null,
  layerType?: string | null,
): string {
  if (name === 'logits') return name; // of a run with gradients
  const { nLayers } = points.config;
  if (layer != null && (!Number.isInteger(layer) || layer < -nLayers || layer >= nLayers))
    throw new Error(
      `layer ${layer}: this model has ${nLayers} layers (0–${nLayers - 1}, or negative from the end)`,
    );
  const full = actName(name, layer != null && layer < 0 ? layer + nLayers : layer, layerType);
  return points.get(full)?.name ?? full;
}

/** The model's hook point of that full name or alias, else an Error that says what is wrong with it. */
export function pointNamed(name: string, points: Points): Point {
  const found = points.get(name);
  if (found) return found;
  const { layer, local } = splitName(name);
  const { nLayers } = points.config;
  if (layer !== null && layer >= nLayers)
    throw new Error(`hook ${quoted(name)}: this model has ${nLayers} layers (0–${nLayers - 1})`);
  const missing = points.missing(local);
  if (missing) throw new Error(`hook ${quoted(name)}: this model ${missing}`);
  const known = [...points].flatMap((p) =>
    p.layer === null ? p.name : p.layer === 0 ? `blocks.{l}.${p.local}` : [],
  );
  throw new Error(`hook ${quoted(name)}: no such hook point. This model has: ${known.join(', ')}`);
}

/**
 * @throws when a text names a point as the copy that TransformerLens keeps of it, and a change there would do
 * more than it says.
 */
export function checkNoCopy(at: NameFilter, points: Points): void {
  const copied = typeof at === 'string' ? points.copied(splitName(actName(at)).local) : undefined;
  if (copied !== undefined)
    throw new Error(
      `hook ${quoted(String(at))}: attention and MLP read through one norm, so it cannot be changed for the MLP alone; take "${copied}", which both read`,
    );
}

/** @throws when a point can only be read. */
export function checkChangeable({ name, row }: Point): void {
  if (row.readOnly) throw new Error(`hook "${name}" can be read and not changed: ${row.readOnly}`);
}

/**
 * The hook point of block `layer`: `at` is a name without its layer, a shorthand or an alias. @throws when
 * there is none.
 */
export function pointIn(at: string, layer: number, points: Points): Point {
  const own = known(points).inLayer(at);
  return (own[layer] ??= pointNamed(actName(at, layer), points));
}

/** Whether a name needs no layer: it is a full one, or that of a point outside the blocks. */
export function isWhole(at: string, points: Points): boolean {
  if (splitName(at).layer !== null) return true;
  return (points.get(at) ?? points.get(`hook_${at}`))?.layer === null;
}

/** The hook points that a string names, as `matchPoints`; empty where it names none. */
export const findPoints = (name: string, points: Points): readonly Point[] => known(points).named(name);

/**
 * The hook points that a filter names. A string is a full name, a name without its layer (`hook_resid_pre`,
 * `attn.hook_z`: all layers), or a shorthand (`resid_pre`, `z`, `k6a`). Order of execution.
 * @throws when it names none.
 */
export function matchPoints(filter: NameFilter, points: Points): readonly Point[] {
  if (typeof filter === 'function' || isRegExp(filter)) {
    const test = typeof filter === 'function' ? filter : (n: string) => n.search(filter) >= 0;
    const found = [...points].filter(({ name }) => test(name));
    if (!found.length)
      throw new Error(
        `no hook point matches ${typeof filter === 'function' ? 'the given function' : String(filter)}`,
      );
    return found;
  }
  if (typeof filter === 'string') {
    const found = findPoints(filter, points);
    return found.length ? found : [pointNamed(filter, points)]; // which says what is wrong
  }
  const wanted = new Set(filter.flatMap((f) => matchPoints(f, points)));
  if (!wanted.size) throw new Error('an empty list names no hook point');
  return [...wanted].sort((a, b) => a.order - b.order);
}

/** The names of the hook points that a filter names, as `matchPoints`. */
export const matchNames = (filter: NameFilter, points: Points): string[] =>
  matchPoints(filter, points).map(({ name }) => name);

/** What strings were found to mean in a model: each is looked for once. */
class Known {
  readonly #points: Points;
  readonly #names = new Map<string, readonly Point[]>();
  readonly #layers = new Map<string, Point[]>();

  constructor(points: Points) {
    this.#points = points;
  }

  inLayer(at: string): Point[] {
    let found = this.#layers.get(at);
    if (!found) this.#layers.set(at, (found = []));
    return found;
  }

  named(filter: string): readonly Point[] {
    let found = this.#names.get(filter);
    if (!found) this.#names.set(filter, (found = this.#find(filter)));
    return found;
  }

  #find(filter: string): readonly Point[] {
    const points = this.#points;
    const exact = points.get(filter) ?? points.get(actName(filter));
    if (exact) return [exact];
    if (splitName(filter).layer !== null) return [];
    const local = splitName(actName(filter, 0)).local;
    const copied = points.copied(filter) ?? points.copied(local);
    const whole = [...points].filter(
      (p) => [filter, local, copied].includes(p.local) || p.row.aliases?.includes(filter),
    );
    return whole.length ? whole : [...points].filter((p) => p.local.split('.').at(-1) === filter);
  }
}

const found = new WeakMap<Points, Known>();
function known(points: Points): Known {
  let own = found.get(points);
  if (!own) found.set(points, (own = new Known(points)));
  return own;
}
