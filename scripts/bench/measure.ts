/**
 * Timing several candidates against each other: interleaved in rounds, so that what disturbs the machine disturbs
 * all of them alike, and compared round by round.
 */

import { availableParallelism } from 'node:os';

/** Something to be timed: `run` does the work `repeats` times and resolves when the GPU has finished it. */
export interface Candidate {
  readonly name: string;
  run(repeats: number): Promise<void>;
}

/** Milliseconds of one repeat. */
export interface Sample {
  readonly wall: number;
  /** CPU time of the process, divided by the number of cores: what an otherwise idle machine would need at least. */
  readonly cpu: number;
}

/** Which of the two the figures are made of. A software adapter works inside the process, so its CPU time counts. */
export type Clock = keyof Sample;

export interface MeasureOptions {
  /** Rounds; each runs every candidate once. */
  rounds?: number;
  /** A candidate repeats its work so often that a round of it takes at least this long, in ms. */
  minMs?: number;
}

/** The samples of each candidate, round by round, after a warm-up that compiles and estimates. */
export async function measure(
  candidates: readonly Candidate[],
  { rounds = 5, minMs = 60 }: MeasureOptions = {},
): Promise<Sample[][]> {
  const repeats: number[] = [];
  for (const c of candidates) {
    await c.run(1);
    const { wall } = await once(c, 1);
    repeats.push(Math.max(1, Math.min(500, Math.round(minMs / wall))));
  }
  const samples: Sample[][] = candidates.map(() => []);
  for (let round = 0; round < rounds; round++)
    for (const [i, c] of candidates.entries()) samples[i].push(await once(c, repeats[i]));
  return samples;
}

async function once(c: Candidate, repeats: number): Promise<Sample> {
  const cpu = process.cpuUsage();
  const start = performance.now();
  await c.run(repeats);
  const wall = (performance.now() - start) / repeats;
  const { user, system } = process.cpuUsage(cpu);
  return { wall, cpu: (user + system) / 1000 / availableParallelism() / repeats };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Median over rounds, in ms. */
export const medianMs = (samples: readonly Sample[], clock: Clock): number =>
  median(samples.map((s) => s[clock]));

/** How many times longer `a` takes than `b`: median of the rounds' ratios. */
export const ratio = (a: readonly Sample[], b: readonly Sample[], clock: Clock): number =>
  median(a.map((s, round) => s[clock] / b[round][clock]));

export const geometricMean = (values: readonly number[]): number =>
  Math.exp(values.reduce((sum, v) => sum + Math.log(v), 0) / values.length);

/** A table for the terminal: the first column to the left, the others to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((h, i) => Math.max(h.length, ...rows.map((r) => r[i].length)));
  const line = (cells: readonly string[]) =>
    cells
      .map((c, i) => (i ? c.padStart(widths[i]) : c.padEnd(widths[i])))
      .join('  ')
      .trimEnd();
  return [line(head), line(widths.map((w) => '-'.repeat(w))), ...rows.map(line)].join('\n');
}
