/** The runs of counterfactuals put together again, for metrics that read all positions of all prompts at once. */

import { Tensor } from '../../engine/tensor/tensor.js';
import { pickRows } from '../../engine/transformer/ops.js';
import { finite } from '../../weights/checks/finite.js';
import type { PreparedMetric, Read } from '../run/metric.js';

/** Rows that are put together at once. */
const ROWS = 2 ** 13;

/** What a counterfactual has of its own: rows of what the unembedding reads, and which reads they are. */
interface Part {
  readonly x: Tensor;
  readonly reads: readonly number[];
}

/** What the unembedding reads in each counterfactual, until it is complete. */
export class WholeRuns {
  readonly #metric: PreparedMetric;
  readonly #base: Tensor;
  readonly #reads: readonly Read[];
  readonly #parts = new Map<number, Part[]>();

  /** @param base what it reads in the base run, [reads, dModel] */
  constructor(metric: PreparedMetric, base: Tensor, reads: readonly Read[]) {
    this.#metric = metric;
    this.#base = base;
    this.#reads = reads;
  }

  /** Keeps rows of x [reads, dModel] for the counterfactuals that they belong to. */
  add(x: Tensor, reads: readonly (Read & { readonly cell: number })[]): void {
    const places = new Map(this.#reads.map(({ row, pos }, i) => [`${row},${pos}`, i]));
    for (const cell of new Set(reads.map((r) => r.cell))) {
      const rows = [...reads.keys()].filter((i) => reads[i].cell === cell);
      const own = rows.map((i) => places.get(`${reads[i].row},${reads[i].pos}`)!);
      const part = { x: pickRows(x, rows, null).keep(), reads: own };
      this.#parts.set(cell, [...(this.#parts.get(cell) ?? []), part]);
    }
  }

  /**
   * The metric of counterfactuals whose rows have all come, at each read. They are read back together.
   * @param what names one
   */
  async values(cells: readonly number[], what: (cell: number) => string): Promise<Map<number, number[]>> {
    const made: Tensor[] = [];
    const n = this.#reads.length;
    try {
      const step = Math.max(1, Math.floor(ROWS / n));
      for (let i = 0; i < cells.length; i += step) {
        const some = cells.slice(i, i + step);
        const x = this.#whole(some);
        try {
          made.push(
            await this.#metric.evaluate(
              x,
              some.flatMap(() => this.#reads),
            ),
          );
        } finally {
          x.dispose();
        }
      }
      if (!made.length) return new Map();
      const all = Tensor.concat(made);
      made.push(all);
      const data = finite(await all.data(), (i) => `${what(cells[Math.floor(i / n)])}: the metric`);
      return new Map(cells.map((cell, i) => [cell, [...data.subarray(i * n, (i + 1) * n)]]));
    } finally {
      for (const t of made) t.dispose();
    }
  }

  /** What the unembedding reads in whole runs of counterfactuals, one after another: [cells · reads, dModel]. */
  #whole(cells: readonly number[]): Tensor {
    const own: Tensor[] = [];
    let start = this.#reads.length;
    const rows = cells.flatMap((cell) => {
      const of = [...this.#reads.keys()];
      for (const { x, reads } of this.#parts.get(cell) ?? []) {
        own.push(x);
        for (const read of reads) of[read] = start++;
      }
      this.#parts.delete(cell);
      return of;
    });
    const all = Tensor.concat([this.#base, ...own]);
    const whole = pickRows(all, rows, null).keep();
    for (const t of [all, ...own]) t.dispose();
    return whole;
  }

  /** Gives back what counterfactuals hold that were not completed. */
  dispose(): void {
    for (const { x } of [...this.#parts.values()].flat()) x.dispose();
    this.#parts.clear();
  }
}
