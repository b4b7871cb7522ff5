/** Causal tracing gives what ROME's and pyvene's loops of whole forward passes give. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { RandomState } from '../../engine/random/numpy-random.js';
import type { SweepWork } from '../../hooks/sweep/counterfactuals.js';
import { type HookEntry, HookedTransformer, type Tensor } from '../../index.js';
import { type CausalTrace, type CausalTraceOptions, causalTrace } from '../../interp/tracing/causal-trace.js';
import {
  PYVENE_NOISE,
  type PyveneStream,
  pyveneCsv,
  pyveneTrace,
} from '../../interp/tracing/pyvene-trace.js';
import { windowAround } from '../../interp/tracing/trace-grid.js';
import { allClose, threeLayers as config, randomGpt2, rng, throws } from '../helpers.js';
import { givenBack } from '../memory.js';
import { oracle, oracleModel } from './oracle.js';

const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 8));
const tiny = await HookedTransformer.fromPretrained('tiny');
const [L, d]: number[] = [config.nLayers, config.dModel];
const samples = 3;
const prompt = rng(11).tokens(7, config.dVocab);
const subject = [2, 4] as const;
const corruption = { prompt, subject, noise: 0.3 };
const common = { ...corruption, samples } satisfies CausalTraceOptions;
const close = { atol: 2e-6, rtol: 1e-5 };

// ---- against float64
// -----------------------------------------------------------------------------------------

const { rome, pyvene } = oracle('tracing');

rome.forEach(({ model: about, traces, noiseValue, answer, lowScore, highScore, ...fact }, i) => {
  for (const { scores, ...options } of traces) {
    const { kind, window, disableMlp, disableAttn } = options;
    const severed = [disableMlp && 'MLPs', disableAttn && 'attention'].filter(Boolean).join(' and ');
    const what = `${kind ?? 'single states'}, window ${window}${severed && `, without ${severed}`}`;
    test(`${about.config.name} ${i}, ${what}: ROME's scores, in float64`, async () => {
      const traced = await oracleModel(about);
      const before = traced.gpu.memory().bytes;
      const trace = await causalTrace(traced, { ...fact, ...options });
      allClose(trace.scores.values, scores, { atol: 2e-5, rtol: 1e-4 });
      allClose([trace.lowScore, trace.highScore], [lowScore, highScore], {
        atol: 2e-5,
        rtol: 1e-4,
      });
      allClose([trace.noise!], [noiseValue], { atol: 0, rtol: 1e-6 });
      assert.is(trace.answer.token, answer);
      givenBack(traced.gpu, before);
    });
  }
});

for (const { model: about, traces, std, ...fact } of pyvene)
  for (const { stream, window, scores } of traces)
    test(`${about.config.name}, ${stream}, window ${window}: pyvene's scores, in float64`, async () => {
      const traced = await oracleModel(about);
      const { prob, answer, clean, corrupted } = await pyveneTrace(traced, {
        ...{ prompt: fact.prompt, subject: fact.subject, stream, window, noise: std },
        k: about.config.dVocab,
      });
      const [nLayers, n] = prob.shape;
      assert.equal(
        prob.axes.map((a) => a.name),
        ['layer', 'pos'],
      );
      const byLayer = Array.from(
        { length: nLayers * n },
        (_, j) => scores[(j % n) * nLayers + Math.floor(j / n)],
      );
      allClose(prob.values, byLayer, { atol: 2e-5, rtol: 1e-4 });
      assert.is(answer.token, fact.answer);
      const low = corrupted.find((t) => t.token === fact.answer)!;
      allClose([clean[0].prob, low.prob], [fact.highScore, fact.lowScore], { atol: 2e-5, rtol: 1e-4 });
    });

// ---- against whole forward passes
// -----------------------------------------------------------------------------

interface Cell {
  readonly restore: readonly string[];
  readonly pos: number;
  readonly sever?: readonly string[];
  readonly replace?: boolean;
  readonly draw?: (random: RandomState, n: number) => Float64Array;
}

const gaussian = (random: RandomState, n: number): Float64Array => random.randn(n).map((z) => 0.3 * z);

/**
 * Mean probability of every token: a batch whose row 0 is clean and whose other rows are corrupted, as in
 * ROME's code.
 */
async function wholePass({
  restore,
  pos,
  sever = [],
  replace,
  draw = gaussian,
}: Cell): Promise<Float32Array> {
  const random = new RandomState(1);
  const batch = Array.from({ length: samples + 1 }, () => prompt);
  const corrupted: [number, number] = [1, 1 + samples];
  const first = new Map<string, Tensor>();
  const corrupt = (): HookEntry => {
    const data = Float32Array.from(draw(random, samples * 2 * d));
    const at: [[number, number], [number, number]] = [corrupted, [...subject]];
    return [
      'hook_embed',
      (t, hook) => {
        const noise = hook.tensor(data, [samples, 2, d]);
        return t.set(at, replace ? noise : t.slice(at).add(noise));
      },
    ];
  };
  if (sever.length) {
    const keep: HookEntry = [
      [...sever],
      (t, { name }) => {
        first.set(name, t.slice([corrupted, pos]).keep());
      },
    ];
    (await model.runWithHooks(batch, { hooks: [corrupt(), keep] })).dispose();
  }
  const clean: HookEntry = [[...restore], (t) => t.set([corrupted, pos], t.slice([[0, 1], pos]))];
  const hold: HookEntry = [[...sever], (t, { name }) => t.set([corrupted, pos], first.get(name)!)];
  const hooks = [corrupt(), ...(restore.length ? [clean] : []), ...(sever.length ? [hold] : [])];
  const logits = await model.runWithHooks(batch, { hooks });
  const last = logits.slice([corrupted, -1]);
  const rows = last.softmax();
  const probs = rows.mean(0);
  const values = await probs.data();
  for (const t of [logits, last, rows, probs, ...first.values()]) t.dispose();
  return values as Float32Array;
}

type Options = Partial<CausalTraceOptions & { expect: undefined }>;

const layers = [...Array(L).keys()];
const outputs = (name: string, from = 0, to = L) =>
  layers.slice(from, to).map((l) => `blocks.${l}.hook_${name}`);

/** A trace, cell by cell. */
async function loop(
  trace: CausalTrace,
  name: string,
  rest: Omit<Cell, 'restore' | 'pos'> = {},
): Promise<number[]> {
  const values: number[] = [];
  for (const pos of trace.positions)
    for (const l of layers) {
      const restore = outputs(name, ...windowAround(l, trace.window, L));
      values.push((await wholePass({ ...rest, restore, pos }))[trace.answer.token]);
    }
  return values;
}

const variants: [what: string, site: string, options: Options, cell: Omit<Cell, 'restore' | 'pos'>][] = [
  ['single states', 'resid_post', {}, {}],
  ['windows of MLPs', 'mlp_out', { kind: 'mlp', window: 2 }, {}],
  ['windows of attention', 'attn_out', { kind: 'attn', window: 3 }, {}],
  ['MLPs severed', 'resid_post', { disableMlp: true }, { sever: outputs('mlp_out') }],
  [
    'MLPs restored, attention severed',
    'mlp_out',
    { kind: 'mlp', window: 2, disableAttn: true },
    { sever: outputs('attn_out') },
  ],
  ['replaced embeddings', 'resid_post', { replace: true }, { replace: true }],
  [
    'uniform noise',
    'resid_post',
    { noise: 'u0.3' },
    { draw: (r, n) => r.uniform(-1, 1, n).map((z) => 0.3 * z) },
  ],
  ['the last subject token only', 'resid_post', { tokens: 'subject_last' }, {}],
];
for (const [what, site, options, cell] of variants)
  test(`${what}: every cell is a whole forward pass of clean and corrupted rows`, async () => {
    const before = model.gpu.memory().bytes;
    const trace = await causalTrace(model, { ...common, ...options });
    allClose(trace.scores.values, await loop(trace, site, cell), close);
    const { sever: _, ...firstPass } = cell;
    const low = await wholePass({ ...firstPass, restore: [], pos: 0 });
    allClose([trace.lowScore], [low[trace.answer.token]], close);
    givenBack(model.gpu, before);
  });

// ---- facts
// ---------------------------------------------------------------------------------------------------

test('the defaults are the notebooks’: noise 0.1 and pyvene’s, no beginning-of-text token; the results say so', async () => {
  const text = 'The Space Needle is in downtown';
  const rome = await causalTrace(tiny, { prompt: text, tokens: [3] });
  assert.equal(rome.tokens, tiny.toTokens(text, { prependBos: false })[0]);
  assert.equal(
    [rome.noise, rome.scores.meta.bos, rome.scores.meta.noise],
    [0.1, false, { rule: 0.1, level: 0.1 }],
  );
  const pyvene = await pyveneTrace(tiny, { prompt: text, stream: 'block_output' });
  assert.equal(
    [pyvene.prob.meta.bos, (pyvene.prob.meta.noise as { level: number }).level],
    [false, PYVENE_NOISE],
  );
  allClose([pyvene.highScore], [rome.highScore], { atol: 1e-5 });
  const explicit = await causalTrace(tiny, { prompt: text, tokens: [3], prependBos: true });
  assert.equal([explicit.tokens.length, explicit.scores.meta.bos], [rome.tokens.length + 1, true]);
});

test('noise that hardly changes the answer is reported, with what to try', async () => {
  const quiet = await causalTrace(tiny, {
    prompt: 'The Space Needle is in downtown',
    noise: 1e-4,
    tokens: [3],
  });
  assert.match(
    (quiet.scores.meta.warnings as string[])[0],
    /noise 0.0001 hardly takes the answer away: p\(.* Try noise: 's3'/,
  );
  const loud = await causalTrace(tiny, { prompt: 'The Space Needle is in downtown', tokens: [3] });
  assert.is(loud.scores.meta.warnings, undefined);
});

test('the windows are those of Python: ten layers are five before and four after', () => {
  const around = (w: number, l: number) => windowAround(l, w, 48);
  assert.equal(
    [around(10, 20), around(10, 2), around(10, 46)],
    [
      [15, 25],
      [0, 7],
      [41, 48],
    ],
  );
  assert.equal(
    [around(1, 7), around(2, 7), around(3, 7)],
    [
      [7, 8],
      [6, 8],
      [6, 9],
    ],
  );
});

test('a window of one is the single layer; windows as wide as the model are all the same', async () => {
  const [one, wide] = [1, 10].map((window) => causalTrace(model, { ...common, kind: 'mlp', window }));
  const { scores } = await one;
  const single = await loop(await one, 'mlp_out');
  allClose(scores.values, single, close);
  const { values } = (await wide).scores;
  for (let i = 0; i < values.length; i++) assert.is(values[i], values[i - (i % L)]);
  // Equal windows are run once, but the loop that this is compared with would run each.
  const work = (await wide).scores.meta.work as SweepWork;
  assert.is(work.naiveTokenLayers, prompt.length * L * samples * prompt.length * L);
  assert.ok(work.tokenLayers < work.naiveTokenLayers / L);
});

test('restoring all neurons of an MLP is restoring its output', async () => {
  const mlp = await causalTrace(model, { ...common, samples: 1, kind: 'mlp', window: 2 });
  const neurons = await pyveneTrace(model, { ...corruption, stream: 'mlp_activation', window: 2 });
  const n = prompt.length;
  const turned = mlp.scores.values.map((_, i) => mlp.scores.values[(i % n) * L + Math.floor(i / n)]);
  allClose(neurons.prob.values, turned, close);
});

test('after the last layer only the last token matters: restored, it gives the clean probability', async () => {
  const { scores, highScore, lowScore } = await causalTrace(model, common);
  prompt.forEach((_, p) => {
    const expected = p === prompt.length - 1 ? highScore : lowScore;
    allClose([scores.values[p * L + L - 1]], [expected], close);
  });
});

test('tokens before the subject are the same in both runs: restoring them changes nothing', async () => {
  const { scores, lowScore } = await causalTrace(model, common);
  for (let i = 0; i < subject[0] * L; i++) assert.is(scores.values[i], Math.fround(lowScore));
});

test('a fact in words: the subject by its text, its tokens starred, the answer as text', async () => {
  const options = { prompt: 'The Space Needle is in downtown', samples: 2, prependBos: false };
  const trace = await causalTrace(tiny, { ...options, subject: 'The Space Needle', noise: 's3' });
  const [start, end] = trace.subject;
  assert.is(tiny.toString(trace.tokens.slice(start, end)), 'The Space Needle');
  assert.is(trace.answer.text, ' Seattle');
  const starred = trace.scores.axes[0].labels.map((label) => label.endsWith('*'));
  assert.equal(
    starred,
    trace.tokens.map((_, p) => p >= start && p < end),
  );
  assert.equal(
    trace.scores.axes.map((a) => a.name),
    ['pos', 'layer'],
  );
  assert.is(trace.scores.meta.bos, false);
  const guessed = await causalTrace(tiny, options);
  assert.equal(guessed.subject, trace.subject);
  const withBos = await causalTrace(tiny, { ...options, prependBos: true });
  assert.equal(withBos.subject, [start + 1, end + 1]);
  assert.is(withBos.scores.meta.bos, true);
});

test('a trace of some positions has the rows of the whole: the noise is the same', async () => {
  const whole = await causalTrace(model, { ...common, kind: 'mlp', window: 2 });
  const some = await causalTrace(model, { ...common, kind: 'mlp', window: 2, tokens: [5, 2] });
  assert.equal(some.positions, [5, 2]);
  assert.is(some.lowScore, whole.lowScore);
  const row = (p: number) => [...whole.scores.values.subarray(p * L, (p + 1) * L)];
  allClose(some.scores.values, [...row(5), ...row(2)], { atol: 1e-6 });
  await throws(causalTrace(model, { ...common, tokens: [7] }), /positions among the 7 tokens/);
});

test('a fact that the model does not know is not traced', async () => {
  const options = { ...common, prompt: 'The Space Needle is in downtown', subject: 'Space Needle' };
  const trace = await causalTrace(tiny, { ...options, expect: 'Paris' });
  assert.is(trace.correct, false);
  assert.is(trace.answer.text, ' Seattle');
  assert.is((await causalTrace(tiny, { ...options, expect: 'Seattle' })).correct, true);
});

test("the tutorial's table has a line a run, layer by layer", async () => {
  const trace = await pyveneTrace(model, { ...corruption, stream: 'block_output' });
  const lines = pyveneCsv(trace).split('\n');
  assert.is(lines.length, 1 + L * prompt.length + 1);
  assert.is(lines[0], ',layer,pos,prob'); // as pandas writes an index
  assert.equal(lines[1 + prompt.length + 2].split(',').map(Number), [
    prompt.length + 2,
    1,
    2,
    trace.prob.values[prompt.length + 2],
  ]);
  assert.is(trace.clean.length, 10);
});

test('tracing can be cancelled, and leaves no memory behind', async () => {
  const before = model.gpu.memory().bytes;
  const signal = AbortSignal.abort(new Error('stop'));
  await throws(causalTrace(model, { ...common, signal }), /^stop$/);
  await throws(pyveneTrace(model, { ...corruption, stream: 'block_output', signal }), /^stop$/);
  const later = new AbortController();
  const onProgress = () => later.abort(new Error('enough'));
  await throws(causalTrace(model, { ...common, signal: later.signal, onProgress }), /^enough$/);
  givenBack(model.gpu, before);
});

test('what cannot be traced is refused before anything runs', async () => {
  const refuse = (options: Partial<CausalTraceOptions>, message: RegExp) =>
    throws(causalTrace(model, { ...common, ...options }), message);
  await refuse({ subject: [3, 3] }, /subject \[3, 3\): a range within the 7 tokens/);
  await refuse({ subject: undefined }, /the prompt is tokens: say which of them are the subject/);
  await refuse({ samples: 0 }, /samples is 0: a whole number, 1 or more/);
  await refuse({ kind: 'mlp', window: 1.5 }, /window is 1.5/);
  await refuse({ kind: 'mlp', disableMlp: true }, /what is severed cannot be restored/);
  await refuse({ noise: 'loud' as 's3' }, /noise "loud": a number is needed/);
  await refuse({ kind: 'state' as 'mlp' }, /kind is "state": null/);
  await refuse({ tokens: 'last' as 'all' }, /tokens is "last": 'all' or 'subject_last'/);
  await refuse({ kind: 'MLP' as 'mlp' }, /kind is "MLP": null, 'mlp' or 'attn'/);
  await throws(
    causalTrace(tiny, { prompt: 'The Space Needle is in downtown', subject: 'Eiffel' }),
    /"Eiffel" does not occur/,
  );
  await throws(
    pyveneTrace(model, { ...corruption, stream: 'resid' as PyveneStream }),
    /stream is "resid": 'block_output', 'mlp_activation' or 'attention_output'/,
  );
});

test.run();
