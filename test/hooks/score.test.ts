/** Scoring many texts: the same numbers as one by one, for less work and without their logits in memory. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { logProbs } from '../../hooks/texts/score.js';
import { HookedTransformer, nextTokens, type TextsWork } from '../../index.js';
import { allClose, twoLayers as config, randomGpt2, rng, throws } from '../helpers.js';
import { givenBack } from '../memory.js';

const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 8));
const { dVocab, nCtx } = config;
const { int } = rng(6);
const tight = { atol: 1e-5, rtol: 1e-5 };

/** Texts with common beginnings of all lengths, more than one batch takes. */
const many = Array.from({ length: 1500 }, (_, i) =>
  Array.from({ length: 1 + (i % nCtx) }, (_, p) => (p < 3 ? int(3) : int(dVocab))),
);
/** Duplicates, a text that begins another, texts of one token, the whole context. */
const awkward = [
  [5],
  [5, 6, 7],
  [5, 6, 7, 8],
  [5, 6, 7],
  [5, 6, 9],
  [4],
  [5],
  ...[1, 2].map((end) => [...Array.from({ length: nCtx - 1 }, (_, p) => p), end]),
  [4, 6],
];

/** Logits of one row, position by position, from a run of its own. */
async function logitsOf(row: readonly number[]): Promise<Float32Array[]> {
  const logits = await model.forward([[...row]]);
  const data = await logits.data();
  logits.dispose();
  return row.map((_, p) => data.subarray(p * dVocab, (p + 1) * dVocab));
}

/** In float64, the smallest terms first. */
function logSumExp(logits: ArrayLike<number>): number {
  const sorted = Float64Array.from(logits).sort();
  const top = sorted[sorted.length - 1];
  return top + Math.log(sorted.reduce((sum, x) => sum + Math.exp(x - top), 0));
}

async function alone(row: readonly number[]): Promise<number[]> {
  const logits = await logitsOf(row);
  return row.slice(1).map((token, p) => logits[p][token] - logSumExp(logits[p]));
}

test('scored together, texts have the probabilities that their own logits give', async () => {
  for (const rows of [awkward, many.slice(0, 60)]) {
    const found = await model.logProbs(rows);
    for (const [i, row] of rows.entries())
      allClose(found[i], await alone(row), { ...tight, what: `text ${i}` });
  }
});

test('texts that share their beginnings are as probable as texts that are run whole', async () => {
  const works: TextsWork[] = [];
  const onWork = (w: TextsWork) => void works.push(w);
  const shared = await model.logProbs(many, { onWork });
  const whole = await model.logProbs(many, { onWork, hooks: [['hook_embed', () => {}]] });
  for (const [i, row] of shared.entries()) allClose(row, whole[i], { ...tight, what: `text ${i}` });
  const all = many.reduce((n, row) => n + row.length, 0);
  const beginnings = new Set(many.flatMap((r) => r.slice(1).map((_, p) => r.slice(0, p + 1).join(' '))));
  assert.is(works[0].tokens, beginnings.size);
  assert.is(works[1].tokens, all);
  assert.ok(works.every((w) => w.naiveTokens === all && w.batches > 1));
});

test('what is reported is what is dispatched', async () => {
  const { gpu } = model;
  const { launch } = gpu;
  let embedded: number[] = [];
  gpu.launch = (one, ...rest) => {
    if (one.kernel.name.startsWith('embed/')) embedded.push(one.params.tokens);
    launch.call(gpu, one, ...rest);
  };
  try {
    for (const score of [logProbs, nextTokens]) {
      embedded = [];
      let work: TextsWork | null = null;
      await score(model, many, { onWork: (w) => (work = w) });
      const tokens = embedded.reduce((a, b) => a + b);
      const naiveTokens = many.reduce((n, row) => n + row.length, 0);
      assert.equal(work, { tokens, naiveTokens, batches: embedded.length });
    }
  } finally {
    gpu.launch = launch;
  }
});

test('a hook sees whole texts in the order given, the last token too', async () => {
  const rows = [awkward[2], awkward[1], awkward[0], awkward[1]];
  const plain = await model.logProbs(rows);
  const hooked = await model.logProbs(rows, {
    hooks: [
      [
        'blocks.0.hook_resid_pre',
        (t, hook) => {
          assert.equal(
            hook.rows.map((r) => r.length),
            [4, 3, 1, 3],
          );
          return t.set({ batch: 0, pos: -1 }, 0).set({ batch: 1, pos: 0 }, 0); // the last token of the first text, the first one of the second
        },
      ],
    ],
  });
  for (const i of [0, 2, 3]) allClose(hooked[i], plain[i], { ...tight, what: `text ${i}` });
  assert.ok(Math.abs(hooked[1][0] - plain[1][0]) > 0.01);
});

test('one call after another gives the same bits', async () => {
  assert.equal(await model.logProbs(awkward), await model.logProbs(awkward));
});

test('no logits of all tokens are ever in memory', async () => {
  const { gpu } = model;
  const alloc = gpu.alloc;
  let largest = 0;
  gpu.alloc = (bytes, ...rest) => {
    largest = Math.max(largest, bytes);
    return alloc.call(gpu, bytes, ...rest);
  };
  try {
    const small = await HookedTransformer.fromPretrained('tiny');
    const row = rng(1).tokens(100, small.config.dVocab);
    await small.logProbs([row]); // its matrices exist by now
    largest = 0;
    await small.logProbs([row]);
    assert.ok(largest < (4 * 99 * small.config.dVocab) / 2, `${largest} bytes`);
    small.dispose();
  } finally {
    gpu.alloc = alloc;
  }
});

test('progress counts texts, and ends with all of them', async () => {
  const seen: number[] = [];
  await model.logProbs(many, { onProgress: (done, total) => void seen.push(done, total) });
  assert.ok(seen.length > 2);
  assert.equal(seen.slice(-2), [many.length, many.length]);
  assert.ok(seen.every((n, i) => i < 2 || n >= seen[i - 2]));
});

test('cancelled half-way or interrupted by an error, no memory is left behind', async () => {
  await model.logProbs(many.slice(0, 10));
  const { bytes } = model.gpu.memory();
  for (const score of [
    (o: object) => model.logProbs(many, o),
    (o: object) => nextTokens(model, many, { ...o, k: 2 }),
  ]) {
    const stop = new AbortController();
    await throws(
      score({ signal: stop.signal, onProgress: () => stop.abort(new Error('enough')) }),
      /^enough$/,
    );
    givenBack(model.gpu, bytes);
    const fail = () => {
      throw new Error('mine');
    };
    await throws(score({ onProgress: fail }), /^mine$/);
    givenBack(model.gpu, bytes);
    await score({});
    givenBack(model.gpu, bytes);
  }
});

test('of no texts, and of texts of one token, nothing is run', async () => {
  const works: TextsWork[] = [];
  const onWork = (w: TextsWork) => void works.push(w);
  assert.equal(await logProbs(model, [], { onWork }), []);
  assert.equal(await model.logProbs([[3], [4]], { onWork }), [new Float32Array(0), new Float32Array(0)]);
  assert.equal(
    works.map((w) => [w.tokens, w.batches]),
    [
      [0, 0],
      [0, 0],
    ],
  );
});

test('the next tokens are the largest of the last logits, for every prompt of many', async () => {
  for (const [rows, k] of [
    [awkward, 3],
    [many.slice(0, 40), 1],
    [many.slice(0, 5), dVocab],
  ] as const) {
    const found = await nextTokens(model, rows, { k });
    for (const [i, row] of rows.entries()) {
      const last = (await logitsOf(row)).at(-1)!;
      const best = Array.from(last, (_, t) => t).sort((a, b) => last[b] - last[a] || a - b);
      const lse = logSumExp(last);
      allClose(
        found[i].map((t) => t.logProb),
        best.slice(0, k).map((t) => last[t] - lse),
        { ...tight, what: `prompt ${i}` },
      );
      if (k < dVocab)
        assert.equal(
          found[i].map((t) => t.token),
          best.slice(0, k),
        );
    }
  }
});

test('with hooks, each prompt is run whole', async () => {
  const works: TextsWork[] = [];
  const hooks = [['blocks.1.hook_resid_post', (t: { mul(x: number): never }) => t.mul(0)]] as never;
  const zeroed = await nextTokens(model, awkward, { hooks, onWork: (w) => works.push(w) });
  assert.is(works[0].tokens, works[0].naiveTokens);
  assert.is(new Set(zeroed.map(([best]) => best.token)).size, 1, 'nothing is left of the prompts');
});

test('more next tokens than there are tokens are refused before anything runs', async () => {
  for (const k of [0, 1.5, dVocab + 1])
    await throws(
      nextTokens(model, [[1]], { k }),
      /nextTokens: k (is .* 1 or more|= .* between 1 and the 101 tokens)/,
    );
});

test('the weights are all that is left', async () => {
  const { bytes } = model.gpu.memory();
  const again = await HookedTransformer.fromWeights(config, randomGpt2(config, 8));
  await again.logProbs(awkward);
  await nextTokens(again, awkward);
  again.dispose();
  await model.gpu.finish();
  givenBack(model.gpu, bytes);
  model.dispose();
});

test.run();
