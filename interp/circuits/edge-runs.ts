/**
 * Exact edge patching. In the run of a circuit every reader (the queries, keys and values of each head, each MLP, the
 * logits) has a residual stream of its own:
 *
 *     corrupted stream + Σ over the writers whose edge to it is in the circuit of (what it writes now − in the corrupted run)
 *
 * so that an edge of the circuit carries what its writer writes in this very run, and any other edge the corrupted run's
 * activation. All is recomputed, layer by layer; nothing is linearised. With all edges it is the clean run, with none the
 * corrupted one. Circuits run together as rows of a batch; a layer's streams are one product of masks with a table of writings.
 * A run begins at the first layer that lacks an edge, each prompt at the first token that differs: before, nothing can change.
 */

import { inScope, Scope } from '../../engine/gpu/storage.js';
import { addInto } from '../../engine/tensor/accumulate.js';
import { multiplyInto } from '../../engine/tensor/products.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import type { RowInput } from '../../engine/transformer/batch.js';
import { extendPrefix, KvStore, type Prefix } from '../../engine/transformer/kv.js';
import { pickRows } from '../../engine/transformer/ops.js';
import { pointName } from '../../engine/transformer/points.js';
import type { HookEntry } from '../../hooks/input/hook.js';
import type { Model } from '../../hooks/input/model.js';
import { type Metric, type PreparedMetric, perPrompt, type Read } from '../../hooks/run/metric.js';
import { metricValues } from '../../hooks/run/metric-values.js';
import { run } from '../../hooks/run/run.js';
import { readsOf } from '../../hooks/sweep/base.js';
import { type EdgeGraph, type EdgeMask, edgeGraph, type ReaderGroup } from './edge-graph.js';
import {
  addSender,
  addSenders,
  checkEdits,
  emptyStream,
  senderNames,
  sendersAt,
  senderTable,
  streamOf,
} from './edge-senders.js';

type Prompts = readonly (readonly number[])[];

/** Memory that the streams of one batch may take, and tokens that a CPU is given at once. */
const [BATCH_BYTES, SOFTWARE_TOKENS] = [2 ** 30, 1024];

/** Two runs of as many tokens, between which edges choose. Dispose of it. */
export class EdgeRuns {
  readonly graph: EdgeGraph;
  /** The metric of each prompt. */
  clean: readonly number[] = [];
  corrupted: readonly number[] = [];
  /** Circuits that were run, and tokens through blocks that it took. */
  readonly work = { circuits: 0, tokenLayers: 0 };
  readonly #model: Model;
  readonly #metric: Metric;
  readonly #prompts: { clean: Prompts; corrupted: Prompts };
  /** First position that is run, of each prompt. */
  readonly #from: readonly number[];
  readonly #tokens: number;
  readonly #reads: readonly Read[];
  /** What ends with this object. */
  readonly #scope = new Scope();
  readonly #streams = new Map<string, Tensor>();
  #prefixes: readonly (Prefix | null)[] = [];
  /** Corrupted writings, and clean ones less those: [tokens, senders, dModel]. */
  #base!: Tensor;
  #change!: Tensor;
  #prepared: PreparedMetric | null = null;

  /** Runs both. @throws when they differ in length, or the metric does not fit the prompts. */
  static async start(
    model: Model,
    prompts: { clean: Prompts; corrupted: Prompts },
    metric: Metric,
    signal?: AbortSignal,
  ): Promise<EdgeRuns> {
    signal?.throwIfAborted();
    const runs = new EdgeRuns(model, prompts, metric);
    try {
      await runs.#start(signal);
      return runs;
    } catch (e) {
      runs.dispose();
      throw e;
    }
  }

  private constructor(model: Model, prompts: { clean: Prompts; corrupted: Prompts }, metric: Metric) {
    checkEdits(model, 'circuits');
    this.graph = edgeGraph(model.config);
    this.#model = model;
    this.#metric = metric;
    this.#prompts = prompts;
    const { clean, corrupted } = prompts;
    this.#from = clean.map((row, b) => {
      const { edits, config } = model; // functions are called with whole rows
      if (metric.reads !== 'last' || config.attentionDir === 'bidirectional' || edits?.called.size) return 0;
      const first = row.findIndex((t, p) => t !== corrupted[b][p]);
      return first < 0 ? row.length - 1 : first;
    });
    this.#tokens = clean.reduce((n, row, b) => n + row.length - this.#from[b], 0);
    this.#reads = readsOf(clean, metric.reads);
  }

  async #start(signal?: AbortSignal): Promise<void> {
    const { clean, corrupted } = this.#prompts;
    const model = this.#model;
    await this.#keepBeginnings();
    const finals = new Map<string, Tensor>();
    const rows = this.#rowsOf(0);
    const end = (name: string) => (ended: { x: Tensor }) => {
      const picked = pickRows(ended.x, rows).keep();
      this.#scope.add(picked);
      finals.set(name, picked);
    };
    this.#base = this.#own(senderTable(model, this.#tokens));
    this.#change = this.#own(senderTable(model, this.#tokens));
    await addSenders(model, this.#inputs(corrupted), this.#base, {
      streams: this.#streams,
      end: end('corrupted'),
      signal,
    });
    signal?.throwIfAborted();
    addInto(this.#change, this.#base, null, -1);
    await addSenders(model, this.#inputs(clean), this.#change, { end: end('clean'), signal });
    const final = async (name: string) => {
      const found = finals.get(name);
      if (!found)
        throw new Error(`metric ${this.#metric.name}: compare with 'clean' or 'corrupted', not '${name}'`);
      return found;
    };
    this.#prepared = await this.#metric.prepare({ model, rows: clean, reads: this.#reads, final });
    [this.clean] = await this.#evaluate(finals.get('clean')!, 1);
    [this.corrupted] = await this.#evaluate(finals.get('corrupted')!, 1);
  }

  /**
   * The metric of each prompt in the runs of some circuits.
   * @param onDone called after each batch with the number of circuits that are done
   */
  async values(
    masks: readonly EdgeMask[],
    { signal, onDone }: { signal?: AbortSignal; onDone?: (done: number) => void } = {},
  ): Promise<number[][]> {
    const out: number[][] = [];
    const step = this.circuitsAtOnce;
    for (let i = 0; i < masks.length; i += step) {
      signal?.throwIfAborted();
      out.push(...(await this.#batch(masks.slice(i, i + step))));
      onDone?.(out.length);
    }
    return out;
  }

  /** How many circuits run as one batch. */
  get circuitsAtOnce(): number {
    const { config, gpu } = this.#model;
    if (this.#model.edits?.called.size) return 1;
    const perToken = 4 * config.dModel * (2 * this.graph.senders.length + 10 * config.nHeads);
    const most = gpu.caps.adapterClass === 'software' ? SOFTWARE_TOKENS : Infinity;
    return Math.max(1, Math.floor(Math.min(BATCH_BYTES / perToken, most) / this.#tokens));
  }

  dispose(): void {
    this.#prepared?.dispose?.();
    this.#prepared = null;
    for (const t of this.#streams.values()) t.dispose();
    this.#streams.clear();
    this.#scope.close();
  }

  async #batch(masks: readonly EdgeMask[]): Promise<number[][]> {
    const { nLayers, nHeads, nKeyValueHeads, dModel } = this.#model.config;
    const [n, from] = [masks.length, this.#firstLayer(masks)];
    const tokens = n * this.#tokens;
    const scope = new Scope();
    const own = (t: Tensor) => {
      scope.add(t);
      return t;
    };
    try {
      // What is written before the first layer that runs is what the clean run writes.
      const writings = own(senderTable(this.#model, tokens));
      const before = from === nLayers ? this.graph.senders.length : this.graph.firstHead(from);
      this.#everywhere(writings, this.#change, n, [0, before]);
      const read = (group: ReaderGroup, first: number, count: number, scope: Scope | null) =>
        this.#read(masks, writings, group, first, count, scope);
      const [hooks, first]: HookEntry[][] = [[], []]; // edits of the model come after the first ones
      for (const group of this.graph.groups) {
        if (group.layer < from || (group.kind === 'logits' && from === nLayers)) continue;
        if (group.kind === 'head')
          for (const [part, start, count] of [
            ['q', 0, nHeads],
            ['k', nHeads, nKeyValueHeads],
            ['v', nHeads + nKeyValueHeads, nKeyValueHeads],
          ] as const)
            first.push([
              pointName(`hook_${part}_input`, group.layer),
              (t) => read(group, start, count, t.scope).reshape(t.shape),
            ]);
        else {
          const name =
            group.kind === 'mlp'
              ? pointName('hook_mlp_in', group.layer)
              : streamOf(group, this.#model.config);
          const list = group.kind === 'mlp' ? first : hooks;
          list.push([name, (t) => read(group, 0, 1, t.scope).reshape(t.shape)]);
        }
      }
      for (const name of senderNames(this.#model.config)) {
        const at = sendersAt(this.graph, name, this.#model.config)!;
        if (at[0] < before) continue;
        hooks.push([
          name,
          (t) => {
            addSender(this.#model, writings, name, t, at);
            this.#everywhere(writings, this.#base, n, at, -1);
          },
        ]);
      }
      // Nobody reads the stream that a run begins with, but the logits.
      const stream = own(emptyStream(this.#model, tokens));
      const last = this.graph.groups.at(-1)!;
      const start = from === nLayers ? own(read(last, 0, 1, null)) : stream;
      const residual = own(start.reshape([1, tokens, dModel]));
      const counts = masks.flatMap(() => this.#inputs(null));
      const plan = { inputs: counts, residual, layers: { from, to: null }, hooks, first };
      this.work.circuits += n;
      this.work.tokenLayers += tokens * (nLayers - from);
      return await run(this.#model, plan, ({ x }) => this.#evaluate(pickRows(x, this.#rowsOf(n)), n));
    } finally {
      scope.close();
    }
  }

  /** The first layer at which a circuit lacks an edge; the number of layers where only edges to the logits are missing. */
  #firstLayer(masks: readonly EdgeMask[]): number {
    const { groups, count } = this.graph;
    const first = masks.reduce((low, mask) => {
      const i = mask.subarray(0, low).indexOf(0);
      return i < 0 ? low : i;
    }, count - 1);
    return groups[groups.findLastIndex((g) => g.firstEdge <= first)].layer;
  }

  /** The streams of `count` readers of a group, from its reader `first` on: [tokens, count, dModel]. */
  #read(
    masks: readonly EdgeMask[],
    writings: Tensor,
    { firstEdge, senders, ...group }: ReaderGroup,
    first: number,
    count: number,
    scope: Scope | null,
  ): Tensor {
    const n = masks.length;
    const { dModel } = this.#model.config;
    const part = new Float32Array(n * count * senders);
    masks.forEach((mask, c) => {
      const at = firstEdge + first * senders;
      part.set(mask.subarray(at, at + count * senders), c * count * senders);
    });
    return inScope((own) => {
      const gpu = this.#model.gpu;
      const mask = Tensor.from(gpu, part, [n, 1, count, senders], { label: 'circuit', scope: own });
      const each = mask.expand([-1, this.#tokens, -1, -1]).reshape([-1, count, senders]);
      const corrupted = this.#streams
        .get(streamOf({ firstEdge, senders, ...group }, this.#model.config))!
        .alias(own);
      const shape = [n, this.#tokens, count, dModel];
      const out = corrupted
        .reshape([1, this.#tokens, 1, dModel])
        .expand(shape)
        .slice([])
        .reshape([-1, count, dModel])
        .keep();
      if (scope?.open) scope.add(out);
      multiplyInto(each, writings.alias(own).window([null, [0, senders]]), out, { accumulate: true });
      return out;
    });
  }

  /** Adds senders [first, end) of a table [tokens, senders, dModel] to those of every circuit in `out`. */
  #everywhere(
    out: Tensor,
    table: Tensor,
    n: number,
    [first, end]: readonly [number, number],
    factor = 1,
  ): void {
    const scope = new Scope();
    const whole = out.alias(scope).reshape([n, this.#tokens, ...out.shape.slice(1)]);
    addInto(whole, table.alias(scope).window([null, [first, end]]), [null, null, [first, end]], factor);
    scope.close();
  }

  async #evaluate(x: Tensor, n: number): Promise<number[][]> {
    const reads = this.#reads;
    const [k, all] = [reads.length, Array.from({ length: n }, () => reads).flat()];
    const values = await metricValues(this.#prepared!, x, all, (i) => `circuit ${Math.floor(i / k)}`);
    const own = (c: number) => Array.from(values).slice(c * k, c * k + k);
    return Array.from({ length: n }, (_, c) => perPrompt(reads, own(c), this.#from.length));
  }

  /** Rows of the packed batch that the metric reads, of n circuits one after another; 0: of one run. */
  #rowsOf(n: number): number[] {
    const starts: number[] = [];
    this.#prompts.clean.reduce((at, row, b) => {
      starts.push(at - this.#from[b]);
      return at + row.length - this.#from[b];
    }, 0);
    return Array.from({ length: n || 1 }, (_, c) =>
      this.#reads.map(({ row, pos }) => c * this.#tokens + starts[row] + pos),
    ).flat();
  }

  /** The rows of a batch: from the first token that differs, after what is stored. Null: only how many tokens. */
  #inputs(prompts: Prompts | null): RowInput[] {
    return this.#prompts.clean.map((row, b) => {
      const from = this.#from[b];
      const tokens = prompts ? prompts[b].slice(from) : row.length - from;
      return { tokens, prefix: this.#prefixes[b] };
    });
  }

  /** Keys and values of what clean and corrupted prompts have in common. */
  async #keepBeginnings(): Promise<void> {
    const { clean } = this.#prompts;
    const total = this.#from.reduce((a, b) => a + b, 0);
    if (!total) {
      this.#prefixes = clean.map(() => null);
      return;
    }
    const { gpu, config } = this.#model;
    const store = new KvStore(gpu, config, total);
    for (const t of store.layers) this.#scope.add(t);
    this.#prefixes = clean.map((row, b) => {
      const tokens = row.slice(0, this.#from[b]);
      return tokens.length ? extendPrefix(null, store, tokens, store.take(tokens.length)) : null;
    });
    const inputs = this.#prefixes.flatMap((p) => (p ? [{ tokens: p.tokens, slots: p.slots }] : []));
    const layers = { from: 0, to: config.nLayers };
    await run(this.#model, { inputs, layers, keepIn: store }, () => {});
  }

  #own(t: Tensor): Tensor {
    this.#scope.add(t);
    return t;
  }
}
