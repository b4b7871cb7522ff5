/**
 * The runs that a sweep rests on: the base run that counterfactuals leave, and the sources that values come from. What
 * is needed of each is collected first; then each runs once and keeps just that.
 */

import { Tensor } from '../../engine/tensor/tensor.js';
import type { RowInput } from '../../engine/transformer/batch.js';
import { KvStore } from '../../engine/transformer/kv.js';
import type { HookEntry } from '../input/hook.js';
import type { Model } from '../input/model.js';
import { editHooks, type Located, type RowEdit } from '../interventions/apply.js';
import { checkNorms, type Edit, editsOf } from '../interventions/edits.js';
import type { Base } from '../interventions/interventions.js';
import { weighsLater } from '../interventions/later-keys.js';
import type { ModelEdits } from '../interventions/model-edits.js';
import { type HostNumbers, type Place, Places, type RunInfo, type Setting } from '../interventions/places.js';
import { checkCached, locateInMean, locateInRun, meanOfRun } from '../interventions/source-values.js';
import type { MetricReads, Read } from '../run/metric.js';
import { lengthsOf, openRuns, readBase, readsOf } from './base.js';
import { ForkRun } from './fork-run.js';
import type { AnyRun, Kept, TokenRun } from './kept-runs.js';
import { calledHalves } from './plan.js';
import { firstDifference } from './sameness.js';
import { runTokens } from './token-run.js';
import type { Ground } from './walk.js';

/** A base run and its sources. */
export class Runs implements Ground {
  readonly setting: Setting;
  readonly rows: readonly (readonly number[])[];
  /** Where the metric reads each prompt. */
  readonly reads: readonly Read[];
  store!: KvStore;
  slots: readonly (readonly number[])[] = [];
  readonly #model: Model;
  readonly #runs = new Map<string, AnyRun>();
  readonly #kept = new Map<string, Kept>();
  /** Per run the hook points that are needed, and from which position on. */
  readonly #needs = new Map<string, Map<string, number>>();
  readonly #means = new Set<string>();
  readonly #lastOnly: boolean;
  /** Halves whose residual stream is wanted. */
  readonly #wanted = new Set<number>();
  readonly #stages = new Map<number, Tensor>();
  readonly #uploaded = new Map<HostNumbers | string, Tensor>();
  /** Do sources continue the base run where their first tokens are the same? */
  #sharing = true;
  readonly #edits: ModelEdits | null;
  readonly called: readonly number[];
  readonly #sameUntil = new Map<string, number>();

  /** Reads and checks base and sources; nothing runs yet. @throws when something is wrong with them. */
  constructor(model: Model, base: Base, reads: MetricReads) {
    this.#model = model;
    const { rows, interventions, sources } = readBase(model, base);
    this.rows = rows;
    this.reads = readsOf(rows, reads);
    this.#lastOnly = reads === 'last';
    const { points } = model;
    const info = { lengths: lengthsOf(rows), cells: null };
    const infos = new Map<string, RunInfo>([['base', info]]);
    const [places, open] = [new Places(model.gpu), openRuns(interventions, sources, points)];
    this.#edits = model.edits as ModelEdits | null;
    this.called = calledHalves(this.#edits?.called, points);
    if (this.#edits?.opens) for (const name of ['base', ...sources.map((s) => s.name)]) open.add(name);
    this.setting = { points, base: info, runs: infos, places, open };
    const own: TokenRun = { kind: 'tokens', rows, edits: [] };
    this.#runs.set('base', own);
    for (const source of sources) {
      infos.set(source.name, source);
      if (source.kind === 'tokens') this.#runs.set(source.name, { ...source, edits: [] });
      else this.#runs.set(source.name, source.kind === 'cache' ? source : new ForkRun(source.name, this));
    }
    // What runs change is read when all of them are known.
    const names = sources.map(({ name }) => name);
    const why = 'a source takes values from the base run and from sources before it';
    const before = (i: number, base?: RunInfo) => this.#without(names.slice(i), why, base);
    const resting = new Set(['base']); // runs that cannot be made before the base run
    for (const [i, source] of sources.entries()) {
      const { name } = source;
      const run = this.#runs.get(name)!;
      if (source.kind === 'tokens' && run.kind === 'tokens')
        run.edits = [
          ...this.#planned(source.rows),
          ...editsOf(source.interventions, before(i, source), `source "${name}"`),
        ];
      const rests = (e: Edit) => e.place && e.place.kind !== 'host' && resting.has(e.place.run);
      if (source.kind === 'forks' || (run.kind === 'tokens' && run.edits.some(rests))) resting.add(name);
    }
    const others = this.#without([...resting], 'it rests on the base run itself');
    own.edits = [...this.#planned(rows), ...editsOf(interventions, others, 'base')];
    checkNorms(own.edits, 'base');
    for (const [i, source] of sources.entries()) {
      const run = this.#runs.get(source.name)!;
      if (source.kind === 'forks' && run.kind === 'forks') run.plan(source.counterfactuals, before(i));
    }
  }

  /** Names of the sources. */
  get sources(): string[] {
    return [...this.#runs.keys()].filter((n) => n !== 'base');
  }

  /** Token-layers of sources that are lists of counterfactuals. */
  get tokenLayers(): number {
    return [...this.#runs.values()].reduce((n, r) => n + (r.kind === 'forks' ? r.tokenLayers : 0), 0);
  }

  /** Edits of the base run itself, at one prompt. */
  baseEdits(row: number): Edit[] {
    return (this.#runs.get('base') as TokenRun).edits.filter((e) => e.row === row);
  }

  /** Is the value of an edit what the base run has there anyway? */
  idle = (edit: Edit): boolean => {
    const { keep, add, place, projectOut, point, pos, head, start, row } = edit;
    if (projectOut) return false;
    if (keep === 1 && add === 0) return true;
    if (!place || Math.abs(keep + add - 1) > 1e-12 || place.kind !== 'run') return false;
    if (place.name !== point.name || place.pos !== pos || place.head !== head || place.start !== start)
      return false;
    return this.#sameAsBase(place, row, edit.point.order);
  };

  /** Notes what an edit will ask for. */
  need(edits: readonly Edit[]): void {
    for (const edit of edits) {
      const { place } = edit;
      if (!place || place.kind === 'host') continue;
      const source = this.#runs.get(place.run)!;
      if (place.kind === 'mean') this.#means.add(place.run);
      if (source.kind === 'cache') checkCached(place, source.cache);
      if (source.kind === 'forks' && weighsLater(edit)) source.keepWhole();
      const names = this.#needs.get(place.run) ?? new Map<string, number>();
      this.#needs.set(place.run, names);
      const from = place.kind === 'run' ? place.pos : 0;
      names.set(place.name, Math.min(from, names.get(place.name) ?? Infinity));
      // Where a counterfactual has not left the base yet, its values are the base's.
      if (source.kind === 'forks') this.needOfBase(place.name);
    }
  }

  /** Notes that an activation of the base run will be asked for. */
  needOfBase(name: string): void {
    const names = this.#needs.get('base') ?? new Map<string, number>();
    this.#needs.set('base', names.set(name, 0));
  }

  /** Says at which halves forks will join; after all needs are known. Runs start when they are first asked for. */
  plan(stages: ReadonlySet<number>): void {
    for (const half of stages) this.#wanted.add(half);
    // Sources rest on those before them, so what those need is known when it is their turn.
    for (const run of [...this.#runs.values()].reverse()) {
      if (run.kind === 'cache' || (run.kind === 'forks' && !this.#needs.has(run.name))) continue;
      this.need(run.edits);
      if (run.kind === 'forks') for (const half of run.stages) this.#wanted.add(half);
    }
    for (const [name, names] of this.#needs)
      if (name !== 'base')
        for (const [n, from] of names) if (from < Math.max(0, ...this.#shared(name))) this.needOfBase(n);
  }

  /** Runs whatever values are needed of, and the base itself unless it is not to be left (`forks: false`). */
  async start({ signal, forks = true }: { signal?: AbortSignal; forks?: boolean } = {}): Promise<void> {
    this.#sharing = forks;
    if (forks) await this.#ensure('base', signal);
    for (const name of this.#needs.keys()) await this.#ensure(name, signal);
  }

  hooks(edits: readonly RowEdit[], here: (name: string) => boolean = () => true): readonly HookEntry[] {
    if (!this.called.length) return editHooks(edits, this);
    const [steps, own] = [true, false].map((of) =>
      edits.filter(({ edit }) => (edit.step !== undefined) === of),
    );
    return this.#edits!.inOrder(steps, this, own).filter(([name]) => here(name as string));
  }

  stage(half: number): Tensor {
    return this.#stages.get(half)!;
  }

  locate(place: Place | null): Located {
    if (!place || place.kind === 'host') {
      const numbers = place?.numbers ?? this.setting.places.constant(0);
      return {
        tensor: this.#upload(numbers),
        offset: place?.offset ?? 0,
        broadcast: place?.broadcast ?? true,
      };
    }
    if (place.kind === 'mean') return this.#mean(place);
    const source = this.#runs.get(place.run)!;
    if (source.kind === 'forks') {
      const found = source.locate(place);
      return found ?? this.locate({ ...place, run: 'base', cell: null });
    }
    const kept = this.#kept.get(place.run);
    if (kept && place.pos < kept.shared[place.row]) return this.locate({ ...place, run: 'base' });
    const cache = source.kind === 'cache' ? source.cache : kept!.cache;
    return locateInRun(cache, place);
  }

  /** What the unembedding reads in a run, at `reads`. @throws when its prompts are not as long as the base's. */
  async final(name: string): Promise<Tensor> {
    const source = this.#runs.get(name);
    if (!source)
      throw new Error(`there is no run "${name}"; these are: ${[...this.#runs.keys()].join(', ')}`);
    if (!this.comparable(name))
      throw new Error(`"${name}" is not a run of prompts as long as the base's: the metric cannot read it`);
    await this.#ensure(name);
    return this.#kept.get(name)!.final!;
  }

  /** Has a run prompts like the base's, so that a metric can be read there too? */
  comparable(name: string): boolean {
    const source = this.#runs.get(name);
    if (source?.kind !== 'tokens' || source.rows.length !== this.rows.length) return false;
    if (source.rows.every((r, i) => r.length === this.rows[i].length)) return true;
    // Of prompts of other lengths the last position goes with the last.
    return this.#lastOnly && this.setting.runs.get(name)!.partners !== undefined;
  }

  dispose(): void {
    for (const { cache, final } of this.#kept.values()) {
      cache.dispose();
      final?.dispose();
    }
    for (const run of this.#runs.values()) if (run.kind === 'forks') run.dispose();
    for (const t of [...this.#stages.values(), ...this.#uploaded.values()]) t.dispose();
    this.store?.dispose();
  }

  /** What the interventions of a run are read against: some others are not there yet when it runs. */
  #without(names: readonly string[], why: string, base: RunInfo = this.setting.base): Setting {
    const barred = (name: string, info: RunInfo) => (names.includes(name) ? { ...info, barred: why } : info);
    const runs = new Map([...this.setting.runs].map(([name, info]) => [name, barred(name, info)]));
    return { ...this.setting, base, runs };
  }

  #sameAsBase(place: Place & { kind: 'run' }, row: number, order: number): boolean {
    const source = this.#runs.get(place.run)!;
    if (place.run === 'base') return place.row === row;
    if (source.kind === 'cache') return false;
    if (source.kind === 'forks') return place.row === row && !source.owns(place);
    // A function of an edited model may carry anything anywhere.
    if (this.called.length) return false;
    const same = this.#sameTokens(place.run, place.row, row, order);
    if (this.#model.config.attentionDir !== 'bidirectional') return place.pos < same;
    return same === Math.max(source.rows[place.row].length, this.rows[row].length);
  }

  /** Up to which position a prompt of a run of tokens is that of the base, with all edits up to a hook point. */
  #sameTokens(name: string, prompt: number, row: number, order = Infinity): number {
    const key = `${name},${prompt},${row},${order}`;
    let same = this.#sameUntil.get(key);
    if (same === undefined) {
      const of = (run: TokenRun, r: number) => ({
        tokens: run.rows[r],
        edits: run.edits.filter((e) => e.row === r && e.point.order <= order),
      });
      const [a, b] = [this.#runs.get(name) as TokenRun, this.#runs.get('base') as TokenRun];
      this.#sameUntil.set(key, (same = firstDifference(of(a, prompt), of(b, row))));
    }
    return same;
  }

  /** Edits of an edited model in the prompts of a run. */
  #planned(rows: TokenRun['rows']): Edit[] {
    return this.#edits?.planned(lengthsOf(rows)) ?? [];
  }

  async #ensure(name: string, signal?: AbortSignal): Promise<void> {
    if (this.#kept.has(name)) return;
    const source = this.#runs.get(name)!;
    if (source.kind === 'cache') return;
    for (const { place } of source.edits)
      if (place && place.kind !== 'host') await this.#ensure(place.run, signal);
    if (source.kind === 'forks' || this.#shared(name).length) await this.#ensure('base', signal);
    signal?.throwIfAborted();
    if (source.kind === 'forks') {
      if (!source.ran) await source.run(this.#model, [...(this.#needs.get(name)?.keys() ?? [])], signal);
    } else {
      this.#kept.set(name, await this.#run(name, source));
    }
  }

  async #run(name: string, { rows, edits }: TokenRun): Promise<Kept> {
    const isBase = name === 'base';
    const shared = this.#shared(name);
    if (isBase) {
      const tokens = rows.reduce((n, r) => n + r.length, 0);
      this.store = new KvStore(this.#model.gpu, this.#model.config, tokens);
      this.slots = rows.map((r) => this.store.take(r.length));
    }
    const inputs = rows.map((tokens, i): RowInput => {
      if (isBase) return { tokens, slots: this.slots[i] };
      const k = shared[i] ?? 0;
      const prefix = k
        ? { store: this.store, slots: this.slots[i].slice(0, k), length: k, tokens: [] }
        : null;
      return { tokens: tokens.slice(k), prefix };
    });
    const { cache, stages, final } = await runTokens(this.#model, {
      inputs,
      hooks: this.hooks(edits.map((edit) => ({ edit, row: edit.row }))),
      names: new Set(this.#needs.get(name)?.keys()),
      stages: isBase ? this.#wanted : new Set(),
      keepIn: isBase ? this.store : undefined,
      reads: this.comparable(name) ? (this.#lastOnly ? readsOf(rows, 'last') : this.reads) : null,
    });
    for (const [half, t] of stages) this.#stages.set(half, t);
    return { cache, final, shared };
  }

  /** How many first tokens of each prompt are just those of the base run, whose keys and values then serve both. */
  #shared(name: string): number[] {
    const [base, source] = [this.#runs.get('base') as TokenRun, this.#runs.get(name)!];
    if (!this.#sharing || this.#model.config.attentionDir === 'bidirectional') return [];
    if (name === 'base' || source.kind !== 'tokens') return [];
    if (!this.comparable(name) || this.#means.has(name)) return [];
    if (this.reads.length !== this.rows.length || this.called.length) return [];
    const rests = (edits: readonly Edit[]) => edits.some((e) => e.step === undefined);
    if (rests(source.edits) || rests(base.edits)) return [];
    return source.rows.map((row, i) => {
      return Math.min(row.length - 1, this.#sameTokens(name, i, i));
    });
  }

  #upload(numbers: HostNumbers): Tensor {
    const { data } = numbers;
    if (data instanceof Tensor) return data;
    let t = this.#uploaded.get(numbers);
    if (!t)
      this.#uploaded.set(
        numbers,
        (t = Tensor.from(this.#model.gpu, data, [data.length], { label: 'value' })),
      );
    return t;
  }

  #mean(place: Place & { kind: 'mean' }): Located {
    const source = this.#runs.get(place.run)!;
    const cache = source.kind === 'cache' ? source.cache : this.#kept.get(place.run)!.cache;
    const key = `${place.run}/${place.name}/${place.over}`;
    let mean = this.#uploaded.get(key);
    if (!mean) this.#uploaded.set(key, (mean = meanOfRun(cache, place)));
    return locateInMean(mean, cache, place);
  }
}
