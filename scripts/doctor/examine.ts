/**
 * What `npx glassbox doctor` examines: speed, every kernel against its reference, the shipped model against
 * float64.
 */

import { availableParallelism } from 'node:os';
import type { AdapterChoice } from '../../engine/gpu/adapter.js';
import type { Gpu } from '../../engine/gpu/gpu.js';
import { HookedTransformer } from '../../index.js';
import { families } from '../../kernels/index.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { copyCandidate, peakCandidate } from '../bench/ceilings.js';
import { cpuMs } from '../bench/cpu-node.js';
import { type Clock, measure, medianMs } from '../bench/measure.js';
import { KernelChecker } from '../check-kernels.js';
import { shipped } from './shipped.js';

/** Something long: how far it is. */
export interface ExamineOptions {
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** A check that failed. */
export interface Failure {
  readonly what: string;
  readonly why: string;
}

/** Errors as shares of what is allowed: up to 1 passes. */
export interface Examination {
  readonly checks: number;
  readonly worst: number;
  readonly worstOf: string;
  readonly failures: readonly Failure[];
}

/** How fast the adapter is. */
export interface Speed {
  /** `cpu`: CPU time of this process / cores, for adapters that run in it. */
  readonly clock: Clock;
  /** Multiply-adds in registers count as two. */
  readonly gflops: number;
  /** Read and written by a copy. */
  readonly gigabytesPerSecond: number;
  /** A forward pass of the shipped model over 15 tokens, all logits. */
  readonly forwardMs: number;
}

/** Adds one compared number to an examination. */
class Findings {
  checks = 0;
  worst = 0;
  worstOf = '';
  readonly failures: Failure[] = [];

  note(what: string, error: number, why: string): void {
    this.checks++;
    const size = Number.isNaN(error) ? Infinity : error;
    if (size > this.worst) [this.worst, this.worstOf] = [size, what];
    if (size > 1) this.failures.push({ what, why });
  }
}

/** The ceilings of an adapter, and a forward pass on it; medians of a few rounds. */
export async function measureSpeed(gpu: Gpu, model: HookedTransformer): Promise<Speed> {
  const clock = gpu.caps.adapterClass === 'software' ? 'cpu' : 'wall';
  const [peak, copy] = [peakCandidate(gpu), copyCandidate(gpu)];
  const [{ tokens }] = shipped;
  const forward = {
    name: 'forward',
    async run(repeats: number) {
      for (let i = 0; i < repeats; i++) {
        using _ = await model.forward([tokens]);
        await gpu.finish();
      }
    },
  };
  try {
    const [p, c, f] = await measure([peak, copy, forward], { rounds: 3, minMs: 40, cpuMs });
    return {
      clock,
      gflops: peak.flops / medianMs(p, clock) / 1e6,
      gigabytesPerSecond: copy.bytes / medianMs(c, clock) / 1e6,
      forwardMs: medianMs(f, clock),
    };
  } finally {
    peak.dispose();
    copy.dispose();
  }
}

/** What the figures of a clock are, in words. */
export const clockInWords = (clock: Clock): string =>
  clock === 'cpu' ? `CPU time / ${availableParallelism()} cores` : 'elapsed time';

/**
 * Runs every variant of the kernels that this adapter can run, and compares it with its float64 reference.
 * @param only families; default all
 */
export async function examineKernels(
  adapter: AdapterChoice,
  only: readonly string[] | null,
  { onProgress, signal }: ExamineOptions = {},
): Promise<Examination> {
  const checker = await KernelChecker.open(adapter);
  try {
    const chosen = families.filter((f) => !only || only.includes(f.name));
    const all = chosen.flatMap((family) => family.examples(checker.gpu.caps));
    const findings = new Findings();
    for (const [i, example] of all.entries()) {
      signal?.throwIfAborted();
      const { worst, failures } = await checker.check(example);
      const what = `${example.launch.kernel.name}: ${example.title}`;
      findings.note(what, failures.length ? Math.max(worst, 2) : worst, failures.join('; '));
      onProgress?.(i + 1, all.length);
    }
    return findings;
  } finally {
    checker.gpu.destroy();
  }
}

const TOLERANCE = 1e-4;

/** Runs the shipped model, its weights processed and as they are, and compares it with what float64 gives. */
export async function examineModel(
  adapter: AdapterChoice,
  { onProgress, signal }: ExamineOptions = {},
): Promise<Examination> {
  const findings = new Findings();
  let done = 0;
  for (const [how, flags] of Object.entries({ processed: {}, 'as they are': noProcessing })) {
    const model = await HookedTransformer.fromPretrained('tiny', { ...flags, adapter, signal });
    try {
      for (const run of shipped) {
        const compare = (what: string, got: ArrayLike<number>, expected: ArrayLike<number>) => {
          for (let i = 0; i < expected.length; i++) {
            const error = Math.abs(got[i] - expected[i]) / (TOLERANCE * (1 + Math.abs(expected[i])));
            findings.note(`${what}, weights ${how}`, error, `${got[i]}, expected ${expected[i]}`);
          }
        };
        await compareRun(model, run, compare);
        onProgress?.(++done, 2 * shipped.length);
      }
    } finally {
      model.dispose();
    }
  }
  return findings;
}

async function compareRun(
  model: HookedTransformer,
  { tokens, logProbs, next, patterns }: (typeof shipped)[number],
  compare: (what: string, got: ArrayLike<number>, expected: ArrayLike<number>) => void,
): Promise<void> {
  compare('log p of a text', (await model.logProbs([tokens]))[0], logProbs);
  const last = async () => {
    using logits = await model.forward([tokens]);
    using row = logits.slice({ batch: 0, pos: -1 });
    return row.data();
  };
  const [once, again] = [await last(), await last()];
  compare('the same run once more', again, once);
  const max = once.reduce((m, x) => Math.max(m, x), -Infinity);
  const lse = max + Math.log(once.reduce((s, x) => s + Math.exp(x - max), 0));
  compare(
    'log p of next tokens',
    next.tokens.map((t) => once[t] - lse),
    next.logProbs,
  );
  const { cache, logits } = await model.runWithCache([tokens], { names: 'pattern', pos: -1 });
  logits.dispose();
  try {
    for (const [layer, heads] of patterns.entries())
      compare(`attention of layer ${layer}`, await cache.get('pattern', layer).data(), heads.flat());
  } finally {
    cache.dispose();
  }
}
