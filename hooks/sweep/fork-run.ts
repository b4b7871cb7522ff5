/** A source that is a list of counterfactuals: what they have where they have left the base. */

import type { Tensor } from '../../engine/tensor/tensor.js';
import type { Points } from '../../engine/transformer/model-points.js';
import type { Model } from '../input/model.js';
import type { Located } from '../interventions/apply.js';
import { checkNorms, type Edit, editsOf } from '../interventions/edits.js';
import type { Counterfactual } from '../interventions/interventions.js';
import type { Place, Setting } from '../interventions/places.js';
import { elementOf, type Layout } from '../run/view.js';
import { tokensThatFit } from './budget.js';
import { chunkForks, type Fork, planCell, tokensIn } from './plan.js';
import { type Ground, walk } from './walk.js';

type RunPlace = Place & { kind: 'run' };

/** What forks need of the base run. */
export interface ForkBase extends Ground {
  baseEdits(row: number): Edit[];
  idle(edit: Edit): boolean;
  readonly called: readonly number[];
}

/** Counterfactuals that are run for their activations. */
export class ForkRun {
  readonly kind = 'forks';
  readonly name: string;
  readonly #base: ForkBase;
  #points!: Points;
  #forks = new Map<string, Fork>();
  #all: Edit[] = [];
  ran = false;
  #whole = false;
  #plan: (whole: boolean) => void = () => {};
  /** Token-layers that its run took. */
  tokenLayers = 0;
  /** Per hook point and fork: the activation it is in, and the fork's row of the batch. */
  readonly #kept = new Map<string, Map<Fork, { tensor: Tensor; rows: Layout; row: number }>>();
  readonly #tensors: Tensor[] = [];

  constructor(name: string, base: ForkBase) {
    this.name = name;
    this.#base = base;
  }

  /** Everything its counterfactuals change. */
  get edits(): readonly Edit[] {
    return this.#all;
  }

  /** Halves at which its forks join. */
  get stages(): ReadonlySet<number> {
    return new Set([...this.#forks.values()].flatMap((f) => joins(f)));
  }

  /** @throws when an intervention is wrong. */
  plan(list: readonly Counterfactual[], setting: Setting): void {
    this.#plan = (whole) => this.#planned(list, setting, whole);
    this.#plan(false);
  }

  /** Its patterns are read on keys behind the query: its forks own the rest of their rows. */
  keepWhole(): void {
    if (this.#whole) return;
    this.#whole = true;
    this.#plan(true);
  }

  #planned(list: readonly Counterfactual[], setting: Setting, whole: boolean): void {
    this.#points = setting.points;
    this.#forks.clear();
    this.#all = [];
    const { nLayers, attentionDir } = setting.points.config;
    const bidirectional = attentionDir === 'bidirectional';
    const ofBase = setting.base.lengths.flatMap((_, row) => this.#base.baseEdits(row));
    list.forEach((counterfactual, cell) => {
      const what = `source "${this.name}", counterfactual ${cell}`;
      const edits = editsOf(counterfactual, setting, what);
      checkNorms([...ofBase, ...edits], `${what} of a changed base run`);
      const { idle, called } = this.#base;
      const settings = setting.base.lengths.map((length, row) => ({
        nLayers,
        length,
        tokens: length,
        reads: 'all' as const,
        baseEdits: this.#base.baseEdits(row),
        bidirectional,
        idle,
        whole,
        called,
      }));
      for (const fork of planCell(cell, edits, settings)) {
        this.#forks.set(`${cell},${fork.row}`, fork);
        this.#all.push(...fork.edits);
      }
    });
  }

  /** Does its run differ from the base's there? */
  owns({ name, cell, row, pos }: RunPlace): boolean {
    const fork = this.#forks.get(`${cell},${row}`);
    if (!fork) return false;
    const { step, join } = this.#points.get(name)!;
    return [step, join].some((h) => pos >= fork.lo[h] && pos < fork.hi[h]);
  }

  /** Runs, and keeps the named hook points. */
  async run(model: Model, names: readonly string[], signal?: AbortSignal): Promise<void> {
    const forks = [...this.#forks.values()];
    const { config, points } = model;
    const until = Math.max(...names.map((n) => points.get(n)!.join));
    for (const chunk of chunkForks(forks, tokensThatFit(model, forks), this.#base.called.length > 0)) {
      const capture = {
        names: new Set(names),
        put: (name: string, t: Tensor, spans: readonly { fork: Fork }[], rows: Layout) => {
          this.#tensors.push(t);
          const kept = this.#kept.get(name) ?? new Map();
          this.#kept.set(name, kept);
          for (const [row, { fork }] of spans.entries()) kept.set(fork, { tensor: t, rows, row });
        },
      };
      await walk(model, this.#base, chunk, { reads: 'all', until, capture, signal }, () => {});
      for (let l = 0; l < Math.min(config.nLayers, Math.ceil(until / 2)); l++)
        for (const fork of chunk) this.tokenLayers += tokensIn(fork, l);
    }
    this.ran = true;
  }

  /** Where a value of it is, or null: it is the base's. */
  locate(place: RunPlace): Located | null {
    const fork = this.#forks.get(`${place.cell},${place.row}`);
    const found = fork && this.#kept.get(place.name)?.get(fork);
    if (!found) return null;
    const { tensor, rows, row } = found;
    const { position, length } = rows.rows[row];
    if (place.pos < position || place.pos >= position + length) return null;
    return { tensor, offset: elementOf(place.name, tensor, rows, { ...place, row }), broadcast: false };
  }

  dispose(): void {
    for (const t of this.#tensors) t.dispose();
  }
}

/** Halves at which a fork takes positions over from the base's residual stream. */
export function joins({ lo, hi }: Pick<Fork, 'lo' | 'hi'>): number[] {
  const out: number[] = [];
  for (let half = 1, [a, b] = [lo[0], hi[0]]; half < lo.length; half++) {
    if (hi[half] === lo[half]) continue;
    if (b === a || lo[half] < a || hi[half] > b) out.push(half);
    [a, b] = [lo[half], hi[half]];
  }
  return out;
}
