/**
 * Timing several candidates against each other: interleaved in rounds, so that what disturbs the machine
 * disturbs all of them alike, and compared round by round.

/** Something to be timed: `run` does the work `repeats` times and resolves when the GPU has finished it. */
export interface Candidate {
  readonly name: string;
  run(repeats: number): Promise<void>;
}

/** Milliseconds of one repeat. */
export interface Sample {
  readonly wall: number;
  /**
   * CPU time of the process, divided by the number of cores: what an otherwise idle machine would need at
   * least.
   */
  readonly cpu?: number;
}

/**
 * Which of the two the figures are made of. A software adapter works inside the process, so its CPU time
 * counts.
 */
export type Clock = keyof Sample;

export interface MeasureOptions {
  /** Rounds; each runs every candidate once. */
  readonly rounds?: number;
  /** A candidate repeats its work so often that a round of it takes at least this long, in ms. */
  readonly minMs?: number;
  /** A candidate takes part in as many rounds as this allows it, in ms; in one at least. */
  readonly budgetMs?: number;
  /** CPU time of this process so far, in ms a core; a page cannot know it. */
  readonly cpuMs?: () => number;
  readonly signal?: AbortSignal;
}

/** The samples of each candidate, round by round, after a warm-up that compiles and estimates. */
export async function measure(
  candidates: readonly Candidate[],
  { rounds = 5, minMs = 60, budgetMs = Number.POSITIVE_INFINITY, cpuMs, signal }: MeasureOptions = {},
): Promise<Sample[][]> {
  const once = async (c: Candidate, repeats: number): Promise<Sample> => {
    signal?.throwIfAborted();
    const cpu = cpuMs?.() ?? 0;
    const start = performance.now();
    await c.run(repeats);
    const wall = (performance.now() - start) / repeats;
    return { wall, ...(cpuMs ? { cpu: (cpuMs() - cpu) / repeats } : {}) };
  };
  const plans: { c: Candidate; repeats: number; rounds: number }[] = [];
  for (const c of candidates) {
    const first = await once(c, 1);
    // Of one that takes so long, compiling is a small part.
    const { wall } = first.wall > 20 * minMs ? first : await once(c, 1);
    const repeats = Math.max(1, Math.min(500, Math.round(minMs / wall)));
    plans.push({
      c,
      repeats,
      rounds: Math.max(1, Math.min(rounds, Math.floor(budgetMs / (repeats * wall)))),
    });
  }
  const samples: Sample[][] = candidates.map(() => []);
  for (let round = 0; round < rounds; round++)
    for (const [i, plan] of plans.entries())
      if (round < plan.rounds) samples[i].push(await once(plan.c, plan.repeats));
  return samples;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const on = (s: Sample, clock: Clock): number => s[clock] ?? s.wall;

/** Median over rounds, in ms. */
export const medianMs = (samples: readonly Sample[], clock: Clock): number =>
  median(samples.map((s) => on(s, clock)));

/**
 * How many times longer `a` takes than `b`: median of the rounds' ratios, over the rounds that both took part
 * in.
 */
export const ratio = (a: readonly Sample[], b: readonly Sample[], clock: Clock): number =>
  median(a.slice(0, b.length).map((s, round) => on(s, clock) / on(b[round], clock)));

export const geometricMean = (values: readonly number[]): number =>
  Math.exp(values.reduce((sum, v) => sum + Math.log(v), 0) / values.length);
