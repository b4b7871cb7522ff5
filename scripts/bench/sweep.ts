/**
 * Experiments: activation patching of the residual stream (8 prompt pairs of 15 tokens that differ in one
 * token at position 10, as in the IOI notebooks) by the planner and by the loop of whole runs, and ROME's
 * causal traces.
 */

import type { HookedTransformer } from '../../hooks/transformer/model.js';
import { logitDiff } from '../../interp/logits/metrics.js';
import { patch } from '../../interp/patching/patching.js';
import type { Labelled } from '../../interp/results/result.js';
import { causalTrace, type TraceKind } from '../../interp/tracing/causal-trace.js';
import type { Candidate } from './measure.js';
import { ratio } from './measure.js';
import { someTokens } from './model.js';
import type { Bench, Entry, Section } from './section.js';

const PROMPTS = 8;
const LENGTH = 15;
const DIFFERENT = 10;
const CORRECT = 11;
const WRONG = 22;
/** Tokens of a traced prompt and of its subject, as ROME's Space Needle has them. */
const TRACED = { length: 9, subject: [1, 5] } as const;

interface Work {
  readonly tokenLayers: number;
  readonly naiveTokenLayers: number;
  readonly dispatches: number;
  readonly bytes: number;
}

/** Sweeps. */
export const sweeps: Section = {
  id: 'sweep',
  title: 'Experiments, against the loop of whole runs',
  about: `patching: ${PROMPTS} pairs of ${LENGTH} tokens that differ at position ${DIFFERENT}, a cell a layer and position; a few cells of the loop are timed and compared. work: token-layers, of what the loop computes`,
  columns: () => [
    { key: 'cells', label: 'cells', digits: 0 },
    { key: 'seconds', label: 's', digits: 2 },
    { key: 'loopSeconds', label: 'loop, s', digits: 1 },
    { key: 'times', label: 'faster', unit: '×' },
    { key: 'work', label: 'work', digits: 2, unit: ' %' },
    { key: 'dispatches', label: 'dispatches', digits: 0 },
    { key: 'mib', label: 'MiB', digits: 0 },
  ],
  async *run(b: Bench): AsyncGenerator<Entry> {
    const model = await b.model();
    yield patching(b, model);
    const kinds: TraceKind[] = b.settings.quick ? [null] : [null, 'mlp', 'attn'];
    for (const kind of kinds) yield tracing(b, model, kind);
  },
};

async function patching(b: Bench, model: HookedTransformer): Promise<Entry> {
  const { rounds, clock } = b.settings;
  const ours = plannedSweep(model);
  const loop = await loopCells(model);
  try {
    const [a, c] = await b.measure([ours, loop], { rounds: Math.min(rounds, 3), minMs: 1 });
    const { values, meta } = ours.last!;
    for (const [i, cell] of loop.indices.entries())
      if (!(Math.abs(values[cell] - loop.values[i]) <= 1e-5))
        throw new Error(`cell ${cell}: the sweep gives ${values[cell]}, the loop ${loop.values[i]}`);
    const cells = model.config.nLayers * LENGTH;
    const scale = cells / loop.indices.length;
    return {
      section: 'sweep',
      name: 'patching the residual stream',
      figures: {
        cells,
        seconds: b.ms(a) / 1000,
        loopSeconds: (scale * b.ms(c)) / 1000,
        times: scale * ratio(c, a, clock),
        ...workOf(meta.work as Work),
      },
      samples: { ours: a, loop: c },
    };
  } finally {
    loop.dispose();
  }
}

const workOf = ({ tokenLayers, naiveTokenLayers, dispatches, bytes }: Work) => ({
  work: (100 * tokenLayers) / naiveTokenLayers,
  dispatches,
  mib: bytes / 2 ** 20,
});

async function tracing(b: Bench, model: HookedTransformer, kind: TraceKind): Promise<Entry> {
  const { rounds, quick, size } = b.settings;
  const prompt = someTokens(TRACED.length, size.dVocab);
  const samples = quick ? 2 : 10;
  let work: Work | null = null;
  let cells = 0;
  const candidate: Candidate = {
    name: 'causalTrace',
    async run(repeats) {
      for (let i = 0; i < repeats; i++) {
        const { scores } = await causalTrace(model, { prompt, subject: TRACED.subject, kind, samples });
        work = scores.meta.work as Work;
        cells = scores.values.length;
      }
    },
  };
  const [measured] = await b.measure([candidate], { rounds: Math.min(rounds, 3), minMs: 1 });
  return {
    section: 'sweep',
    name: `causal trace, ${kind ?? 'single states'}, ${samples} draws`,
    figures: { cells, seconds: b.ms(measured) / 1000, ...workOf(work!) },
    samples: { ours: measured },
  };
}

function prompts({ config }: HookedTransformer): { clean: number[][]; corrupted: number[][] } {
  const all = someTokens(PROMPTS * (LENGTH + 1), config.dVocab);
  const corrupted = Array.from({ length: PROMPTS }, (_, i) => all.slice(i * LENGTH, (i + 1) * LENGTH));
  const other = (row: number) => all[PROMPTS * LENGTH + row];
  const clean = corrupted.map((row, i) => row.map((t, p) => (p === DIFFERENT ? other(i) : t)));
  return { clean, corrupted };
}

/** The whole sweep; `last` is the result of the last run. */
function plannedSweep(model: HookedTransformer): Candidate & { last: Labelled | null } {
  const pair = prompts(model);
  return {
    name: 'patch',
    last: null,
    async run(repeats) {
      for (let i = 0; i < repeats; i++)
        this.last = await patch(model, { ...pair, metric: logitDiff(CORRECT, WRONG) });
    },
  };
}

/** Some cells of the loop; `values` are their metrics, normalised as `patch` does, `indices` their cells. */
async function loopCells(
  model: HookedTransformer,
): Promise<Candidate & { indices: number[]; values: number[]; dispose(): void }> {
  const { nLayers } = model.config;
  // The loop takes the same time for each: these stand for all.
  const layers = [...new Set([0, nLayers >> 1, nLayers - 1])];
  const { clean, corrupted } = prompts(model);
  const { cache, logits } = await model.runWithCache(clean, { names: 'resid_pre' });
  const difference = async (t: typeof logits) => {
    using last = t.slice({ pos: -1 });
    using chosen = last.gather([CORRECT, WRONG]);
    const values = await chosen.data();
    t.dispose();
    let sum = 0;
    for (let i = 0; i < values.length; i += 2) sum += values[i] - values[i + 1];
    return sum / PROMPTS;
  };
  const high = await difference(logits);
  const low = await difference(await model.forward(corrupted));
  const values: number[] = [];
  return {
    name: 'loop',
    indices: layers.map((l) => l * LENGTH + DIFFERENT),
    values,
    async run(repeats) {
      for (let i = 0; i < repeats; i++)
        for (const [at, l] of layers.entries()) {
          const put = (x: typeof logits) => {
            using value = cache.get('resid_pre', l).slice({ pos: DIFFERENT });
            return x.set({ pos: DIFFERENT }, value);
          };
          const run = await model.runWithHooks(corrupted, { hooks: [[`blocks.${l}.hook_resid_pre`, put]] });
          values[at] = ((await difference(run)) - low) / (high - low);
        }
    },
    dispose: () => cache.dispose(),
  };
}
