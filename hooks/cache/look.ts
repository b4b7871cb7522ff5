/**
 * A cache as its analyses look at it: some positions of every row, packed [tokens, ...], and either whole
 * vectors of the residual stream or their products with some directions, so that the d_model axis need not
 * exist.
 */

import type { Scope } from '../../engine/gpu/storage.js';
import type { AxisName } from '../../engine/shape/axes.js';
import { showShape } from '../../engine/shape/shape.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import type { Norm } from '../../engine/transformer/parts/norm.js';
import { shownJson } from '../../weights/checks/messages.js';
import { type PosSlice, positionRange } from '../run/positions.js';
import { pack } from '../run/view.js';
import type { ActivationCache } from './cache.js';

/** What to look at. */
export interface LookOptions {
  /**
   * One position (its axis is dropped; negative counts from each row's end) or [start, end); all by default.
   */
  readonly pos?: PosSlice | null;
  /** Directions [dModel] or [directions, dModel]: products with them take the place of the d_model axis. */
  readonly projectOnto?: Tensor | null;
}

/** Positions of a cache, and the axis that stands for d_model. */
export class Look {
  readonly cache: ActivationCache;
  /** Positions of each row, [start, end), or null: all of them. */
  readonly #picked: readonly (readonly [start: number, end: number])[] | null;
  /** [dModel, directions], dense, or null. */
  readonly #onto: Tensor | null;
  /** Number of positions, all rows together. */
  readonly tokens: number;
  /** Per row, how many. */
  readonly counts: readonly number[];
  /** The axes that stand for them: [batch, pos]; [batch]; [tokens] where rows differ in length. */
  readonly lead: readonly number[];
  /** What they are called. */
  readonly names: readonly AxisName[];
  /** Length of the last axis: dModel, or the number of directions. */
  readonly width: number;
  /** That axis as results have it: dropped for a single direction [dModel]. */
  readonly last: readonly number[];

  /** @param scope what it makes is freed with it */
  constructor(
    cache: ActivationCache,
    { pos = null, projectOnto = null }: LookOptions,
    what: string,
    scope: Scope,
  ) {
    const { rows, equal } = cache.layout;
    const { dModel } = cache.config;
    this.cache = cache;
    this.#picked =
      pos === null ? null : rows.map((r, i) => positionRange(pos, r.length, `${what}: pos of row ${i}`));
    this.counts = this.#picked?.map(([a, b]) => b - a) ?? rows.map((r) => r.length);
    this.tokens = this.counts.reduce((n, k) => n + k, 0);
    const same = this.counts.every((k) => k === this.counts[0]);
    if (pos !== null && !same)
      throw new Error(`${what}: pos ${shownJson(pos)} gives different numbers of positions in the rows`);
    this.lead =
      typeof pos === 'number'
        ? [rows.length]
        : pos !== null || equal
          ? [rows.length, this.counts[0]]
          : [this.tokens];
    this.names = this.lead.length === 2 ? ['batch', 'pos'] : [typeof pos === 'number' ? 'batch' : null];
    if (projectOnto && (projectOnto.shape.length > 2 || projectOnto.shape.at(-1) !== dModel))
      throw new Error(
        `${what}: projectOnto has shape ${showShape(projectOnto.shape)}: directions [${dModel}] or [n, ${dModel}] are needed`,
      );
    this.#onto = projectOnto?.alias(scope).reshape([-1, dModel]).transpose().slice([]) ?? null;
    this.width = this.#onto?.shape[1] ?? dModel;
    this.last = projectOnto?.shape.length === 1 ? [] : [this.width];
  }

  /** Whether directions stand for the d_model axis. */
  get projected(): boolean {
    return this.#onto !== null;
  }

  /** An activation at the positions: [tokens, ...], in `scope`. Not for scores and patterns. */
  at(name: string, scope: Scope): Tensor {
    const { layout } = this.cache;
    const t = this.cache.get(name).alias(scope);
    const packed = pack(name, t, layout);
    if (!this.#picked) return packed;
    const parts = this.#picked.map(([a, b], i) =>
      packed.window([[layout.rows[i].start + a, layout.rows[i].start + b]]),
    );
    return parts.length === 1 ? parts[0] : Tensor.concat(parts);
  }

  /**
   * Vectors [..., dModel] as this look has them: [..., width]. In the scope of x.
   * @param behind a norm that they are still to pass, its scale a constant: products are with what its gain
   * makes of the directions
   */
  onto(x: Tensor, behind: Norm | null = null): Tensor {
    if (!this.#onto) return x;
    const rows = x.reshape([-1, x.shape.at(-1)!]);
    const onto = behind ? behind.pullBack(this.#onto.alias(x.scope).transpose()).transpose() : this.#onto;
    return rows.matmul(onto).reshape([...x.shape.slice(0, -1), this.width]);
  }
}
