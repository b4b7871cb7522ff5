/**
 * `glassbox seed pyvene`: causal tracing as in pyvene's tutorial (Wu et al. 2024), section by section: "The
 * Space Needle is in downtown". What the clean and the corrupted run say next, and the probability of "
 * Seattle" with each of three streams restored at each layer and position.
 */

import {
  firstToken,
  guessSubject,
  type Notebook,
  PYVENE_NOISE,
  type PyveneStream,
  type PyveneTrace,
  pyveneCsv,
  pyveneFigure,
  pyveneTopVals,
  pyveneTrace,
} from '../../index.js';

const BASE = 'The Space Needle is in downtown';
const STREAMS: readonly PyveneStream[] = ['block_output', 'mlp_activation', 'attention_output'];

export const notebook: Notebook = {
  name: 'pyvene',
  title: 'Causal Tracing (ROME)',
  about:
    'Noise on the embeddings of the subject takes the answer away; the clean run’s activation, restored at one position and layer (or window of layers), brings it back, or not: where are facts stored?',
  load: { foldLn: false, centerWritingWeights: false, centerUnembed: false, foldValueBiases: false },
  inputs: ['prompt', 'subject', 'answer'],
  settings: {
    window: { usual: 10, tiny: 2, help: 'layers of MLP or attention restored together' },
    noise: {
      usual: '',
      help: `standard deviation, or s3 (three times the embeddings’); default ${PYVENE_NOISE} (GPT-2), else s3`,
    },
  },
  plan: ({ model: { config } }) => [{ what: 'cells', runs: 3 * config.nLayers * 7, tokens: 7 }],

  async run(x) {
    const { model } = x;
    const prompt = x.inputs.prompt ?? BASE;
    const subject = x.inputs.subject ?? (x.inputs.prompt ? guessSubject(prompt) : 'The Space Needle');
    const word = x.inputs.answer ?? (x.inputs.prompt ? null : ' Seattle');
    const first = word === null ? null : firstToken(model, word);
    if (first && !first.whole)
      x.note(`“${word}” is several tokens here; its first one, “${first.text}”, is measured.`);
    const noise = x.noise(model.config.family === 'gpt2' ? PYVENE_NOISE : 's3');
    const streams = STREAMS.filter((stream) => stream !== 'mlp_activation' || !model.config.attnOnly);
    if (streams.length < STREAMS.length)
      x.note('The stream mlp_activation is left out: this model has no MLPs.');
    const traces = new Map<PyveneStream, PyveneTrace>();
    for (const stream of streams) {
      const window = stream === 'block_output' ? 1 : x.count('window');
      const how = { prompt, subject, stream, window, noise, ...(first && { answer: first.token }) };
      traces.set(stream, await x.step(stream, (o) => pyveneTrace(model, { ...how, ...o })));
    }
    const [one] = traces.values();
    const { clean, corrupted, answer, tokens, highScore, lowScore } = one;

    x.prompts([prompt]);
    x.section('Factual recall', `What comes after “${prompt}”.`);
    x.print(prompt, ...pyveneTopVals(clean));
    x.file('clean.txt', `${pyveneTopVals(clean).join('\n')}\n`);
    x.found(
      `p(${answer.text.trim()}) is ${highScore.toFixed(4)} in the clean run, ${lowScore.toFixed(4)} in the corrupted one.`,
    );

    x.section(
      'Corrupted run',
      `With noise of ${noise} on the embeddings of “${subject}”, one draw of RandomState(1).`,
    );
    x.print(...pyveneTopVals(corrupted));
    x.file('corrupted.txt', `${pyveneTopVals(corrupted).join('\n')}\n`);

    x.section('Restored run', 'The clean run’s activation at one layer (or window of layers) and position.');
    x.print(`token of “${answer.text}”: ${answer.token}`);
    for (const [stream, trace] of traces) {
      const figure = pyveneFigure(trace);
      x.figure(`tutorial_data/pyvene_rome_${stream}`, figure, { title: figure.title, beside: true });
      x.file(`tutorial_data/pyvene_rome_${stream}.csv`, pyveneCsv(trace));
    }
    x.note('Row labels of the pictures are upright; the tutorial turns them by 90° and saves 5 × 4 inches.');
    return { traces, tokens, answer, clean, corrupted };
  },
};
