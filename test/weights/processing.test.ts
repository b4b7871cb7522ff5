import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Config } from '../../weights/config.js';
import { memoryTensors } from '../../weights/formats/tensors.js';
import type { HostTensor, ModelWeights } from '../../weights/formats/types.js';
import { inferConfig, readModel } from '../../weights/load/checkpoint.js';
import { parseConfig } from '../../weights/load/config.js';
import { saveable } from '../../weights/load/save.js';
import {
  defaultProcessing,
  noProcessing,
  type Processing,
  processedConfig,
} from '../../weights/processing/processing.js';
import { factoredSvd } from '../../weights/processing/refactor.js';
import { type WeightViews, weightViews } from '../../weights/processing/views.js';
import { allClose, randomGpt2 } from '../helpers.js';
import { collect, logits, logProbs } from './forward.js';

interface Numbers {
  shape: number[];
  data: number[];
}
/** See make.py. */
interface Fixture {
  config: Config;
  raw: Record<string, Numbers>;
  steps: Record<string, Record<string, Numbers>>;
  svd: { QK: number[][][]; OV: number[][][] };
}
const stored: Fixture[] = JSON.parse(
  readFileSync(new URL('../fixtures/weights/processing.json', import.meta.url), 'utf8'),
);
/** The fixtures are older than some settings. */
const fixtures = stored.map((fixture): Fixture => ({ ...fixture, config: parseConfig(fixture.config) }));
const allProcessing = { ...defaultProcessing, refactorFactoredAttnMatrices: true };
const only = (flag: string): Processing => ({ ...noProcessing, [flag]: true });

async function read({ config, raw }: Pick<Fixture, 'config' | 'raw'>, processing: Processing) {
  const tensors = Object.fromEntries(
    Object.entries(raw).map(([name, { shape, data }]) => [name, { shape, data: Float32Array.from(data) }]),
  );
  const model = await collect(readModel(memoryTensors(tensors), config, processing));
  const processed = processedConfig(config, processing);
  return { model, config: processed, views: weightViews(model.embed, model.blocks, model.final, processed) };
}

/** A view by the fixture's name: `W_Q` stacks the layers, `ln1.w` is a norm's gain. */
function stacked(views: WeightViews, name: string): { shape: readonly number[]; data: number[] } | null {
  const [key, part] = name.split('.') as [keyof WeightViews, 'w' | 'b' | undefined];
  const value = views[key] as HostTensor | HostTensor[] | null;
  if (value === null || (Array.isArray(value) && value.length === 0)) return null;
  const pick = (item: HostTensor) => (part ? (item as unknown as Record<string, HostTensor>)[part] : item);
  if (!Array.isArray(value)) return { shape: pick(value).shape, data: [...pick(value).data] };
  const layers = value.map(pick);
  return { shape: [layers.length, ...layers[0].shape], data: layers.flatMap((layer) => [...layer.data]) };
}

for (const fixture of fixtures) {
  const { config, steps } = fixture;
  for (const flag of [...Object.keys(defaultProcessing), 'default', 'all']) {
    const processing = flag === 'default' ? defaultProcessing : flag === 'all' ? allProcessing : only(flag);
    test(`${config.name}: weights after ${flag} are TransformerLens'`, async () => {
      const { views } = await read(fixture, processing);
      for (const [name, expected] of Object.entries(steps[flag])) {
        if (processing.refactorFactoredAttnMatrices && /^[Wb]_[QKV]$|^W_O$/.test(name)) continue; // signs are free
        const found = stacked(views, name);
        assert.equal(found?.shape, expected.shape, name);
        allClose(found!.data, expected.data, { atol: 1e-6, rtol: 1e-6, what: name });
      }
      const norms = ['ln1.w', 'ln2.w', 'lnFinal.w'].filter((name) => stacked(views, name));
      assert.equal(
        norms,
        Object.keys(steps[flag]).filter((name) => /^ln\w+\.w$/.test(name)),
      );
    });
  }

  test(`${config.name}: no processing changes a log probability`, async () => {
    const tokens = [3, 1, 6, 0];
    const raw = await read(fixture, noProcessing);
    const expected = logProbs(logits(raw.model, raw.config, tokens));
    for (const processing of [
      ...Object.keys(defaultProcessing).map(only),
      defaultProcessing,
      allProcessing,
    ]) {
      const processed = await read(fixture, processing);
      const found = logProbs(logits(processed.model, processed.config, tokens));
      allClose(found, expected, { atol: 5e-6, rtol: 5e-6, what: JSON.stringify(processing) });
    }
  });

  test(`${config.name}: refactored heads have the same products, orthogonal axes and the singular values`, async () => {
    const before = (await read(fixture, only('foldValueBiases'))).views;
    const after = (await read(fixture, only('refactorFactoredAttnMatrices'))).views;
    for (let layer = 0; layer < config.nLayers; layer++)
      for (let head = 0; head < config.nHeads; head++) {
        const [q, k, v, o] = heads(after, config, layer, head);
        const [q0, k0, v0, o0] = heads(before, config, layer, head);
        allClose(product(q, k), product(q0, k0), { atol: 1e-5, rtol: 1e-5, what: 'QK' });
        allClose(product(v, o), product(v0, o0), { atol: 1e-5, rtol: 1e-5, what: 'OV' });
        const close = { atol: 2e-6, rtol: 2e-6 };
        const S = fixture.svd.QK[layer][head];
        allClose(gram(q), diagonal(S, config.dHead), { ...close, what: 'QᵀQ = S' });
        allClose(gram(k), diagonal(S, config.dHead), { ...close, what: 'KᵀK = S' });
        const ov = fixture.svd.OV[layer][head];
        const squares = ov.map((s) => s * s);
        allClose(gram(v), diagonal(squares, config.dHead), { ...close, rtol: 1e-5, what: 'VᵀV = S²' });
        const ones = ov.map((s) => (s > 1e-9 ? 1 : 0));
        allClose(gram(o), diagonal(ones, config.dHead), { ...close, what: 'O·Oᵀ = 1' });
      }
  });
}

/** [W_Q; b_Q], [W_K; b_K], W_V and W_Oᵀ of a head, as lists of columns. */
function heads(views: WeightViews, { dHead, dModel }: Config, layer: number, head: number): number[][][] {
  const column = (W: HostTensor, j: number) =>
    Array.from({ length: dModel }, (_, i) => W.data[(head * dModel + i) * dHead + j]);
  const each = (make: (j: number) => number[]) => Array.from({ length: dHead }, (_, j) => make(j));
  const { W_Q, b_Q, W_K, b_K, W_V, W_O } = views;
  return [
    each((j) => [...column(W_Q[layer], j), b_Q[layer].data[head * dHead + j]]),
    each((j) => [...column(W_K[layer], j), b_K[layer].data[head * dHead + j]]),
    each((j) => column(W_V[layer], j)),
    each((j) => {
      const at = (head * dHead + j) * dModel;
      return [...W_O[layer].data.subarray(at, at + dModel)];
    }),
  ];
}
const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
};
/** A·Bᵀ of two lists of columns, row-major. */
const product = (a: ArrayLike<number>[], b: ArrayLike<number>[]) =>
  Array.from({ length: a[0].length }, (_, i) =>
    Array.from({ length: b[0].length }, (_, j) => a.reduce((sum, column, k) => sum + column[i] * b[k][j], 0)),
  ).flat();
const gram = (a: number[][]) => a.flatMap((x) => a.map((y) => dot(x, y)));
const diagonal = (values: number[], n: number) =>
  Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? (values[i / (n + 1)] ?? 0) : 0));

test('a factored SVD copes with zero, equal and dependent columns, and with more columns than rows', () => {
  const cases: [string, number[][], number[][]][] = [
    [
      'zero',
      [
        [0, 0, 0],
        [0, 0, 0],
      ],
      [
        [1, 2, 3],
        [4, 5, 6],
      ],
    ],
    [
      'dependent',
      [
        [1, 2, 3],
        [2, 4, 6],
      ],
      [
        [1, 0, 0],
        [0, 1, 0],
      ],
    ],
    [
      'equal',
      [
        [1, 0, 0],
        [0, 1, 0],
      ],
      [
        [1, 0, 0],
        [0, 1, 0],
      ],
    ],
    [
      'wide',
      [
        [1, 2],
        [3, 4],
        [5, -6],
      ],
      [
        [0, 1],
        [1, 1],
        [2, 5],
      ],
    ],
    ['one row', [[2], [3]], [[5], [-7]]],
  ];
  for (const [what, a, b] of cases) {
    const { U, S, V } = factoredSvd(
      a.map((column) => Float64Array.from(column)),
      b.map((column) => Float64Array.from(column)),
    );
    const US = U.map((column, j) => column.map((x) => x * S[j]));
    allClose(product(US, V), product(a, b), { atol: 1e-12, rtol: 1e-12, what });
    assert.equal(
      [...S].sort((x, y) => y - x),
      S,
      `${what}: descending`,
    );
  }
});

test('processing leaves the arrays that were given alone', async () => {
  const config = parseConfig({ nLayers: 1, nHeads: 2, dModel: 4, nCtx: 3, dVocab: 5 });
  const tensors = randomGpt2(config, 1);
  const copies = Object.values(tensors).map(({ data }) => data.slice());
  await collect(readModel(memoryTensors(tensors), config, allProcessing));
  assert.equal(
    Object.values(tensors).map(({ data }) => data),
    copies,
  );
});

/** The logits of a saved model, read again as it is, with Hugging Face's layer norms. */
async function saveAndLoad(
  model: ModelWeights,
  config: Config,
  processing: Processing,
  again = noProcessing,
) {
  const { tensors, config: json, metadata } = saveable(model, config, processing);
  const source = memoryTensors(tensors);
  const loaded = parseConfig(json, { inferred: inferConfig(source) });
  return {
    model: await collect(readModel(source, loaded, again)),
    config: processedConfig(loaded, again),
    json,
    metadata,
    names: Object.keys(tensors),
  };
}

for (const fixture of fixtures) {
  test(`${fixture.config.name}: a saved model has the same logits, processed or not`, async () => {
    for (const processing of [noProcessing, only('foldLn'), defaultProcessing]) {
      const { model, config } = await read(fixture, processing);
      const saved = await saveAndLoad(model, config, processing);
      const tokens = [0, 5, 2];
      const what = `${JSON.stringify(processing)} ${saved.names}`;
      allClose(logits(saved.model, saved.config, tokens).flat(), logits(model, config, tokens).flat(), {
        atol: 1e-5,
        rtol: 1e-5,
        what,
      });
    }
  });
}

test("a processed model is saved in Hugging Face's architecture: gains of one, no bias at the unembedding", async () => {
  const { model, config } = await read(fixtures[0], defaultProcessing);
  const { json, metadata, names, ...saved } = await saveAndLoad(model, config, defaultProcessing);
  assert.is(json.model_type, 'gpt2');
  assert.is(json.tie_word_embeddings, false);
  assert.equal(metadata, {
    format: 'pt',
    processing: 'foldLn, centerWritingWeights, centerUnembed, foldValueBiases',
  });
  assert.not(names.includes('lm_head.bias'));
  assert.ok(saved.model.blocks.every(({ ln1 }) => ln1!.w.data.every((x) => x === 1)));
  const again = await saveAndLoad(model, config, defaultProcessing, only('foldLn'));
  allClose(again.model.final.W_U!.data, model.final.W_U!.data, { atol: 1e-6, what: 'W_U' });
  allClose(again.model.final.b_U!.data, model.final.b_U!.data, { atol: 1e-6, what: 'b_U' });
});

test('a tied, unprocessed model is saved without lm_head', async () => {
  const { model, config } = await read(fixtures[0], noProcessing);
  assert.is(model.final.W_U, null);
  const { json, names } = await saveAndLoad(model, config, noProcessing);
  assert.is(json.tie_word_embeddings, true);
  assert.not(names.some((name) => name.startsWith('lm_head')));
});

test('views are made once, and only when they are asked for', async () => {
  const { views } = await read(fixtures[0], noProcessing);
  assert.is(views.W_Q, views.W_Q);
  assert.is(views.W_Q[1], views.W_Q[1]);
  assert.is(views.W_U, views.W_U);
  assert.is(views.W_Q.length, 2);
});

test.run();
