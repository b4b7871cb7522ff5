/** Gradients at hook points: what a backward pass costs besides its forward pass. */

import type { NameFilter } from '../../hooks/input/names.js';
import type { HookedTransformer } from '../../hooks/transformer/model.js';
import { logitDiff } from '../../interp/logits/metrics.js';
import { type Candidate, ratio } from './measure.js';
import { ourForward, someTokens } from './model.js';
import type { Bench, Entry, Section } from './section.js';

/** Tokens whose logits differ. */
const METRIC = logitDiff(11, 22);

/** Gradients. */
export const backward: Section = {
  id: 'backward',
  title: 'Gradients: runWithGrads of a logit difference',
  about:
    'times: a forward pass with all logits; every: at every hook point, in place of the residual stream’s',
  columns: () => [
    { key: 'ms', label: 'ms' },
    { key: 'times', label: 'forward', digits: 2, unit: '×' },
    { key: 'everyTimes', label: 'every', digits: 2, unit: '×' },
    { key: 'dispatches', label: 'dispatches', digits: 0 },
    { key: 'submits', label: 'submits', digits: 0 },
    { key: 'bindGroups', label: 'new bind groups', digits: 0 },
    { key: 'mib', label: 'peak MiB', digits: 0 },
  ],
  async *run(b: Bench): AsyncGenerator<Entry> {
    const model = await b.model();
    for (const n of b.settings.tokens.filter((n) => n > 1)) yield gradientsOf(b, model, n);
  },
};

async function gradientsOf(b: Bench, model: HookedTransformer, n: number): Promise<Entry> {
  const { gpu, settings } = b;
  const input = someTokens(n, settings.size.dVocab);
  const stream = withGrads(model, input, 'resid_pre');
  const every = withGrads(model, input, undefined);
  const [f, s, e] = await b.measure([ourForward(model, input), stream, every], { minMs: settings.minMs / 2 });
  const before = { ...gpu.stats };
  await stream.run(1);
  const { dispatches, submits, bindGroups } = gpu.stats;
  return {
    section: 'backward',
    name: `${n} tokens`,
    figures: {
      ms: b.ms(s),
      times: ratio(s, f, settings.clock),
      everyTimes: ratio(e, f, settings.clock),
      dispatches: dispatches - before.dispatches,
      submits: submits - before.submits,
      bindGroups: bindGroups - before.bindGroups,
      mib: stream.peak / 2 ** 20,
    },
    samples: { forward: f, ours: s, every: e },
  };
}

const withGrads = (
  model: HookedTransformer,
  tokens: number[],
  names: NameFilter | undefined,
): Candidate & { peak: number } => ({
  name: 'runWithGrads',
  peak: 0,
  async run(repeats) {
    for (let i = 0; i < repeats; i++) {
      const { cache, grads, memory } = await model.runWithGrads([tokens], METRIC, { names });
      await model.gpu.finish();
      this.peak = memory.peak;
      cache.dispose();
      grads.dispose();
    }
  },
});
