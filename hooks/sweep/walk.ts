/**
 * One walk over the layers for a whole chunk of forks. Each half block the batch is put together anew where
 * forks join or grow: what it has goes on, what it lacks is the base run's residual stream. Earlier positions
 * are the base's keys and values.
 */

import { inScope, type Scope } from '../../engine/gpu/storage.js';
import { copyInto } from '../../engine/tensor/launches.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import { type Batch, packBatch, type RowInput } from '../../engine/transformer/batch.js';
import { KvStore } from '../../engine/transformer/kv.js';
import {
  attentionHalf,
  embedding,
  finalNorm,
  mlpHalf,
  type Pass,
  storeKeysValues,
} from '../../engine/transformer/model.js';
import type { Point } from '../../engine/transformer/model-points.js';
import { gatherTable, pickRows } from '../../engine/transformer/ops.js';
import { pointName } from '../../engine/transformer/points.js';
import { noTap, type Tap } from '../../engine/transformer/tap.js';
import type { Hook, HookEntry } from '../input/hook.js';
import type { Runnable } from '../input/model.js';
import type { RowEdit, Values } from '../interventions/apply.js';
import type { Edit } from '../interventions/edits.js';
import { HookTap } from '../run/tap.js';
import { type Layout, layoutOf } from '../run/view.js';
import type { Fork } from './plan.js';

/** The run that forks leave. */
export interface Ground extends Values {
  /** Tokens of each prompt. */
  readonly rows: readonly (readonly number[])[];
  readonly store: KvStore;
  /** Slots of each prompt's keys and values. */
  readonly slots: readonly (readonly number[])[];
  /** Halves in which functions of an edited model are called. */
  readonly called: readonly number[];
  /** Hooks of edits and of those functions, in order; functions only where the rows are whole. */
  hooks(edits: readonly RowEdit[], here: (name: string) => boolean): readonly HookEntry[];
  /**
   * The residual stream before a half, before any hook there: [tokens, dModel], prompts one after another.
   */
  stage(half: number): Tensor;
}

/** A fork's share of a batch: positions [lo, hi). */
export interface Span {
  readonly fork: Fork;
  readonly lo: number;
  readonly hi: number;
}

/** Options of a walk. */
export interface WalkOptions {
  /** Whether the last layer is computed only where the last position needs it. */
  readonly reads: 'last' | 'all';
  /** Activations to keep: the receiver owns the tensor. */
  readonly capture?: {
    readonly names: ReadonlySet<string>;
    put(name: string, t: Tensor, spans: readonly Span[], layout: Layout): void;
  };
  /** Half to stop behind; the last layer norm by default. */
  readonly until?: number;
  readonly signal?: AbortSignal;
  /** Called after each layer. */
  readonly onLayer?: (layer: number) => void;
}

/** What the unembedding reads of the forks that came through, [tokens, dModel], and where its rows are. */
export type WalkEnd<T> = (x: Tensor | null, spans: readonly Span[]) => T | Promise<T>;

/**
 * Runs forks; `end` gets what the unembedding reads. Everything made is freed afterwards, also after an
 * error.
 */
export async function walk<T>(
  model: Runnable,
  ground: Ground,
  forks: readonly Fork[],
  options: WalkOptions,
  end: WalkEnd<T>,
): Promise<T> {
  return inScope(async (scope) => {
    const walker = new Walker(model, ground, forks, options, scope);
    const last = options.until ?? 2 * model.config.nLayers + 1;
    for (let half = 0; half <= last; half++) await walker.half(half);
    return await end(walker.x, walker.spans);
  });
}

class Walker {
  x: Tensor | null = null;
  spans: readonly Span[] = [];
  readonly #model: Runnable;
  readonly #ground: Ground;
  readonly #forks: readonly Fork[];
  readonly #options: WalkOptions;
  readonly #scope: Scope;
  /** Where each prompt of the base begins in a stage. */
  readonly #starts: number[];
  #packed: { spans: readonly Span[]; batch: Batch } | null = null;

  constructor(model: Runnable, ground: Ground, forks: readonly Fork[], options: WalkOptions, scope: Scope) {
    this.#model = model;
    this.#ground = ground;
    this.#forks = forks;
    this.#options = options;
    this.#scope = scope;
    let start = 0;
    this.#starts = ground.rows.map((r) => (start += r.length) - r.length);
  }

  async half(half: number): Promise<void> {
    const { nLayers } = this.#model.config;
    const spans = this.#forks.flatMap((fork) => {
      const [lo, hi] = [fork.lo[half], fork.hi[half]];
      return hi > lo ? [{ fork, lo, hi }] : [];
    });
    if (!spans.length) return;
    this.#options.signal?.throwIfAborted();
    if (half === 0) {
      const batch = this.#pack(spans, true);
      this.x = await embedding(this.#pass(half, spans, batch));
      this.spans = spans;
      return;
    }
    this.#regather(spans, half);
    const layer = (half - 1) >> 1;
    if (half === 2 * nLayers + 1) return this.#final(half);
    if (half % 2 === 0) {
      this.x = await mlpHalf(this.#pass(half, spans), layer, this.x!);
      await this.#settle(layer);
    } else {
      await this.#before(half);
      const narrow =
        this.#options.reads === 'last' &&
        layer === nLayers - 1 &&
        !this.#ground.called.some((h) => h >= half) &&
        spans.some((s) => s.hi - s.lo > 1);
      if (narrow) await this.#narrowAttention(half, layer);
      else this.x = await attentionHalf(this.#pass(half, spans), layer, this.x!);
    }
  }

  /**
   * A software adapter is given one layer at a time: so a walk can be cancelled, and its memory is freed in
   * time.
   */
  async #settle(layer: number): Promise<void> {
    const { gpu } = this.#model;
    if (gpu.caps.adapterClass === 'software') await gpu.finish();
    this.#options.onLayer?.(layer);
  }

  /** Hooks at the end of the half before: what joins here joins before them. */
  async #before(half: number): Promise<void> {
    const layer = (half - 3) / 2;
    if (layer < 0) return;
    this.x = await this.#pass(half, this.spans).tap.at(pointName('hook_resid_post', layer), this.x!);
  }

  async #final(half: number): Promise<void> {
    await this.#before(half);
    this.x = await finalNorm(this.#pass(half, this.spans), this.x!);
  }

  /**
   * Attention of the last layer where only the last position is read: the positions before it give keys and
   * values and nothing else, the last one continues after them.
   */
  async #narrowAttention(half: number, layer: number): Promise<void> {
    const { gpu, config } = this.#model;
    const { store } = this.#ground;
    const spans = this.spans;
    const before = spans.filter((s) => s.hi - s.lo > 1).map(({ fork, lo, hi }) => ({ fork, lo, hi: hi - 1 }));
    const own = before.reduce((n, s) => n + s.hi - s.lo, 0);
    const both = new KvStore(gpu, config, store.capacity + own, { only: layer });
    this.#scope.add(both.layers[layer]);
    copyInto(store.layers[layer], both.layers[layer]);
    both.take(store.capacity);
    const slots = new Map(before.map((s) => [s.fork, both.take(s.hi - s.lo)]));

    const row = (fork: Fork, lo: number): readonly number[] => this.#ground.slots[fork.row].slice(0, lo);
    const earlier = before.map(
      ({ fork, lo, hi }): RowInput => ({
        tokens: hi - lo,
        prefix: prefix(both, row(fork, lo)),
        slots: slots.get(fork),
      }),
    );
    const latest = spans.map(
      ({ fork, lo }): RowInput => ({
        tokens: 1,
        prefix: prefix(both, [...row(fork, lo), ...(slots.get(fork) ?? [])]),
      }),
    );
    const x = this.x!;
    let at = 0;
    const [first, lasts]: [number[], number[]] = [[], []];
    for (const { lo, hi } of spans) {
      for (let p = lo; p < hi - 1; p++) first.push(at++);
      lasts.push(at++);
    }
    const keys = packBatch(gpu, config, earlier, this.#scope, both);
    await storeKeysValues(this.#pass(half, before, keys), layer, pickRows(x, first));
    this.spans = spans.map(({ fork, hi }) => ({ fork, lo: hi - 1, hi }));
    const queries = packBatch(gpu, config, latest, this.#scope);
    this.x = await attentionHalf(this.#pass(half, this.spans, queries), layer, pickRows(x, lasts));
    x.dispose();
    both.dispose();
  }

  /**
   * Puts the batch together for new spans: rows of x where a fork had the position, else the base's residual
   * stream.
   */
  #regather(spans: readonly Span[], half: number): void {
    if (sameSpans(spans, this.spans)) return;
    const old = new Map<Fork, { lo: number; hi: number; start: number }>();
    let rows = 0;
    for (const { fork, lo, hi } of this.spans) {
      old.set(fork, { lo, hi, start: rows });
      rows += hi - lo;
    }
    let joins = false;
    const from = spans.flatMap(({ fork, lo, hi }) => {
      const had = old.get(fork);
      return Array.from({ length: hi - lo }, (_, i) => {
        const pos = lo + i;
        if (had && pos >= had.lo && pos < had.hi) return had.start + pos - had.lo;
        joins = true;
        return rows + this.#starts[fork.row] + pos;
      });
    });
    const width = this.#model.config.dModel;
    const scope = this.#scope;
    const ids = Tensor.from<'u32'>(this.#model.gpu, Uint32Array.from(from), [from.length], {
      label: 'rows',
      scope,
    });
    const chunks = this.x ? [{ row0: 0, rows, tensor: this.x.dense() }] : [];
    if (joins) {
      const tensor = this.#ground.stage(half);
      chunks.push({ row0: rows, rows: tensor.shape[0], tensor });
    }
    const x = gatherTable({ rows: rows, width, chunks }, ids, from.length);
    this.x?.dispose();
    ids.dispose();
    this.x = x;
    this.spans = spans;
  }

  /** The batch of these spans; packed once while they stay the same. */
  #pack(spans: readonly Span[], withTokens = false): Batch {
    if (!withTokens && this.#packed && sameSpans(this.#packed.spans, spans)) return this.#packed.batch;
    const { store, slots, rows } = this.#ground;
    const inputs = spans.map(
      ({ fork: { row }, lo, hi }): RowInput => ({
        tokens: withTokens ? rows[row].slice(lo, hi) : hi - lo,
        prefix: prefix(store, slots[row].slice(0, lo)),
      }),
    );
    const { gpu, config } = this.#model;
    const batch = packBatch(gpu, config, inputs, this.#scope);
    this.#packed = { spans, batch };
    return batch;
  }

  #pass(half: number, spans: readonly Span[], batch = this.#pack(spans)): Pass {
    const { config, gpuWeights: weights } = this.#model;
    return { config, weights, batch, tap: this.#tap(half, spans, batch) };
  }

  #tap(half: number, spans: readonly Span[], batch: Batch): Tap {
    const { positionEmbedding } = this.#model.config;
    // Every layer of a shortformer reads the position embeddings again.
    const again = (name: string) =>
      positionEmbedding === 'shortformer' && half % 2 === 1 && name === 'hook_pos_embed';
    const isHere = (point: Point) => point.join === half || again(point.name);
    const here = ({ point }: Edit) => isHere(point);
    const edits: RowEdit[] = [];
    for (const [row, { fork, lo, hi }] of spans.entries())
      for (const edit of fork.edits)
        if (edit.pos >= lo && edit.pos < hi && here(edit)) edits.push({ edit, row });
    const { capture } = this.#options;
    const calls = this.#ground.called.includes(half);
    if (!edits.length && !calls && !capture) return noTap;
    const names = capture && new Set([...capture.names].filter((name) => !again(name)));
    const { points } = this.#model;
    const hooks = new Map<string, Hook[]>();
    for (const [name, hook] of this.#ground.hooks(edits, (name) => isHere(points.get(name)!))) {
      const list = hooks.get(name as string);
      if (list) list.push(hook);
      else hooks.set(name as string, [hook]);
    }
    const seen = layoutOf(batch, points);
    return new HookTap(seen, this.#scope, hooks, names, (name, t) => capture!.put(name, t, spans, seen));
  }
}

const prefix = (store: KvStore, slots: readonly number[]) =>
  slots.length ? { store, slots, length: slots.length, tokens: [] } : null;

const sameSpans = (a: readonly Span[], b: readonly Span[]): boolean =>
  a.length === b.length && a.every((s, i) => s.fork === b[i].fork && s.lo === b[i].lo && s.hi === b[i].hi);
