/** Metrics on the GPU are what float64 makes of the logits of `forward`. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { pickRows } from '../../engine/transformer/ops.js';
import type { Metric, MetricContext, Read } from '../../hooks/run/metric.js';
import { run } from '../../hooks/run/run.js';
import { HookedTransformer, type Tensor } from '../../index.js';
import { custom, kl, logitDiff, logProb, loss, prob, rank } from '../../interp/logits/metrics.js';
import { allClose, randomGpt2, rng, threeLayers, throws } from '../helpers.js';
import { givenBack } from '../memory.js';

/** Small, and with a vocabulary of several chunks; texts are tokens of the shipped model's tokenizer. */
const small = await HookedTransformer.fromWeights(threeLayers, randomGpt2(threeLayers, 5));
const wideConfig = { ...threeLayers, nHeads: 2, dModel: 24, nLayers: 1, dVocab: 5000 };
const wide = await HookedTransformer.fromWeights(wideConfig, randomGpt2(wideConfig, 7, { untied: true }));
const tiny = await HookedTransformer.fromPretrained('tiny');
const models = { small, 'of 5000 tokens': wide };

const promptsFor = ({ config }: HookedTransformer) =>
  [5, 9, 2].map((n, i) => rng(i + 3).tokens(n, config.dVocab));

/** The final state at the reads of some prompts, owned by the caller. */
const finalOf = (model: HookedTransformer, rows: number[][], reads: readonly Read[]): Promise<Tensor> =>
  run(model, { inputs: rows.map((tokens) => ({ tokens })) }, ({ x, batch }) =>
    pickRows(
      x,
      reads.map(({ row, pos }) => batch.rows[row].start + pos),
    ).keep(),
  );

const readsFor = ({ reads }: Metric, rows: number[][]): Read[] =>
  rows.flatMap(({ length }, row) =>
    reads === 'last'
      ? [{ row, pos: length - 1 }]
      : Array.from({ length: length - 1 }, (_, pos) => ({ row, pos })),
  );

/** What a metric gives for prompts, one number a read; `reference` is the run called "other". */
async function measure(model: HookedTransformer, metric: Metric, rows: number[][], reference = rows) {
  const before = model.gpu.memory().bytes;
  const reads = readsFor(metric, rows);
  const x = await finalOf(model, rows, reads);
  const other = await finalOf(model, reference, reads);
  const final = (name: string) => {
    if (name === 'other') return Promise.resolve(other);
    throw new Error(`no run is called "${name}"`);
  };
  const context: MetricContext = { model, rows, reads, final };
  try {
    const prepared = await metric.prepare(context);
    const out = await prepared.evaluate(x, reads);
    assert.equal(out.shape, [reads.length]);
    const values = [...(await out.data())];
    out.dispose();
    prepared.dispose?.();
    return values;
  } finally {
    x.dispose();
    other.dispose();
    givenBack(model.gpu, before);
  }
}

/** Logits at the reads, in float64. */
async function logitsAt(model: HookedTransformer, rows: number[][], reads: readonly Read[]) {
  const { dVocab } = model.config;
  const logits: number[][] = [];
  for (const { row, pos } of reads) {
    const all = await model.forward(rows[row]);
    logits.push(Array.from((await all.data()).subarray(pos * dVocab, (pos + 1) * dVocab)));
    all.dispose();
  }
  return logits;
}

const lastLogits = (model: HookedTransformer, rows: number[][]) =>
  logitsAt(
    model,
    rows,
    rows.map(({ length }, row) => ({ row, pos: length - 1 })),
  );

const logSumExp = (logits: readonly number[]): number => {
  const top = Math.max(...logits);
  return top + Math.log(logits.reduce((sum, l) => sum + Math.exp(l - top), 0));
};
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
const total = (logits: readonly number[], tokens: readonly number[]) =>
  tokens.reduce((sum, t) => sum + Math.exp(logits[t] - logSumExp(logits)), 0);

for (const [title, model] of Object.entries(models)) {
  const rows = promptsFor(model);
  const last = model.config.dVocab - 1;
  const several = [[4, last], [9], [17, 3, 40]];

  test(`model ${title}: logitDiff is the difference of (mean) logits`, async () => {
    const logits = await lastLogits(model, rows);
    const expected = (a: number[][], b: number[][]) =>
      logits.map((l, i) => mean(a[i].map((t) => l[t])) - mean(b[i].map((t) => l[t])));
    const all = (t: number) => rows.map(() => [t]);
    allClose(await measure(model, logitDiff(4, last), rows), expected(all(4), all(last)), { atol: 1e-5 });
    allClose(await measure(model, logitDiff([4, 9, 17], 2), rows), expected([[4], [9], [17]], all(2)), {
      atol: 1e-5,
    });
    allClose(await measure(model, logitDiff(several, [1, [2, 2, 5], 3]), rows), [
      ...expected(several, [[1], [2, 2, 5], [3]]),
    ]);
    assert.equal(await measure(model, logitDiff(5, 5), rows), [0, 0, 0]);
  });

  test(`model ${title}: prob and logProb are those of softmax; of several tokens, together`, async () => {
    const logits = await lastLogits(model, rows);
    for (const tokens of [[[last], [last], [last]], several]) {
      const probs = logits.map((l, i) => total(l, tokens[i]));
      const answers = tokens === several ? several : last;
      allClose(await measure(model, prob(answers), rows), probs, { atol: 0, rtol: 1e-5 });
      allClose(await measure(model, logProb(answers), rows), probs.map(Math.log), { atol: 1e-5, rtol: 0 });
    }
    allClose(await measure(model, prob([[3, 3], 3, [3, 3]]), rows), await measure(model, prob(3), rows), {
      atol: 0,
      rtol: 0,
      what: 'a token named twice',
    });
  });

  test(`model ${title}: rank counts the tokens with a larger logit, and of several tokens the best one's`, async () => {
    const logits = await lastLogits(model, rows);
    const rankIn = (l: number[], t: number) => l.filter((v, i) => v > l[t] || (v === l[t] && i < t)).length;
    const tops = logits.map((l) => l.indexOf(Math.max(...l)));
    assert.equal(await measure(model, rank(tops), rows), [0, 0, 0]);
    assert.equal(
      await measure(model, rank(last), rows),
      logits.map((l) => rankIn(l, last)),
    );
    assert.equal(
      await measure(model, rank(several), rows),
      logits.map((l, i) => Math.min(...several[i].map((t) => rankIn(l, t)))),
    );
  });

  test(`model ${title}: the divergence of two runs; of a run from itself there is none`, async () => {
    const others = rows.map((tokens) => tokens.map((t) => (t + 11) % model.config.dVocab));
    const [p, q] = [await lastLogits(model, others), await lastLogits(model, rows)];
    const expected = p.map((l, i) => {
      const [a, b] = [logSumExp(l), logSumExp(q[i])];
      return l.reduce((sum, v, t) => sum + Math.exp(v - a) * (v - a - q[i][t] + b), 0);
    });
    assert.ok(Math.min(...expected) > 0.1);
    allClose(await measure(model, kl('other'), rows, others), expected, { atol: 1e-6, rtol: 1e-5 });
    allClose(await measure(model, kl('other'), rows), [0, 0, 0], { atol: 1e-7 });
  });

  test(`model ${title}: loss is −log p of each next token`, async () => {
    const metric = loss();
    const reads = readsFor(metric, rows);
    assert.is(reads.length, 4 + 8 + 1);
    const logits = await logitsAt(model, rows, reads);
    const expected = logits.map((l, i) => logSumExp(l) - l[rows[reads[i].row][reads[i].pos + 1]]);
    const values = await measure(model, metric, rows);
    allClose(values, expected, { atol: 1e-5, rtol: 0 });
    const ofModel = await model.logProbs(rows);
    allClose(
      values,
      ofModel.flatMap((a) => [...a].map((v) => -v)),
      { atol: 1e-5 },
    );
  });

  test(`model ${title}: a metric of one's own sees the logits of its reads`, async () => {
    const logits = await logitsAt(model, rows, readsFor(loss(), rows));
    const highest = custom('highest', (l) => l.max(-1), { reads: 'all' });
    allClose(
      await measure(model, highest, rows),
      logits.map((l) => Math.max(...l)),
      { atol: 1e-5 },
    );
    const own = custom('position', async (l, reads) => {
      assert.equal(l.shape, [reads.length, model.config.dVocab]);
      await l.data();
      return reads.map(({ row, pos }) => 100 * row + pos);
    });
    assert.equal(await measure(model, own, rows), [4, 108, 201]);
  });
}

test('a custom metric that throws, or gives the wrong number of numbers, leaves nothing behind', async () => {
  const rows = promptsFor(small);
  const wrong = custom('wrong', (l) => l.mean());
  await throws(measure(small, wrong, rows), /metric wrong: it gave \[\] for the logits of 3 reads: .*\[3\]/);
  const thrown = custom('thrown', (l) => {
    l.softmax();
    throw new Error('mine');
  });
  await throws(measure(small, thrown, rows), /^mine$/);
});

test('a tensor that a custom metric only hands on stays its own', async () => {
  const rows = promptsFor(small);
  const own = small.tensor([1, 2, 3], [3]);
  assert.equal(
    await measure(
      small,
      custom('own', () => own),
      rows,
    ),
    [1, 2, 3],
  );
  assert.equal([...(await own.data())], [1, 2, 3]);
  own.dispose();
});

test('more rows than are computed at once', async () => {
  const rows = [rng(1).tokens(4, 101)];
  const n = 4096 + 37;
  const [read] = readsFor(rank(7), rows);
  const x = await finalOf(small, rows, [read]);
  const many = await finalOf(small, rows, Array(n).fill(read));
  const context: MetricContext = { model: small, rows, reads: [read], final: () => Promise.resolve(x) };
  for (const metric of [
    logitDiff(3, 4),
    prob(7),
    logProb(7),
    rank(7),
    kl('base'),
    custom('7', (l) => l.slice([null, 7])),
  ]) {
    const prepared = await metric.prepare(context);
    const one = await prepared.evaluate(x, [read]);
    const all = await prepared.evaluate(many, Array(n).fill(read));
    const [expected] = await one.data();
    allClose(await all.data(), Array(n).fill(expected), { atol: 1e-6, rtol: 1e-5, what: metric.name });
    for (const t of [one, all]) t.dispose();
    prepared.dispose?.();
  }
  x.dispose();
  many.dispose();
});

test('tokens with equal logits rank by their ids', async () => {
  const tensors = randomGpt2(threeLayers, 5, { untied: true });
  const head = tensors['lm_head.weight'].data;
  const width = threeLayers.dModel;
  for (const twin of [30, 80, 100]) head.copyWithin(twin * width, 12 * width, 13 * width);
  const model = await HookedTransformer.fromWeights(threeLayers, tensors);
  const rows = [rng(1).tokens(6, 101)];
  const ranks: number[] = [];
  for (const t of [12, 30, 80, 100]) ranks.push(...(await measure(model, rank(t), rows)));
  assert.equal(
    ranks,
    [0, 1, 2, 3].map((i) => ranks[0] + i),
  );
  model.dispose();
});

test('tiny and large logits: nothing overflows, and probabilities keep their digits', async () => {
  const tensors = randomGpt2(threeLayers, 5, { untied: true });
  const head = tensors['lm_head.weight'].data;
  for (let i = 0; i < head.length; i++) head[i] *= 7; // logits of ±35
  const model = await HookedTransformer.fromWeights(threeLayers, tensors);
  const rows = promptsFor(model);
  const logits = await lastLogits(model, rows);
  const lowest = logits.map((l) => l.indexOf(Math.min(...l)));
  const expected = logits.map((l, i) => l[lowest[i]] - logSumExp(l));
  assert.ok(Math.min(...expected) < -50 && Math.min(...expected) > -85);
  allClose(await measure(model, logProb(lowest), rows), expected, { atol: 3e-5, rtol: 0 });
  allClose(await measure(model, prob(lowest), rows), expected.map(Math.exp), { atol: 0, rtol: 3e-5 });
  model.dispose();
});

test('names say what is measured', () => {
  assert.is(logitDiff(' Mary', ' John').name, 'logit(" Mary") − logit(" John")');
  assert.is(logProb([3, [4, ' a'], 5, 6]).name, 'log p([#3, [#4, " a"], #5, …])');
  assert.is(prob(3, { per: 'prompt' }).per, 'prompt');
  assert.is(rank(3).name, 'rank(#3)');
  assert.is(kl().name, 'KL(base ‖ run)');
  assert.is(loss().per, 'batch');
});

test('what does not fit the prompts or the vocabulary is refused before anything runs', async () => {
  const rows = promptsFor(small);
  const refused = (metric: Metric, pattern: RegExp) => throws(measure(small, metric, rows), pattern);
  await refused(logitDiff([1, 2], 3), /metric logit\(\[#1, #2\]\).*: a list of 2 for 3 prompts.*\[\[…\]\]/);
  await refused(prob(101), /metric p\(#101\): token id 101, but the vocabulary is 0–100/);
  await refused(logProb([1, [2, -1], 3]), /token id -1/);
  await refused(rank([1, [], 3]), /no answer for prompt 1/);
  await refused(rank(1.5), /token id 1.5/);
  await refused(kl('nobody'), /no run is called "nobody"/);
  await throws(measure(small, loss(), [[1, 2], [3]]), /metric loss: prompt 1 has 1 token/);
  throws(() => prob(1, { per: 'row' as 'batch' }), /per is "row": 'batch' or 'prompt'/);
  const [tokens] = tiny.toTokens('The');
  await throws(measure(tiny, prob(' Mary antidisestablishment'), [tokens]), /is \d+ tokens: .*" /);
});

test.run();
