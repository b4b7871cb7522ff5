/**
 * `glassbox seed rome-averages`: ROME's `average_causal_effects` (Meng et al. 2022, figures 2 and 3): causal
 * traces of many facts, averaged by what each token is to the subject, and with the MLPs or the attention of
 * the restored token severed.
 */

import {
  type AverageTrace,
  averageFigure,
  averageTraces,
  curveFigure,
  embeddingStd,
  labelled,
  type Notebook,
  traceFacts,
  traceKinds,
} from '../../index.js';

type TracedFacts = Awaited<ReturnType<typeof traceFacts>>;
/** What a restored token's own MLPs, or attention, would carry on is cut off. */
const SEVERED: readonly (readonly [string, { disableMlp?: boolean; disableAttn?: boolean }])[] = [
  ['all paths', {}],
  ['MLPs severed', { disableMlp: true }],
  ['attention severed', { disableAttn: true }],
];
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

export const notebook: Notebook = {
  name: 'rome-averages',
  title: 'Average causal effects',
  about:
    'How much of the answer’s probability comes back, on average over many facts that the model knows, when a clean activation is restored at a token of each role?',
  load: { foldLn: false, centerWritingWeights: false, centerUnembed: false, foldValueBiases: false },
  inputs: ['facts'],
  settings: {
    window: { usual: 10, tiny: 2, help: 'layers of MLP or attention restored together' },
    noise: {
      usual: '',
      help: 'standard deviation, or s3: three times that of the subject’s embeddings; default the family’s',
    },
    samples: { usual: 10, quick: 3, help: 'draws of the noise' },
    limit: { usual: 1000, quick: 5, help: 'facts in the averages' },
  },
  plan: (x) => {
    const facts = Math.min(x.count('limit'), x.inputs.facts?.length ?? 0);
    return [
      { what: 'traces', runs: facts * 5 * x.count('samples') * 8 * x.model.config.nLayers * 0.5, tokens: 8 },
    ];
  },

  async run(x) {
    const { model } = x;
    const how = { window: x.count('window'), noise: x.noise(), samples: x.count('samples') };
    x.section('Averages over facts', 'Mean effects by the token’s role, and with MLPs or attention severed.');
    const facts = x.inputs.facts?.slice(0, Number(x.setting('limit')));
    if (!facts)
      throw new Error('rome-averages needs facts: ROME’s known_1000.json, or a list like it (--facts)');
    const s3 =
      3 *
      embeddingStd(
        model,
        facts.map((f) => f.subject),
      );
    x.print(`noise: ${how.noise}`);
    x.print(`three standard deviations of the subjects’ embeddings: ${s3.toFixed(6)}`);
    if (model.config.attnOnly) x.note('MLPs are not restored, nor severed: this model has none.');
    const averages: { name: string; traces: TracedFacts; average: AverageTrace }[] = [];
    for (const kind of traceKinds.filter((k) => k !== 'mlp' || !model.config.attnOnly)) {
      const name = kind ?? 'state';
      const run = { ...how, kind };
      const traces = await x.step(name, (o) => traceFacts(model, facts, { ...run, ...o }), `facts-${name}`);
      if (!traces.some((t) => t.correct)) {
        x.note(`Averages over facts are left out: the model knows none of ${facts.length}.`);
        return { s3, averages, severed: [] };
      }
      const average = averageTraces(traces);
      const p = `clean p ${average.highScore.toFixed(4)}, corrupted ${average.lowScore.toFixed(4)}`;
      x.print(`${name}: ${average.traces} of ${facts.length} are known; ${p}`);
      x.figure(`average-${name}`, averageFigure(average), { lines: false });
      x.csv(`average-${name}`, average.effect);
      averages.push({ name, traces, average });
    }

    const severed: { paths: string; effect: number[] }[] = [];
    for (const [paths, cut] of model.config.attnOnly ? [] : SEVERED) {
      const run = { ...how, ...cut, tokens: 'subject_last' } as const;
      const record = `severed-${paths.replace(' ', '-')}`;
      const traces = await x.step(paths, (o) => traceFacts(model, facts, { ...run, ...o }), record);
      const known = traces.filter((t) => t.correct);
      const at = (layer: number) => mean(known.map((t) => t.scores.values[layer] - t.lowScore));
      severed.push({ paths, effect: Array.from({ length: model.config.nLayers }, (_, layer) => at(layer)) });
    }
    if (severed.length) {
      const axes = [
        { name: 'paths', labels: severed.map((row) => row.paths) },
        { name: 'layer', labels: severed[0].effect.map((_, l) => `L${l}`) },
      ];
      const values = Float32Array.from(severed.flatMap((row) => row.effect));
      const map = labelled(values, axes, { method: 'causal tracing with severed paths' });
      const title = 'Effect at the last subject token, with severed paths';
      x.figure('severed', curveFigure(map, { title, x: 'single restored layer' }));
      x.csv('severed', map);
    }
    return { s3, averages, severed };
  },
};
