/**
 * `glassbox seed rome-averages`: ROME's `average_causal_effects` (Meng et al. 2022, figures 2 and 3): causal traces of many facts, averaged by
 * what each token is to the subject, and with the MLPs or the attention of the restored token severed.
 */
// biome-ignore-all format: cells are kept as short as in the notebook

import {
  averageFigure, averageTraces, curveFigure, embeddingStd, labelled, type NoiseRule, type Notebook,
  traceFacts, traceKinds,
} from '../../index.js';

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

export const notebook: Notebook = {
  name: 'rome-averages', title: 'Average causal effects', about:
    'How much of the answer’s probability comes back, on average over many facts that the model knows, when a clean activation is restored at a token of each role?',
  load: { foldLn: false, centerWritingWeights: false, centerUnembed: false, foldValueBiases: false },
  inputs: ['facts'],
  settings: {
    window: { usual: 10, tiny: 2, help: 'layers of MLP or attention restored together' },
    noise: {
      usual: 0.1,
      help: 'standard deviation, or s3: three times that of the subjects’ embeddings',
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
    const level = x.setting('noise');
    const noise = (Number.isFinite(Number(level)) ? Number(level) : level) as NoiseRule;
    const how = { window: x.count('window'), noise, samples: x.count('samples') };
    x.section('Averages over facts', 'Mean effects by the token’s role, and with MLPs or attention severed.');
    const facts = x.inputs.facts?.slice(0, Number(x.setting('limit')));
    if (!facts)
      throw new Error('rome-averages needs facts: ROME’s known_1000.json, or a list like it (--facts)');
    const s3 =
      3 *
      embeddingStd(model, facts.map((f) => f.subject));
    x.print(`three standard deviations of the subjects’ embeddings: ${s3.toFixed(6)}`);
    if (model.config.attnOnly) x.note('MLPs are not restored, nor severed: this model has none.');
    for (const kind of traceKinds.filter((k) => k !== 'mlp' || !model.config.attnOnly)) {
      const name = kind ?? 'state';
      const each = await x.step(`facts, ${name}`, (o) =>
        traceFacts(model, facts, { ...how, kind, ...o, ...x.record(`facts-${name}`) }),
      );
      if (!each.some((t) => t.correct)) {
        x.note(`Averages over facts are left out: the model knows none of ${facts.length}.`);
        break;
      }
      const average = averageTraces(each);
      x.print(
        `${name}: ${average.traces} of ${facts.length} are known; clean p ${average.highScore.toFixed(4)}, corrupted ${average.lowScore.toFixed(4)}`,
      );
      x.figure(`average-${name}`, averageFigure(average), { lines: false });
      x.csv(`average-${name}`, average.effect);
    }
    const rows: [string, { disableMlp?: boolean; disableAttn?: boolean }][] = [
      ['all paths', {}], ['MLPs severed', { disableMlp: true }], ['attention severed', { disableAttn: true }],
    ];
    const effects: number[][] = [];
    for (const [name, severed] of model.config.attnOnly ? [] : rows) {
      const o = {
        ...how, ...severed, tokens: 'subject_last' as const, ...x.record(`severed-${name.replace(' ', '-')}`),
      };
      const each = (await x.step(name, (step) => traceFacts(model, facts, { ...o, ...step }))).filter(
        (t) => t.correct,
      );
      if (each.length)
        effects.push(
          Array.from(each[0].scores.values, (_, l) => mean(each.map((t) => t.scores.values[l] - t.lowScore))),
        );
    }
    if (effects.length) {
      const axes = [
        { name: 'paths', labels: rows.map(([name]) => name) },
        { name: 'layer', labels: effects[0].map((_, l) => `L${l}`) },
      ];
      const map = labelled(Float32Array.from(effects.flat()), axes, {
        method: 'causal tracing with severed paths',
      });
      x.figure(
        'severed',
        curveFigure(map, {
          title: 'Effect at the last subject token, with severed paths', x: 'single restored layer',
        }),
      );
      x.csv('severed', map);
    }
    return { s3 };
  },
};
