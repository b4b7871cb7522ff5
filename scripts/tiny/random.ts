/**
 * Seeded randomness for the corpus: the same seed gives the same corpus on every machine.
 */

/** A small generator (mulberry32): 32 bits of state, good enough to draw words with. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** Uniform in [0, 1). */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  /** Uniform integer in [0, n). */
  int(n: number): number {
    return Math.floor(this.next() * n);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.int(list.length)]!;
  }

  /** `count` different members of `list`, in random order. */
  sample<T>(list: readonly T[], count: number): T[] {
    if (count > list.length) throw new RangeError(`cannot draw ${count} different members of ${list.length}`);
    const chosen = new Set<number>();
    while (chosen.size < count) chosen.add(this.int(list.length));
    return [...chosen].map((i) => list[i]!);
  }

  /** An index drawn with probability proportional to its weight. */
  weighted(weights: readonly number[]): number {
    let rest = this.next() * weights.reduce((a, b) => a + b, 0);
    const found = weights.findIndex((w) => {
      rest -= w;
      return rest < 0;
    });
    return found < 0 ? weights.length - 1 : found;
  }
}

/**
 * FNV-1a with a final mix: an evenly spread number for a text, used to hold out a fixed share of all
 * combinations.
 */
export function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
