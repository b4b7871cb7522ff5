/** Training: what a model learns, that it can be interrupted, and what it leaves behind. */

import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  constantSchedule,
  cosineSchedule,
  HookedTransformer,
  linearSchedule,
  lossGradients,
  randomModel,
  resumeTraining,
  saveTraining,
  Trainer,
  type TrainerOptions,
  type TrainProgress,
} from '../../index.js';
import { allClose, rng, throws } from '../helpers.js';
import { givenBack } from '../memory.js';

const config = { nLayers: 1, nHeads: 2, dModel: 16, nCtx: 12, dVocab: 23, dMlp: 32, name: 'learner' };
const start = { seed: 3, std: 0.1 };
const random = rng(5);
const batches = Array.from({ length: 12 }, () => [
  random.tokens(9, 23),
  random.tokens(5, 23),
  { tokens: random.tokens(6, 23), weights: [1, 0, 0.5, 2, 0] },
]);
const settings: TrainerOptions = {
  method: 'muon',
  lr: 0.02,
  schedule: cosineSchedule({ steps: 8, warmup: 2 }),
};

async function losses(trainer: Trainer, steps: number): Promise<number[]> {
  const seen: number[] = [];
  await trainer.train(batches, { steps, reportEvery: 1, onProgress: ({ loss }) => seen.push(loss) });
  return seen;
}

test('a model learns a sequence by heart', async () => {
  using model = await randomModel(config, start);
  const { bytes } = model.gpu.memory();
  const row = [22, 4, 17, 4, 9, 0, 11, 4, 3, 20];
  const before = await model.loss([row], { prependBos: false });
  const trainer = new Trainer(model, { lr: 0.01 });
  await trainer.train(Array(60).fill([row]), { steps: 60 });
  trainer.dispose();
  const after = await model.loss([row], { prependBos: false });
  assert.ok(before > 2.5 && after < 0.1, `${before} → ${after}`);
  givenBack(model.gpu, bytes);
});

test('a run that was interrupted and resumed is the run that was not, bit for bit', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'glassbox-training-'));
  try {
    using model = await randomModel(config, start);
    const whole = new Trainer(model, settings);
    const expected = await losses(whole, 8);
    whole.dispose();

    using first = await randomModel(config, start);
    const begun = new Trainer(first, settings);
    const seen = await losses(begun, 3);
    await saveTraining(begun, folder);
    begun.dispose();
    const resumed = await resumeTraining(folder, settings);
    seen.push(...(await losses(resumed, 8)));
    assert.equal(seen, expected);
    assert.is(resumed.model.hash, model.hash);
    await saveTraining(resumed, folder);
    assert.equal(readdirSync(folder).sort(), ['config.json', 'model.safetensors', 'optimizer-8.safetensors']);
    resumed.dispose();
    resumed.model.dispose();

    using loaded = await HookedTransformer.fromPretrainedNoProcessing(folder);
    assert.is(loaded.hash, model.hash);
    const row = [1, 2, 3, 4];
    const how = { prependBos: false };
    assert.is(await loaded.loss([row], how), await model.loss([row], how));
    await throws(resumeTraining(folder, { lr: 0.1 }), /lacks first\.|another model or method/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('two batches a step are one batch of both, whatever their lengths and weights', async () => {
  const rows = [
    random.tokens(3, 23),
    random.tokens(11, 23),
    { tokens: random.tokens(9, 23), weights: [1, 0, 0.5, 2, 0, 0, 3, 1] },
  ];
  const results: Float32Array[] = [];
  const losses: number[] = [];
  for (const [accumulate, run] of [
    [1, [rows]],
    [2, [rows.slice(0, 1), rows.slice(1)]],
  ] as const) {
    using model = await randomModel(config, start);
    const trainer = new Trainer(model, { lr: 0.01, accumulate });
    const onProgress = ({ loss }: TrainProgress) => losses.push(loss);
    await trainer.train(run, { steps: 1, reportEvery: 1, onProgress });
    trainer.dispose();
    results.push(model.weights.W_in[0].data);
  }
  allClose(results[0], results[1], { atol: 1e-5 });
  allClose([losses[0]], [losses[1]], { atol: 1e-5 });
});

test('a loss reported over several steps is the mean over their predictions', async () => {
  using model = await randomModel(config, start);
  const trainer = new Trainer(model, { lr: 0 });
  const run = [[random.tokens(2, 23)], [random.tokens(12, 23)]];
  const reported: number[] = [];
  const onProgress = ({ loss }: TrainProgress) => reported.push(loss);
  await trainer.train(run, { steps: 2, reportEvery: 2, onProgress });
  trainer.dispose();
  const logProbs = (await model.logProbs(run.flat(), { prependBos: false })).flatMap((row) => [...row]);
  assert.is(logProbs.length, 12);
  allClose(reported, [-logProbs.reduce((a, b) => a + b, 0) / 12], { atol: 1e-5 });
});

test('batches that are left when they run out are a last step', async () => {
  using model = await randomModel(config, start);
  const trainer = new Trainer(model, { lr: 0.01, accumulate: 2 });
  await trainer.train(batches.slice(0, 3), { steps: 10 });
  assert.is(trainer.steps, 2);
  trainer.dispose();
});

test('a loss that is not a number stops training, and the last good weights come back', async () => {
  using model = await randomModel(config, start);
  const { bytes } = model.gpu.memory();
  const row = [random.tokens(8, 23)];
  const losses: number[] = [];
  // The third step is one that no weights survive.
  const trainer = new Trainer(model, {
    lr: 1,
    schedule: (step) => (step === 2 ? 1e38 : 0.01),
    maxNorm: null,
  });
  await throws(
    trainer.train(Array(12).fill(row), { steps: 12, reportEvery: 1, onProgress: (e) => losses.push(e.loss) }),
    /step 4: the loss or its gradient is not a number.*after 2 steps/,
  );
  assert.is(trainer.steps, 2);
  assert.is(losses.length, 3);
  allClose([await model.loss(row, { prependBos: false })], [losses[2]], { atol: 1e-5 });
  await throws(trainer.step([row]), /failed at step 4/);
  trainer.dispose();
  givenBack(model.gpu, bytes);
});

test('a trainer refuses what would train nothing, or everything away', async () => {
  using model = await randomModel(config, start);
  const refused: [unknown, RegExp][] = [
    [{}, /lr is missing/],
    [{ lr: Number.NaN }, /lr is NaN/],
    [{ lr: -1 }, /lr is -1/],
    [{ lr: '0.1' }, /lr is "0.1"/],
    [{ lr: 0.1, accumulate: 0 }, /accumulate is 0/],
    [{ lr: 0.1, accumulate: 1.5 }, /accumulate is 1.5/],
    [{ lr: 0.1, weight_decay: 0.1 }, /weightDecay/],
  ];
  for (const [options, message] of refused)
    assert.throws(() => new Trainer(model, options as TrainerOptions), message);
  const trainer = new Trainer(model, { lr: 0.1, schedule: () => Number.NaN });
  await throws(trainer.step([[[1, 2, 3]]]), /schedule gives NaN for step 0/);
  await throws(trainer.train([], {} as never), /steps is missing/);
  trainer.dispose();
});

test('predictions count by their weights', async () => {
  using model = await randomModel(config, start);
  const rows = [random.tokens(4, 23)];
  const [logProbs] = await model.logProbs(rows, { prependBos: false });
  const weights = [2, 0, 0.5];
  const { loss, predictions, dispose } = await lossGradients(model, rows, {
    where: (_, pos) => weights[pos],
  });
  const expected = -(2 * logProbs[0] + 0.5 * logProbs[2]) / 2.5;
  allClose([await loss.item()], [expected], { atol: 1e-5 });
  assert.is(predictions, 2);
  dispose();
});

test('training tells how it goes, stops on a signal, and brings the host weights up to date', async () => {
  using model = await randomModel(config, start);
  const { hash } = model;
  const before = model.weights.W_E.data.slice();
  const events: TrainProgress[] = [];
  const abort = new AbortController();
  const trainer = new Trainer(model, settings);
  await throws(
    trainer.train(batches, {
      steps: 8,
      reportEvery: 2,
      onProgress: (e) => {
        events.push(e);
        if (e.step === 4) abort.abort(new Error('enough'));
      },
      validation: { rows: [random.tokens(8, 23), random.tokens(5, 23)], every: 4, sample: 1 },
      signal: abort.signal,
    }),
    /enough/,
  );
  assert.equal(
    events.map((e) => [e.step, e.tokens, e.validation !== null]),
    [
      [2, 40, false],
      [4, 80, true],
    ],
  );
  assert.ok(events.every((e) => e.loss > 0 && e.tokensPerSecond > 0));
  assert.is(trainer.steps, 4);
  await trainer.readBack();
  assert.not.equal(model.weights.W_E.data, before);
  assert.not(model.hash === hash);
  trainer.dispose();
});

test('a processed model is not trained', async () => {
  using model = await HookedTransformer.fromPretrained('tiny');
  throws(() => new Trainer(model, { lr: 0.1 }), /were processed \(foldLn.*fromPretrainedNoProcessing/);
});

test("random weights: the same seed, the same model; GPT-2's sizes; a sinusoid for positions", async () => {
  const sizes = { ...config, nLayers: 8, dVocab: 400 };
  using a = await randomModel(sizes, { seed: 1 });
  using b = await randomModel(sizes, { seed: 1 });
  using c = await randomModel(sizes, { seed: 2, embeddingStd: 0.1, positions: 'sinusoidal', tied: false });
  assert.is(a.hash, b.hash);
  assert.not(a.hash === c.hash);
  const std = ({ data }: { data: Float32Array }) =>
    Math.sqrt(data.reduce((s, x) => s + x * x, 0) / data.length);
  allClose([std(a.weights.W_E), std(a.weights.W_out[0]), std(c.weights.W_E)], [0.02, 0.005, 0.1], {
    rtol: 0.1,
  });
  allClose([std(c.weights.W_pos)], [0.02], { rtol: 1e-3 });
  assert.not.equal(c.weights.W_U.data[0], c.weights.W_E.data[0]);
});

test('schedules rise in a straight line and fall as they are called', () => {
  const at = (schedule: (step: number) => number) => [0, 3, 4, 8, 12].map(schedule);
  const o = { steps: 12, warmup: 4 };
  allClose(at(cosineSchedule(o)), [0.25, 1, 1, 0.5, 0]);
  allClose(at(linearSchedule({ ...o, end: 0.2 })), [0.25, 1, 1, 0.6, 0.2]);
  allClose(at(constantSchedule({ warmup: 4 })), [0.25, 1, 1, 1, 1]);
});

test.run();
