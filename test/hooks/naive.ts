/**
 * Counterfactuals the naive way: each is a whole forward pass with callback hooks, which change the
 * activations on the host, number by number, as the documentation of interventions says. Nothing of the
 * planner's is used here.
 */
import { RandomState } from '../../engine/random/numpy-random.js';
import {
  ActivationCache,
  actName,
  type Base,
  type Counterfactual,
  type FromRun,
  type HookContext,
  type HookEntry,
  type HookedTransformer,
  hookNames,
  type Intervention,
  type MeanOf,
  type Selection,
  type Source,
  Tensor,
  type Value,
} from '../../index.js';
import { counts, shapeOf } from './shapes.js';

type Rows = readonly (readonly number[])[];

/** One prompt's activation: [pos, (head,) width], or [head, query, key]. */
interface Activation {
  readonly data: Float32Array;
  readonly length: number;
}

/** Activations of a run, by hook point and prompt. */
type Seen = ReadonlyMap<string, readonly Activation[]>;

/** What a naive run gives: logits of each prompt, [pos, dVocab]. */
export interface NaiveRun {
  readonly logits: readonly Float32Array[];
  readonly seen: Seen;
}

/** A base run and its sources; each run is made when it is first asked for. */
export class Naive {
  readonly rows: Rows;
  readonly #model: HookedTransformer;
  readonly #sources: Readonly<Record<string, Source>>;
  readonly #own: Counterfactual;
  readonly #runs = new Map<string, Promise<NaiveRun>>();

  constructor(model: HookedTransformer, base: Base) {
    const given = typeof base === 'string' || Array.isArray(base) ? { input: base } : (base as never);
    const { input, interventions = [], sources = {} } = given as Exclude<Base, string | readonly unknown[]>;
    this.#model = model;
    this.rows = model.toTokens(input as number[][]);
    this.#own = interventions;
    this.#sources = sources;
  }

  /** The base run with a counterfactual's interventions; with `'all'`, the activations as they are then. */
  run(counterfactual: Counterfactual, keep: 'all' | 'none' = 'none'): Promise<NaiveRun> {
    return this.#pass(this.rows, [...this.#own, ...counterfactual], keep);
  }

  /** A named run, and all its activations. */
  source(name: string, cell?: number): Promise<NaiveRun> {
    const key = `${name} ${cell ?? ''}`;
    let run = this.#runs.get(key);
    if (!run) this.#runs.set(key, (run = this.#make(name, cell)));
    return run;
  }

  async #make(name: string, cell?: number): Promise<NaiveRun> {
    if (name === 'base') return this.#pass(this.rows, this.#own, 'all');
    const source = this.#sources[name];
    if (source instanceof ActivationCache) return { logits: [], seen: await readCache(source) };
    if (Array.isArray(source)) return this.#pass(this.#model.toTokens(source as number[][]), [], 'all');
    const {
      input,
      interventions = [],
      counterfactuals,
    } = source as {
      input?: number[][];
      interventions?: Counterfactual;
      counterfactuals?: readonly Counterfactual[];
    };
    if (counterfactuals) return this.#pass(this.rows, [...this.#own, ...counterfactuals[cell!]], 'all');
    return this.#pass(this.#model.toTokens(input!), interventions, 'all');
  }

  async #pass(rows: Rows, interventions: Counterfactual, keep: 'all' | 'none'): Promise<NaiveRun> {
    const model = this.#model;
    const seen = new Map<string, Activation[]>();
    const byName = new Map<string, Intervention[]>();
    for (const i of interventions)
      for (const name of pointsOf(i, model)) byName.set(name, [...(byName.get(name) ?? []), i]);
    const names = keep === 'all' ? hookNames(model.config) : [...byName.keys()];
    const hooks = names.map((name): HookEntry => {
      const hook = async (t: Tensor, context: HookContext) => {
        const data = await t.data();
        for (const i of byName.get(name) ?? []) await this.#change(data, name, i, rows, context);
        if (keep === 'all') seen.set(name, cut(data, name, context.rows, model.config.nHeads));
        return byName.has(name) ? context.tensor(data, t.shape) : undefined;
      };
      return [name, hook];
    });
    const t = await model.forward(rows, { hooks });
    const data = await t.data();
    t.dispose();
    const v = model.config.dVocab;
    let at = 0;
    const logits = rows.map((r) => data.subarray(at, (at += r.length * v)));
    return { logits, seen };
  }

  /** One intervention at one hook point, in all prompts. */
  async #change(
    data: Float32Array,
    name: string,
    i: Intervention,
    rows: Rows,
    { rows: layout }: HookContext,
  ): Promise<void> {
    const { config } = this.#model;
    const { pattern, heads, width } = shapeOf(name, config);
    const chosen = select(i.row, rows.length);
    const allHeads = heads ? select(i.head, heads) : [0];
    const positions = chosen.map((row) => select(i.pos, rows[row].length));
    const last = chosen.map((row) => (pattern ? select(i.key, rows[row].length) : select(i.neuron, width)));
    const sizes = pattern
      ? [chosen.length, allHeads.length, positions[0].length, last[0].length]
      : [chosen.length, positions[0].length, ...(heads ? [allHeads.length] : []), last[0].length];
    for (const [ri, row] of chosen.entries())
      for (const [pi, pos] of positions[ri].entries())
        for (const [hi, head] of allHeads.entries()) {
          const length = rows[row].length;
          const start = pattern
            ? layout[row].block + (head * length + pos) * length
            : layout[row].start * width * (heads ?? 1) + (pos * (heads ?? 1) + head) * width;
          const entries = [...last[ri].entries()].filter(([, e]) => !pattern || counts(name, pos, e));
          const spot = { row, pos, head, name, length };
          const value = async (v: Value) => {
            const read = await this.#reader(v, spot, sizes);
            return entries.map(([ei, entry]) =>
              read(entry, pattern ? [ri, hi, pi, ei] : heads ? [ri, pi, hi, ei] : [ri, pi, ei]),
            );
          };
          const old = entries.map(([, e]) => data[start + e]);
          const put = (f: (x: number, k: number) => number) => {
            for (const [k, [, e]] of entries.entries()) data[start + e] = f(old[k], k);
          };
          if (i.zero) put(() => 0);
          else if (i.scale !== undefined) put((x) => x * i.scale!);
          else if (i.add !== undefined) {
            const v = await value(i.add);
            put((x, k) => x + (i.times ?? 1) * v[k]);
          } else if (i.interpolate) {
            const v = await value(i.interpolate.to);
            const { by } = i.interpolate;
            put((x, k) => (by === 1 ? v[k] : (1 - by) * x + by * v[k]));
          } else if (i.projectOut !== undefined) {
            const v = await value(i.projectOut);
            const dot = old.reduce((s, x, k) => s + x * v[k], 0);
            const norm = v.reduce((s, x) => s + x * x, 0);
            if (norm) put((x, k) => x - (dot / norm) * v[k]);
          } else {
            const mean = typeof i.mean === 'string' ? { mean: i.mean } : i.mean;
            const v = await value(i.set ?? mean ?? { from: 'base' });
            put((_, k) => v[k]);
          }
        }
  }

  /**
   * A function that gives a value's number for an entry of the last axis, at these indices of the selection.
   */
  async #reader(
    v: Value,
    spot: { row: number; pos: number; head: number; name: string; length: number },
    sizes: readonly number[],
  ): Promise<(entry: number, at: readonly number[]) => number> {
    const { config } = this.#model;
    if (typeof v === 'number') return () => v;
    if (v instanceof Tensor || v instanceof Float32Array || Array.isArray(v) || 'data' in v) {
      const data = v instanceof Tensor ? await v.data() : Float32Array.from('data' in v ? v.data : v);
      return (_, at) => data[flat(at, sizes) % data.length];
    }
    if ('from' in v) {
      const name = otherPoint(v, spot.name, this.#model);
      const activations = (await this.source(v.from, v.cell)).seen.get(name)!;
      const { pattern, heads, width } = shapeOf(name, config);
      const row = v.row === undefined ? (activations.length === 1 ? 0 : spot.row) : v.row;
      const { data, length } = activations.at(row)!;
      const pos = v.pos === undefined ? spot.pos : (v.pos + length) % length;
      const head = v.head ?? spot.head;
      if (pattern) return (entry) => data[(head * length + pos) * length + entry];
      return (entry) => data[(pos * (heads ?? 1) + (heads ? head : 0)) * width + entry];
    }
    if ('mean' in v) return this.#mean(v, spot);
    if ('noise' in v) {
      const { seed, std = 1, sample } = v.noise;
      const one = sizes.slice(1).reduce((a, b) => a * b, 1);
      const all = new RandomState(seed).randn(one * (sample === undefined ? sizes[0] : sample + 1));
      const data = sample === undefined ? all : all.slice(one * sample);
      return (_, at) => Math.fround(std * data[flat(sample === undefined ? at : at.slice(1), sizes)]);
    }
    throw new Error(`a value that this reference does not know: ${JSON.stringify(v)}`);
  }

  async #mean(
    { mean, over = 'rows' }: MeanOf,
    { pos, head, name }: { pos: number; head: number; name: string },
  ): Promise<(entry: number) => number> {
    const activations = (await this.source(mean)).seen.get(name)!;
    const { pattern, heads, width } = shapeOf(name, this.#model.config);
    const h = heads ?? 1;
    return (entry) => {
      let [sum, n] = [0, 0];
      for (const { data, length } of activations)
        for (const p of over === 'all' ? Array(length).keys() : [pos]) {
          sum += pattern
            ? data[(head * length + p) * length + entry]
            : data[(p * h + (heads ? head : 0)) * width + entry];
          n++;
        }
      return sum / n;
    };
  }
}

/** Index in the last axes of a selection; values that fill fewer of them repeat. */
function flat(at: readonly number[], sizes: readonly number[]): number {
  const tail = sizes.slice(sizes.length - at.length);
  return at.reduce((n, i, k) => n * tail[k] + i, 0);
}

function select(s: Selection | undefined, length: number): number[] {
  const at = (i: number) => (i < 0 ? i + length : i);
  if (typeof s === 'number') return [at(s)];
  if (Array.isArray(s)) return s.map(at);
  const { start = 0, end = length } = (s ?? {}) as { start?: number; end?: number };
  return Array.from({ length }, (_, i) => i).slice(at(start), end === length ? length : at(end));
}

function pointsOf({ at, layer }: Intervention, { config }: HookedTransformer): string[] {
  if (layer === undefined) return [at];
  return select(layer, config.nLayers).map((l) => actName(at, l));
}

function otherPoint({ at, layer }: FromRun, name: string, { config }: HookedTransformer): string {
  const [, own, local] = /^(?:blocks\.(\d+)\.)?(.*)$/.exec(name)!;
  if (at === undefined && layer === undefined) return name;
  const l = layer === undefined ? own : select(layer, config.nLayers)[0];
  if (at !== undefined && hookNames(config).includes(at)) return at;
  return at === undefined ? `blocks.${l}.${local}` : actName(at, Number(l));
}

function cut(data: Float32Array, name: string, layout: HookContext['rows'], nHeads: number): Activation[] {
  const tokens = layout.reduce((n, r) => n + r.length, 0);
  const pattern = /attn_scores|pattern/.test(name);
  return layout.map(({ start, length, block }) => {
    const width = data.length / tokens;
    const part = pattern
      ? data.slice(block, block + nHeads * length * length)
      : data.slice(start * width, (start + length) * width);
    return { data: part, length };
  });
}

async function readCache(cache: ActivationCache): Promise<Seen> {
  const seen = new Map<string, Activation[]>();
  for (const name of cache.names()) {
    const rows: Activation[] = [];
    for (let i = 0; i < cache.batch; i++) {
      const row = cache.row(i);
      const { length } = cache.layout.rows[i];
      rows.push({ data: await row.get(name).data(), length });
      row.dispose();
    }
    seen.set(name, rows);
  }
  return seen;
}
