/** From what a user gives as a base run and its sources to rows of tokens, checked. */

import type { TextInput } from '../../engine/tokens/text.js';
import type { Points } from '../../engine/transformer/model-points.js';
import { shownValue } from '../../weights/checks/kinds.js';
import { ActivationCache } from '../cache/cache.js';
import { readInput } from '../input/input.js';
import type { Model } from '../input/model.js';
import { type Align, type Partners, partnersOf } from '../interventions/alignment.js';
import type { Base, Counterfactual, Intervention, Source } from '../interventions/interventions.js';
import { opensPatterns } from '../interventions/later-keys.js';
import type { RunInfo } from '../interventions/places.js';
import type { MetricReads, Read } from '../run/metric.js';

type Rows = readonly (readonly number[])[];

/** A source as it was read. */
export type ReadSource = RunInfo & { readonly name: string } & (
    | { readonly kind: 'cache'; readonly cache: ActivationCache }
    | { readonly kind: 'tokens'; readonly rows: Rows; readonly interventions: Counterfactual }
    | { readonly kind: 'forks'; readonly counterfactuals: readonly Counterfactual[] }
  );

/** A base run as it was read. */
export interface ReadBase {
  readonly rows: Rows;
  readonly interventions: Counterfactual;
  readonly sources: readonly ReadSource[];
}

const FIELDS = ['input', 'sources', 'interventions', 'prependBos'];
const SOURCE_FIELDS = ['input', 'prependBos', 'align', 'interventions', 'counterfactuals'];

/** @throws an Error that says what is wrong with the base run or which source. */
export function readBase(model: Model, base: Base): ReadBase {
  const given = isInput(base) ? { input: base } : base;
  if (typeof given !== 'object' || given === null || given.input === undefined)
    throw new Error(`base: text, tokens, or { ${FIELDS.join(', ')} } is needed`);
  checkFields(given, FIELDS, 'base');
  const { input, prependBos, interventions = [], sources = {} } = given;
  const tokensOf = (what: string, x: TextInput, bos: boolean | undefined) => {
    try {
      return readInput(model, x, { prependBos: bos }).tokens;
    } catch (e) {
      throw new Error(`${what}: ${(e as Error).message}`);
    }
  };
  const rows = tokensOf('base', input, prependBos);
  const read = Object.entries(sources).map(([name, source]): ReadSource => {
    const what = `source "${name}"`;
    if (name === 'base') throw new Error('a source cannot be called "base": that is the run that is changed');
    if (source instanceof ActivationCache) {
      checkCache(source, model, what);
      const ends = source.layout.rows.map((r) => r.position + r.length);
      return { name, kind: 'cache', cache: source, lengths: ends, cells: null };
    }
    const spec = sourceOf(source, what);
    const { counterfactuals } = spec;
    if (counterfactuals && !Array.isArray(counterfactuals))
      throw new Error(`${what}: counterfactuals: [[{ at, pos, set }], …] is needed, lists of interventions`);
    const cells = counterfactuals?.length ?? null;
    if (counterfactuals) return { name, kind: 'forks', counterfactuals, lengths: lengthsOf(rows), cells };
    const own = tokensOf(what, spec.input!, spec.prependBos ?? prependBos);
    const { interventions = [], align } = spec;
    const partners = align && aligned(align, own, rows, what, name);
    return { name, kind: 'tokens', rows: own, interventions, lengths: lengthsOf(own), cells, partners };
  });
  return { rows, interventions, sources: read };
}

function aligned(align: Align, own: Rows, rows: Rows, what: string, name: string): Partners {
  try {
    return partnersOf(align, own, rows, [name, 'base']);
  } catch (e) {
    throw new Error(`${what}: ${(e as Error).message}`);
  }
}

/** The last position of each prompt, all that predict a token of it, or all. @throws when there are none. */
export function readsOf(rows: Rows, reads: MetricReads): Read[] {
  return rows.flatMap((tokens, row) => {
    if (reads === 'last') return [{ row, pos: tokens.length - 1 }];
    if (reads === 'whole') return tokens.map((_, pos) => ({ row, pos }));
    if (tokens.length < 2) throw new Error(`prompt ${row} has one token: there is nothing to predict in it`);
    return tokens.slice(1).map((_, pos) => ({ row, pos }));
  });
}

/** Number of tokens of each prompt. */
export const lengthsOf = (rows: Rows): number[] => rows.map((tokens) => tokens.length);

/** @throws unless a cache is one of this model's, or of one just like it on the same device. */
function checkCache(cache: ActivationCache, { config, gpu }: Model, what: string): void {
  const [name] = cache.names();
  if (name === undefined) throw new Error(`${what}: the cache holds nothing; was it disposed of?`);
  for (const size of ['nLayers', 'nHeads', 'dModel', 'dHead', 'dMlp'] as const)
    if (cache.config[size] !== config[size])
      throw new Error(
        `${what}: a cache of another model: its ${size} is ${cache.config[size]}, this model's ${config[size]}`,
      );
  if (cache.get(name).gpu !== gpu)
    throw new Error(`${what}: the cache is on another GPU device: run the model that is given here`);
}

const isInput = (x: Base | Source): x is TextInput => typeof x === 'string' || Array.isArray(x);

function sourceOf(
  source: Exclude<Source, ActivationCache>,
  what: string,
): Exclude<Source, TextInput | ActivationCache> {
  if (isInput(source)) return { input: source };
  if (typeof source !== 'object' || source === null)
    throw new Error(
      `${what}: text, tokens, a cache or { input, interventions } is needed, not ${shownValue(source)}`,
    );
  checkFields(source, SOURCE_FIELDS, what);
  if ((source.input === undefined) === (source.counterfactuals === undefined))
    throw new Error(`${what}: exactly one of \`input\` and \`counterfactuals\` is needed`);
  if (source.align !== undefined && source.counterfactuals)
    throw new Error(`${what}: \`align\` goes with \`input\`: counterfactuals have the base's positions`);
  return source;
}

function checkFields(given: object, fields: readonly string[], what: string): void {
  const unknown = Object.keys(given).find((f) => !fields.includes(f));
  if (unknown !== undefined)
    throw new Error(`${what}: there is no field "${unknown}" in { ${fields.join(', ')} }`);
}

/** The runs whose patterns may have weight on later keys, the base run as `base`. Caches may hold anything. */
export function openRuns(
  base: readonly Intervention[],
  sources: readonly ReadSource[],
  points: Points,
): Set<string> {
  const lists = new Map([['base', base]]);
  const open = new Set<string>();
  for (const s of sources) {
    if (s.kind === 'cache') open.add(s.name);
    else lists.set(s.name, s.kind === 'forks' ? s.counterfactuals.flat() : s.interventions);
  }
  for (let before = -1; before !== open.size; ) {
    before = open.size;
    for (const [name, list] of lists) if (opensPatterns(list, open, points)) open.add(name);
  }
  return open;
}
