/**
 * A whole forward pass: how fast, what of it is more than its matrix products, and what looking inside costs.
 */

import type { HookEntry } from '../../hooks/input/hook.js';
import type { HookedTransformer } from '../../hooks/transformer/model.js';
import { type Candidate, ratio } from './measure.js';
import { cachedForward, ourForward, someTokens } from './model.js';
import { contest } from './peers/peer.js';
import { productsAlone } from './products.js';
import type { Bench, Entry, Section } from './section.js';

const MANY = 50;

/** Forward passes. */
export const forward: Section = {
  id: 'forward',
  title: 'Whole forward passes, all logits, nothing read back',
  about:
    'over: times its matrix products alone; cache, hooks, edits: times a forward pass, with every activation kept, a hook that looks at every layer, one that changes every head’s output; growth: memory after 50 more',
  columns: (peers) => [
    { key: 'ms', label: 'ms' },
    { key: 'tokensPerSecond', label: 'tokens/s' },
    { key: 'gflops', label: 'GFLOPS', digits: 2 },
    { key: 'overProducts', label: 'over', digits: 2, unit: '×' },
    { key: 'cacheCost', label: 'cache', digits: 2, unit: '×' },
    { key: 'hookCost', label: 'hooks', digits: 2, unit: '×' },
    { key: 'editCost', label: 'edits', digits: 2, unit: '×' },
    { key: 'wallOverCpu', label: 'wall / CPU', digits: 2 },
    { key: 'dispatches', label: 'dispatches', digits: 0 },
    { key: 'submits', label: 'submits', digits: 0 },
    { key: 'bindGroups', label: 'new bind groups', digits: 0 },
    { key: 'activationsMib', label: 'peak MiB', digits: 0 },
    { key: 'growth', label: 'growth', unit: ' %' },
    ...peers.flatMap(({ id, name }) => [
      { key: `${id}.ms`, label: `${name} ms`, digits: 0 },
      { key: `${id}.times`, label: 'faster', digits: 2, unit: '×' },
    ]),
  ],
  async *run(b: Bench): AsyncGenerator<Entry> {
    const model = await b.model();
    for (const n of b.settings.tokens) yield forwardOf(b, model, n);
  },
};

async function forwardOf(b: Bench, model: HookedTransformer, n: number): Promise<Entry> {
  const { gpu, settings } = b;
  const { clock, peers, size } = settings;
  const input = someTokens(n, size.dVocab);
  const ours = ourForward(model, input);
  const alone = productsAlone(gpu, size, n);
  const { candidates, failures, dispose } = await contest(
    `forward of ${n} tokens`,
    ours,
    peers,
    (peer) => peer.forward(b.random(), input, gpu.adapter.maxBindingBytes),
    1e-3,
  );
  try {
    const looking = hooked(model, input, 'looking', [[/hook_resid_post$/, () => undefined]]);
    const editing = hooked(model, input, 'editing', [[/attn\.hook_z$/, (z) => z.mul(0.5)]]);
    const own = [ours, alone, cachedForward(model, input), looking, editing];
    const [a, m, c, h, e, ...others] = await b.measure([...own, ...candidates.map((c) => c.candidate)], {
      minMs: settings.minMs / 2,
    });
    const figures: Record<string, number> = {
      ms: b.ms(a),
      tokensPerSecond: (1000 * n) / b.ms(a),
      gflops: alone.flops / b.ms(a) / 1e6,
      overProducts: ratio(a, m, clock),
      cacheCost: ratio(c, a, clock),
      hookCost: ratio(h, a, clock),
      editCost: ratio(e, a, clock),
      ...(await countsOf(model, ours)),
      ...(await memoryOf(model, ours, n === settings.tokens[0] && !settings.quick)),
    };
    if (a[0].cpu && clock === 'cpu') figures.wallOverCpu = Math.min(...a.map((s) => s.wall / s.cpu!)); // the round that others disturbed least
    const samples: Record<string, typeof a> = { ours: a, products: m, cache: c, hooks: h, edits: e };
    candidates.forEach(({ peer: { id } }, i) => {
      figures[`${id}.ms`] = b.ms(others[i]);
      figures[`${id}.times`] = ratio(others[i], a, clock);
      samples[id] = others[i];
    });
    return { section: 'forward', name: `${n} token${n > 1 ? 's' : ''}`, figures, samples, failures };
  } finally {
    alone.dispose();
    dispose();
  }
}

const hooked = (
  model: HookedTransformer,
  tokens: number[],
  name: string,
  hooks: readonly HookEntry[],
): Candidate => ({
  name,
  async run(repeats) {
    for (let i = 0; i < repeats; i++) {
      using _logits = await model.runWithHooks([tokens], { hooks });
      await model.gpu.finish();
    }
  },
});

/** What a repeated run makes. */
async function countsOf({ gpu }: HookedTransformer, ours: Candidate): Promise<Record<string, number>> {
  const before = { ...gpu.stats };
  await ours.run(1);
  const { dispatches, submits, bindGroups } = gpu.stats;
  return {
    dispatches: dispatches - before.dispatches,
    submits: submits - before.submits,
    bindGroups: bindGroups - before.bindGroups,
  };
}

/** Memory that a run holds at most besides the weights, and by how much many runs let all of it grow. */
async function memoryOf(
  { gpu }: HookedTransformer,
  ours: Candidate,
  many: boolean,
): Promise<Record<string, number>> {
  const all = () => gpu.memory().bytes + gpu.memory().idle;
  const before = all();
  const held = gpu.memory().bytes;
  const endWatch = gpu.watchPeak();
  await ours.run(1);
  const activationsMib = (endWatch() - held) / 2 ** 20;
  if (!many) return { activationsMib };
  await ours.run(MANY);
  return { activationsMib, growth: 100 * (all() / before - 1) };
}
