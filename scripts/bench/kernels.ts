/**
 * Every kernel of a forward pass, of an unfused one and of a backward pass, alone, against the adapter's
 * ceilings.
 */

import { logitDiff } from '../../interp/logits/metrics.js';
import { launchCandidate } from './buffers.js';
import { someTokens } from './model.js';
import { type Recorded, recordLaunches } from './record.js';
import type { Bench, Entry, Section } from './section.js';

/** Kernels alone. */
export const kernels: Section = {
  id: 'kernels',
  title: 'Kernels alone, as the longest prompt launches them',
  about:
    'ms: of all its launches in one pass. GB/s: each buffer counted once, against the copy; GFLOPS of matrix products',
  columns: () => [
    { key: 'times', label: 'launches', digits: 0 },
    { key: 'ms', label: 'ms', digits: 2 },
    { key: 'part', label: 'of the pass', unit: ' %' },
    { key: 'gflops', label: 'GFLOPS', digits: 2 },
    { key: 'share', label: 'of peak', unit: ' %' },
    { key: 'gbs', label: 'GB/s', digits: 2 },
    { key: 'copyShare', label: 'of copy', unit: ' %' },
  ],
  async *run(b: Bench): AsyncGenerator<Entry> {
    const model = await b.model();
    const input = [someTokens(b.settings.tokens.at(-1)!, model.config.dVocab)];
    const passes: Record<string, () => Promise<void>> = {
      forward: async () => (await model.forward(input)).dispose(),
      unfused: async () => {
        const { logits, cache } = await model.runWithCache(input);
        logits.dispose();
        cache.dispose();
      },
      backward: async () => {
        const { cache, grads } = await model.runWithGrads(input, logitDiff(11, 22), { names: 'resid_pre' });
        cache.dispose();
        grads.dispose();
      },
    };
    const shown = new Set<string>();
    for (const [pass, f] of Object.entries(passes)) {
      const recorded = await recordLaunches(b.gpu, f);
      const entries: Entry[] = [];
      for (const r of recorded) entries.push(await entryOf(b, pass, r));
      const whole = entries.reduce((sum, e) => sum + e.figures.ms, 0);
      entries.sort((x, y) => y.figures.ms - x.figures.ms);
      for (const e of entries) {
        if (shown.has(e.name)) continue;
        shown.add(e.name);
        yield {
          ...e,
          name: `${pass}: ${e.name}`,
          figures: { ...e.figures, part: (100 * e.figures.ms) / whole },
        };
      }
    }
  },
};

async function entryOf(b: Bench, pass: string, recorded: Recorded): Promise<Entry> {
  const { launch, bindings, times } = recorded;
  const candidate = launchCandidate(b.gpu, launch, bindings);
  try {
    const [samples] = await b.measure([candidate], { minMs: b.settings.minMs / 2 });
    const ms = b.ms(samples);
    const { flops, bytes } = workOf(recorded);
    const figures: Record<string, number> = { times, ms: times * ms, gbs: bytes / ms / 1e6 };
    if (flops) figures.gflops = flops / ms / 1e6;
    if (b.ceilings) {
      if (flops) figures.share = (100 * figures.gflops) / b.ceilings.gflops;
      figures.copyShare = (100 * figures.gbs) / b.ceilings.gbs;
    }
    return { section: 'kernels', name: launch.kernel.name, figures, samples: { [pass]: samples } };
  } finally {
    candidate.dispose();
  }
}

/** Operations (0: not counted) and bytes that a launch cannot do without. */
function workOf({ launch: { kernel, params }, bindings, bytes }: Recorded): { flops: number; bytes: number } {
  const [family] = kernel.name.split('/');
  const sizes = kernel.name.match(/\/(\d+)x(\d+)/);
  if (sizes && (family === 'matmul' || family === 'unembed'))
    return { flops: 2 * params.rows * Number(sizes[1]) * Number(sizes[2]), bytes };
  // A look-up reads as many rows of its table as it writes.
  if (family === 'embed' || family === 'gatherRows') return { flops: 0, bytes: 2 * bindings.at(-1)!.bytes };
  return { flops: 0, bytes };
}
