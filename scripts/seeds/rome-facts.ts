/** Causal traces: of three prompts of the notebook, and averaged over many facts. */

import { embeddingStd } from '../../hooks/noise.js';
import { averageTraces } from '../../interp/average-traces.js';
import {
  type CausalTrace,
  type CausalTraceOptions,
  causalTrace,
  type TraceKind,
  type WrongAnswer,
} from '../../interp/causal-trace.js';
import { type Fact, readFacts } from '../../interp/facts.js';
import type { Comparison } from '../../interp/plots/compare.js';
import { drawnFigure } from '../../interp/plots/drawing.js';
import { lineLines, lines } from '../../interp/plots/lines.js';
import { linesSvg } from '../../interp/plots/lines-svg.js';
import { visible } from '../../interp/plots/text.js';
import { averageFigure, traceFigure } from '../../interp/plots/trace.js';
import { labelled } from '../../interp/result.js';
import { readTextFile } from '../../weights/text-node.js';
import { SIGHTS } from '../tiny/lists.js';
import { fill } from '../tiny/sentences.js';
import type { Experiment, StepOptions } from './experiment.js';
import { published } from './rome-published.js';
import { columns } from './tables.js';

/** In the notebook's order. */
const KINDS: readonly TraceKind[] = [null, 'mlp', 'attn'];
const PROMPTS = [
  'Martha Stewart, the well-known',
  'Beverly Cooper, the well-known',
  'Mark Allen, the well-known',
];
/** Of the model with four layers: ten would restore all of them everywhere. */
export const TINY_WINDOW = 2;

const kindName = (kind: TraceKind): string => kind ?? 'state';

function settings(x: Experiment): Pick<CausalTraceOptions, 'window' | 'noise' | 'samples' | 'prependBos'> {
  return {
    window: x.count('window', x.tiny ? TINY_WINDOW : 10),
    noise: x.noise(0.1),
    samples: x.count('samples', 10),
    prependBos: false,
  };
}

/** Traces one prompt in one way. */
function trace(
  x: Experiment,
  label: string,
  options: Omit<CausalTraceOptions, 'expect'>,
): Promise<CausalTrace> {
  return x.step(label, (step) => causalTrace(x.model, { ...settings(x), ...options, ...step }));
}

/** The three prompts, restoring states, MLPs and attention. */
export async function threePrompts(x: Experiment): Promise<void> {
  for (const prompt of PROMPTS) {
    const traces: CausalTrace[] = [];
    for (const kind of KINDS) traces.push(await trace(x, `tracing ${kindName(kind)}`, { prompt, kind }));
    const [{ answer, highScore, lowScore }] = traces;
    const file = prompt.split(',')[0].toLowerCase().replace(' ', '-');
    x.heading(`${prompt}${visible(answer.text)}`);
    x.say(`clean p ${highScore.toFixed(4)}, corrupted p ${lowScore.toFixed(4)}`);
    for (const t of traces) x.csv(`${file}-${kindName(t.kind)}`, t.scores);
    x.figure(file, traceFigure(traces), {
      title: `${prompt} … “${answer.text.trim()}”`,
    });
    x.compare('exactness', exactness(prompt.split(',')[0], traces));
  }
}

/** After the last layer the last token is the clean run, and another token nothing. */
function exactness(name: string, [state]: readonly CausalTrace[]): Comparison[] {
  const { scores, highScore, lowScore } = state;
  const [tokens, layers] = scores.shape;
  const at = (pos: number) => scores.values[pos * layers + layers - 1];
  const tolerance = 1e-4;
  return [
    {
      name: `${name}, clean`,
      expected: highScore,
      got: at(tokens - 1),
      tolerance,
    },
    {
      name: `${name}, corrupted`,
      expected: lowScore,
      got: at(0),
      tolerance,
    },
  ];
}

/** Facts to average over: a file in ROME's format, else those that the shipped model was trained on. */
function factsOf(x: Experiment): Fact[] {
  const { facts: file } = x.values;
  if (typeof file === 'string') return readFacts(readTextFile(file));
  return SIGHTS.map(([sight, attribute]) => {
    const subject = fill(sight, {});
    return { prompt: `The ${subject} is located in the city of`, subject, attribute };
  });
}

/** Average effects by token role, and with MLPs or attention severed; for models of which facts are at hand. */
export async function manyFacts(x: Experiment): Promise<void> {
  if (!x.tiny && !x.values.facts) {
    x.heading('Averages over facts');
    x.tell('Left out: name ROME’s known_1000.json, or a list like it, with --facts.');
    return;
  }
  const all = factsOf(x);
  const facts = all.slice(0, x.count('limit', all.length));
  const s3 =
    3 *
    embeddingStd(
      x.model,
      all.map((f) => f.subject),
    );
  x.heading(`Averages over ${facts.length} facts`);
  x.say(`three standard deviations of their subjects’ embeddings: ${s3.toFixed(6)}`);
  if (x.compares && typeof x.values.facts === 'string')
    x.compare('noise', [
      { name: 'three standard deviations of embeddings', expected: published.s3, got: s3, tolerance: 1e-6 },
    ]);
  for (const kind of KINDS) {
    const traces = await x.step(`averaging ${kindName(kind)}`, (step) => overFacts(x, facts, { kind }, step));
    const average = averageTraces(traces);
    x.say(
      '',
      `${average.traces} of ${facts.length} are known: clean p ${average.highScore.toFixed(4)}, corrupted ${average.lowScore.toFixed(4)}`,
    );
    const drawn = averageFigure(average);
    x.say(drawn.title);
    x.figure(`average-${kindName(kind)}`, drawn);
    x.csv(`average-${kindName(kind)}`, average.effect);
    x.csv(`average-${kindName(kind)}-band`, average.band);
  }
  await severed(x, facts);
}

const SEVERED = [
  ['all paths', {}],
  ['MLPs severed', { disableMlp: true }],
  ['attention severed', { disableAttn: true }],
] as const;

/** ROME's figure 3: how much of the effect at the last subject token goes through MLPs, or attention. */
async function severed(x: Experiment, facts: readonly Fact[]): Promise<void> {
  const rows: Float32Array[] = [];
  let meta: Readonly<Record<string, unknown>> = {};
  for (const [name, options] of SEVERED) {
    const traces = await x.step(name, (step) =>
      overFacts(x, facts, { tokens: 'subject_last', ...options }, step),
    );
    const known = traces.filter((t): t is CausalTrace => t.correct);
    meta = known[0].scores.meta;
    rows.push(
      known[0].scores.values.map(
        (_, l) => known.reduce((sum, t) => sum + t.scores.values[l] - t.lowScore, 0) / known.length,
      ),
    );
  }
  const layers = { name: 'layer', labels: rows[0] && Array.from(rows[0], (_, l) => `L${l}`) };
  const paths = { name: 'paths', labels: SEVERED.map(([name]) => name) };
  const { model, processing, adapter, bos } = meta;
  const effect = labelled(Float32Array.from(rows.flatMap((r) => [...r])), [paths, layers], {
    ...{ model, processing, adapter, bos, method: 'causal tracing with severed paths' },
  });
  const title = 'Effect of a state at the last subject token, with severed paths';
  const plot = lines(effect, {
    x: 'single restored layer',
    y: 'probability of the answer: restored − corrupted',
  });
  x.say('', title);
  x.figure(
    'severed',
    drawnFigure({
      title,
      about:
        'A state is restored, but the MLPs (or attention) of its token stay what they are in a corrupted run: what is then lost went through them.',
      meta: effect.meta,
      svg: (frame) => linesSvg(plot, { ...frame, heading: title }),
      lines: (terminal) => lineLines(plot, terminal),
    }),
  );
  x.csv('severed', effect);
  const last = rows.map((row) => row[row.length - 1]);
  x.say(...columns([['after the last layer', ...last.map((v) => v.toFixed(4))]]));
}

/** The same trace of every fact; wrong answers are kept as such. */
async function overFacts(
  x: Experiment,
  facts: readonly Fact[],
  options: Partial<CausalTraceOptions>,
  { onProgress, signal }: StepOptions,
): Promise<(CausalTrace | WrongAnswer)[]> {
  const traces: (CausalTrace | WrongAnswer)[] = [];
  for (const { prompt, subject, attribute } of facts) {
    const fact = { prompt, subject, expect: attribute, signal };
    traces.push(await causalTrace(x.model, { ...settings(x), ...fact, ...options }));
    onProgress(traces.length, facts.length);
  }
  return traces;
}
