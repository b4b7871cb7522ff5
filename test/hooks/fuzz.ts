/**
 * Random models, base runs, sources and counterfactuals; all of them are right, and none makes numbers
 * overflow.
 */
import {
  type Config,
  type Counterfactual,
  HookedTransformer,
  hookNames,
  type Intervention,
  type Selection,
  type Source,
  type Value,
} from '../../index.js';
import { type ModelShape, type Rng, randomGpt2 } from '../helpers.js';
import { shapeOf } from './shapes.js';

/** What counterfactuals leave, with sources of every kind. */
export interface FuzzBase {
  readonly input: readonly (readonly number[])[];
  readonly interventions: Counterfactual;
  readonly sources: Record<string, Source>;
}

/** A small model of random shape. */
export function randomModel(r: Rng): Promise<HookedTransformer> {
  const [nHeads, dHead, dModel] = [1 + r.int(3), 3 + r.int(5), 9 + r.int(12)];
  const config = {
    nLayers: 1 + r.int(4),
    ...{ nHeads, dHead, dModel },
    dMlp: 7 + r.int(20),
    nCtx: 9,
    dVocab: 41,
    attnOnly: r.int(5) === 0,
    normalization: r.int(3) ? 'LN' : r.int(2) ? 'LNPre' : 'none',
    scaleAttnByInverseLayerIdx: r.int(3) === 0,
  } satisfies ModelShape & Partial<Config>;
  return HookedTransformer.fromWeights(config, randomGpt2(config, 1 + r.int(2000)));
}

const pick = <T>(r: Rng, list: readonly T[]): T => list[r.int(list.length)];
const chance = (r: Rng, percent: number) => r.int(100) < percent;

/** Prompts of 1 to nCtx tokens, ragged or not. */
function randomPrompts(r: Rng, config: Config, rows: number, ragged: boolean): number[][] {
  const { dVocab } = config;
  const nCtx = Math.min(config.nCtx, 9);
  const length = chance(r, 10) ? 1 : chance(r, 10) ? nCtx : 2 + r.int(nCtx - 2);
  return Array.from({ length: rows }, () => r.tokens(ragged ? 1 + r.int(nCtx) : length, dVocab));
}

/** The same lengths; from some position on other tokens, or just one, or none. */
const corrupt = (r: Rng, rows: readonly (readonly number[])[], dVocab: number): number[][] =>
  rows.map((tokens) => {
    const [first, only] = [r.int(tokens.length), chance(r, 50)];
    return tokens.map((t, p) => (p === first || (p > first && !only) ? (t + r.int(9)) % dVocab : t));
  });

/** What a generated intervention may name. */
interface World {
  readonly config: Config;
  readonly input: readonly (readonly number[])[];
  /** Lengths of the prompts of each run that may be named. */
  readonly runs: Readonly<Record<string, readonly number[]>>;
  /** How many counterfactuals a run is. */
  readonly cells: Readonly<Record<string, number>>;
  /** Does the base run change a norm before attention? Then no head can have an input of its own. */
  norms: boolean;
  /** Hook points that caches hold. */
  readonly held: Readonly<Record<string, readonly string[]>>;
}

/** A base run with sources of every kind. Caches are the caller's to dispose of. */
export async function randomBase(
  r: Rng,
  model: HookedTransformer,
): Promise<{ base: FuzzBase; world: World }> {
  const { config } = model;
  const input = randomPrompts(r, config, 1 + r.int(4), chance(r, 40));
  const lengths = input.map((t) => t.length);
  const sources: Record<string, Source> = {};
  const world = {
    config,
    input,
    runs: {} as Record<string, number[]>,
    cells: {},
    held: {},
    norms: false as boolean,
  };
  const add = (name: string, source: Source, lengths: number[], cells?: number, held?: string[]) => {
    sources[name] = source;
    world.runs[name] = lengths;
    if (cells) (world.cells as Record<string, number>)[name] = cells;
    if (held) (world.held as Record<string, string[]>)[name] = held;
  };
  const clean = corrupt(r, input, config.dVocab);
  add('clean', clean, lengths);
  const other = randomPrompts(r, config, 1 + r.int(3), chance(r, 50));
  add(
    'other',
    other,
    other.map((t) => t.length),
  );
  if (chance(r, 40)) {
    const names = hookNames(config).filter(() => chance(r, 50));
    names.push('hook_embed');
    const { cache, logits } = await model.runWithCache(corrupt(r, input, config.dVocab), { names });
    logits.dispose();
    add('cache', cache, lengths, undefined, names);
  }
  const edited = corrupt(r, input, config.dVocab);
  const list = (w: World) => randomCounterfactual(r, w, 1 + r.int(2), { norms: false });
  if (chance(r, 60)) add('edited', { input: edited, interventions: list(world) }, lengths);
  const interventions = chance(r, 40) ? [...list(world)] : [];
  if (chance(r, 40)) {
    // A run that the base run alone takes values from: the world of the cells does not know it.
    sources.unread = corrupt(r, input, config.dVocab);
    const at = `blocks.${r.int(config.nLayers)}.${pick(r, ['hook_resid_pre', 'attn.hook_z', 'attn.hook_k', 'hook_attn_out'])}`;
    interventions.push({ at, pos: r.int(Math.min(...lengths)), set: { from: 'unread' } });
  }
  world.norms = interventions.some((i) => /ln1/.test(i.at));
  world.runs.base = lengths;
  for (const name of ['forks', 'forksOfForks'])
    if (chance(r, 60)) {
      const counterfactuals = Array.from({ length: 1 + r.int(3) }, () => list(world));
      add(name, { counterfactuals }, lengths, counterfactuals.length);
    }
  return { base: { input, interventions, sources }, world };
}

/** Some interventions. `norms: false`: none that ask for inputs of single heads, which splits ln1. */
export function randomCounterfactual(r: Rng, world: World, n: number, { norms = true } = {}): Counterfactual {
  const made = Array.from({ length: n }, () => randomIntervention(r, world, norms && !world.norms));
  const split = made.some((i) => /attn_in|_input/.test(i.at));
  return split ? made.filter((i) => !/ln1/.test(i.at)) : made;
}

function randomIntervention(r: Rng, world: World, heads: boolean): Intervention {
  const { config, input } = world;
  const names = hookNames(config).filter((n) => heads || !/attn_in|_input/.test(n));
  const name = pick(r, names);
  const g = shapeOf(name, config);
  const part: { -readonly [K in keyof Intervention]?: Intervention[K] } = {};
  if (chance(r, 50)) part.row = selection(r, input.length);
  const rows = chosenRows(part.row, input.length);
  const shortest = Math.min(...rows.map((i) => input[i].length));
  const longest = Math.max(...rows.map((i) => input[i].length));
  if (chance(r, 75))
    part.pos = chance(r, 20) && longest === shortest ? selection(r, shortest) : r.int(shortest);
  if (g.heads && chance(r, 60)) part.head = selection(r, g.heads);
  if (g.pattern && chance(r, 50)) part.key = selection(r, shortest);
  const action = pick(r, [
    'set',
    'set',
    'set',
    'add',
    'interpolate',
    'scale',
    'zero',
    'mean',
    'freeze',
    'projectOut',
  ]);
  const scale = /hook_scale$/.test(name);
  if (action === 'projectOut' && (g.pattern || scale)) return { at: name, ...part, scale: 0.5 };
  if (action === 'zero' && scale) return { at: name, ...part, scale: 0.5 };
  if (!g.pattern && !scale && action !== 'projectOut' && chance(r, 30)) part.neuron = selection(r, g.width);
  const equal = longest === shortest || typeof part.pos === 'number';
  const value = () => randomValue(r, world, { name, part, rows, equal, shortest, longest, action });
  const place = local(r, name, part);
  if (action === 'scale') return { ...place, scale: 0.25 + r.uniform() };
  if (action === 'zero') return { ...place, zero: true };
  if (action === 'freeze' && world.runs.base) return { ...place, freeze: true };
  if (action === 'add') return { ...place, add: value(), ...(chance(r, 50) && { times: 0.5 }) };
  if (action === 'interpolate') return { ...place, interpolate: { to: value(), by: pick(r, [0.3, 1, 0]) } };
  if (action === 'projectOut') return { ...place, projectOut: value() };
  const mean = action === 'mean' && randomMean(r, world, { name, rows, part });
  if (mean) return { ...place, mean: mean.over === undefined && chance(r, 50) ? mean.mean : mean };
  return { ...place, set: value() };
}

/** The name in full, or without its layer. */
function local(r: Rng, name: string, part: object): Intervention {
  const m = /^blocks\.(\d+)\.(.*)$/.exec(name);
  if (!m || chance(r, 50)) return { at: name, ...part };
  return { at: m[2], layer: Number(m[1]), ...part };
}

interface Where {
  readonly name: string;
  readonly part: Partial<Intervention>;
  readonly rows: readonly number[];
  /** Do the chosen prompts have as many chosen positions each? */
  readonly equal: boolean;
  readonly shortest: number;
  readonly longest: number;
  readonly action: string;
}

function randomValue(r: Rng, world: World, where: Where): Value {
  const { name, part, rows, equal, shortest, action } = where;
  const { config } = world;
  const g = shapeOf(name, config);
  const positive = /hook_scale$/.test(name);
  const kind = r.int(10);
  const projectOut = action === 'projectOut'; // without itself nothing but rounding errors would be left
  if (kind < 5 && !projectOut) {
    const from = randomFrom(r, world, where);
    if (from) return from;
  }
  if (kind === 5 && !projectOut) {
    const mean = randomMean(r, world, where);
    if (mean) return mean;
  }
  if (kind === 6 && equal && !projectOut && !positive) {
    const sample = chance(r, 50) ? { sample: r.int(3) } : {};
    if (!g.pattern || shortest === where.longest) return { noise: { seed: r.int(99), std: 0.5, ...sample } };
  }
  if (kind >= 8 && !projectOut) return positive ? 0.5 + r.uniform() : r.uniform() - 0.5;
  // Numbers for a trailing part of what is selected.
  const count = (s: Selection | undefined, n: number) => chosenRows(s, n).length;
  const ragged = !equal || (g.pattern && shortest !== where.longest && part.key === undefined);
  const pos = count(part.pos, shortest);
  const shape = g.pattern
    ? [rows.length, count(part.head, g.heads!), pos, count(part.key, shortest)]
    : [rows.length, pos, ...(g.heads ? [count(part.head, g.heads)] : []), count(part.neuron, g.width)];
  if (g.pattern && ragged) return r.uniform();
  const most = ragged ? shape.length - 2 : shape.length;
  const own = shape.slice(shape.length - Math.max(1, 1 + r.int(most)));
  const size = own.reduce((a, b) => a * b, 1);
  const data = Array.from(r.array(size, 0.5), (x) => (positive ? Math.abs(x) + 0.5 : x));
  return pick<() => Value>(r, [() => data, () => Float32Array.from(data), () => ({ shape: own, data })])();
}

/** A value of another run: of the same place, or of another row, position, head, layer or hook point. */
function randomFrom(r: Rng, world: World, where: Where): Value | null {
  const { name, rows, longest } = where;
  const { config, input } = world;
  const run = pick(r, Object.keys(world.runs));
  const lengths = world.runs[run];
  const g = shapeOf(name, config);
  const from: Record<string, unknown> = { from: run };
  if (chance(r, 30) && layerOf(name) !== null) from.layer = r.int(config.nLayers);
  else if (chance(r, 20)) {
    const alike = hookNames(config).filter((n) => {
      const o = shapeOf(n, config);
      return o.width === g.width && o.pattern === g.pattern && (o.heads === g.heads || !o.heads || !g.heads);
    });
    from.at = pick(
      r,
      alike.filter((n) => /hook_scale$/.test(n) === /hook_scale$/.test(name)),
    );
  }
  const point = from.at ?? (from.layer === undefined ? name : name.replace(/\d+/, String(from.layer)));
  if (world.held[run] && !world.held[run].includes(point as string)) return null;
  if (world.cells[run]) from.cell = r.int(world.cells[run]);
  const sameRows = lengths.length === input.length || lengths.length === 1;
  if (!sameRows || chance(r, 20)) from.row = r.int(lengths.length);
  const corresponding = rows.every((row) => {
    const other = (from.row as number) ?? (lengths.length === 1 ? 0 : row);
    return lengths[other] === input[row].length;
  });
  if (g.pattern) {
    // Queries see no keys behind them: another query must see at least as many.
    if (where.shortest === longest && chance(r, 20)) from.pos = longest - 1;
    if (!corresponding) return null;
  } else if (!corresponding || chance(r, 20)) {
    const others = from.row === undefined ? lengths : [lengths[from.row as number]];
    from.pos = pick(r, [r.int(Math.min(...others)), -1]);
  }
  const { heads } = shapeOf(point as string, config);
  if (heads && (!g.heads || chance(r, 20))) from.head = r.int(heads);
  return from as unknown as Value;
}

function randomMean(
  r: Rng,
  world: World,
  { name, rows, part }: Pick<Where, 'name' | 'rows' | 'part'>,
): { mean: string; over?: 'rows' | 'all' } | null {
  const g = shapeOf(name, world.config);
  const run = pick(
    r,
    Object.keys(world.runs).filter((n) => !world.cells[n]),
  );
  if (world.held[run] && !world.held[run].includes(name)) return null;
  const lengths = world.runs[run];
  if (!g.pattern && chance(r, 40)) return { mean: run, over: 'all' };
  const last = Math.max(
    ...rows.map((row) => chosenRows(part.pos, world.input[row].length).reduce((a, b) => Math.max(a, b), 0)),
  );
  const fits = lengths.every((n) => n === lengths[0]) && lengths[0] > last;
  if (!fits || (g.pattern && rows.some((row) => world.input[row].length !== lengths[0]))) return null;
  return { mean: run };
}

function selection(r: Rng, length: number): Selection {
  const [a, b] = [r.int(length), r.int(length)];
  if (chance(r, 40)) return chance(r, 20) ? a - length : a;
  if (chance(r, 50)) return { start: Math.min(a, b), end: Math.max(a, b) + 1 };
  const all = Array.from({ length }, (_, i) => i).filter(() => chance(r, 50));
  return all.length ? (chance(r, 30) ? all.reverse() : all) : [a];
}

function chosenRows(s: Selection | undefined, length: number): number[] {
  if (typeof s === 'number') return [(s + length) % length];
  if (Array.isArray(s)) return [...s];
  const { start = 0, end = length } = (s ?? {}) as { start?: number; end?: number };
  return Array.from({ length: end - start }, (_, i) => start + i);
}

const layerOf = (name: string): number | null => {
  const found = /^blocks\.(\d+)\./.exec(name);
  return found && Number(found[1]);
};
