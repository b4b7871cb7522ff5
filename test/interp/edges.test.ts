/** Edges between components: their attribution, exact runs of circuits, and ACDC. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  acdc,
  circuitFaithfulness,
  EdgeList,
  edgeAttribution,
  figure,
  HookedTransformer,
  kl,
  logitDiff,
} from '../../index.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { allClose, randomGpt2, rng, throws, twoLayers } from '../helpers.js';
import { agreesWith, gradientsOracle } from '../hooks/gradients-oracle.js';
import { givenBack } from '../memory.js';
import { naiveCircuit } from './naive-circuit.js';
import { oracleModel } from './oracle.js';

const model = await HookedTransformer.fromWeights(twoLayers, randomGpt2(twoLayers, 31), noProcessing);
const random = rng(5);
const clean = [random.tokens(7, 101), random.tokens(7, 101), random.tokens(5, 101)];
const corrupted = clean.map((row, b) => row.map((t, p) => (p === 2 || p === b ? (t + 17) % 101 : t)));
const correct = [3, 50, 7];
const wrong = [90, 4, 61];
const metric = logitDiff(correct, wrong);
const pair = { clean, corrupted, metric };
const every = EdgeList.of(
  twoLayers,
  allEdges(new EdgeList(twoLayers, new Uint32Array(), new Float32Array())),
);

function* allEdges({ graph }: EdgeList): Generator<[string, string]> {
  for (let e = 0; e < graph.count; e++) {
    const [s, r] = graph.ends(e);
    yield [graph.senders[s].label, graph.receivers[r].label];
  }
}

/** Every n-th edge is missing, in a way that differs from circuit to circuit. */
const someOf = (keep: (i: number) => boolean): EdgeList =>
  EdgeList.of(
    twoLayers,
    [...every].filter((_, i) => keep(i)).map(({ sender, receiver }) => [sender, receiver] as const),
  );

/** Faithfulness of one circuit, and of what it lacks. */
const faithful = async (edges: EdgeList) =>
  Array.from((await circuitFaithfulness(model, { ...pair, edges, sizes: [edges.length] })).values);

/** The same in float64, from the definition. */
function naive(edges: EdgeList): number {
  const has = new Set([...edges].map(({ sender, receiver }) => `${sender} ${receiver}`));
  const mean = (keep: (s: string, r: string) => boolean) =>
    clean.reduce((sum, row, b) => {
      const logits = naiveCircuit(model, row, corrupted[b], keep);
      return sum + (logits[correct[b]] - logits[wrong[b]]) / clean.length;
    }, 0);
  const [high, low] = [mean(() => true), mean(() => false)];
  return (mean((s, r) => has.has(`${s} ${r}`)) - low) / (high - low);
}

test('GPT-2 small has 157 writers, 445 readers and 32,491 edges', () => {
  const shape = { nLayers: 12, nHeads: 12, attnOnly: false };
  const { graph } = new EdgeList(shape, new Uint32Array(), new Float32Array());
  assert.equal([graph.senders.length, graph.receivers.length, graph.count], [157, 445, 32_491]);
  for (const e of [0, 1, 35, 36, 17_000, 32_490]) {
    const [sender, receiver] = graph.ends(e);
    assert.is(graph.edge(sender, receiver), e);
  }
});

for (const { model: about, edges: named, arrays, cleanValue, corruptedValue, ...oracle } of gradientsOracle(
  'attribution',
))
  test(`${about.config.name}: EAP and EAP-IG agree with autograd in float64`, async () => {
    const model = await oracleModel(about);
    const { bytes } = model.gpu.memory();
    const metric = logitDiff(oracle.correct, oracle.wrong);
    for (const [method, { values }] of [
      ['EAP', arrays.eap],
      ['EAP-IG', arrays.eapIg],
    ] as const) {
      const { clean, corrupted } = oracle;
      const found = await edgeAttribution(model, { clean, corrupted, metric, method });
      assert.is(found.length, named.length);
      const scores = named.map(([from, to]) => found.score(from, to)! / (cleanValue - corruptedValue));
      agreesWith(scores, values, method);
    }
    givenBack(model.gpu, bytes);
  });

test('what flows into the logits along all edges is, to first order, the difference of the runs', async () => {
  const linear = { ...twoLayers, normalization: 'none', attnOnly: true } as const;
  const model = await HookedTransformer.fromWeights(linear, randomGpt2(linear, 32), noProcessing);
  const edges = await edgeAttribution(model, pair);
  const into = [...edges].filter((e) => e.receiver === 'logits').reduce((sum, e) => sum + e.score, 0);
  const { meta } = await circuitFaithfulness(model, { ...pair, edges, sizes: [0] });
  // Without a layer norm the logits are a linear function of what is written.
  allClose([into], [(meta.clean as number) - (meta.corrupted as number)]);
  model.dispose();
});

test('all edges are the clean run, no edges the corrupted one', async () => {
  const { bytes } = model.gpu.memory();
  allClose(await faithful(every), [1, 0], { atol: 1e-5, rtol: 0 });
  allClose(await faithful(someOf(() => false)), [0, 1], { atol: 1e-5, rtol: 0 });
  givenBack(model.gpu, bytes);
});

test('a circuit computes what a loop over its edges in float64 does', async () => {
  const circuits = [
    someOf((i) => i % 3 !== 0),
    someOf((i) => i % 5 < 2),
    someOf((i) => i > 20),
    someOf((i) => i < every.length - 2),
    EdgeList.of(twoLayers, [
      ['input', 'a0.h1<v>'],
      ['a0.h1', 'a1.h0<q>'],
      ['a1.h0', 'm1'],
      ['m1', 'logits'],
    ]),
  ];
  for (const circuit of circuits)
    allClose((await faithful(circuit)).slice(0, 1), [naive(circuit)], { atol: 2e-5 });
});

test('an edge that nothing reaches, or that reaches nothing, changes nothing', async () => {
  const circuit = someOf((i) => i % 7 === 0 || i > every.length - 4);
  const connected = circuit.connected();
  assert.ok(connected.length < circuit.length);
  const [one] = await faithful(circuit);
  const [other] = await faithful(connected);
  allClose([one], [other], { atol: 1e-5 });
  assert.is(connected.connected().length, connected.length);
});

test('circuits may run at once or one by one', async () => {
  const edges = new EdgeList(twoLayers, every.indices, random.array(every.length));
  const sizes = [1, 5, 20, every.length - 1];
  const curve = await circuitFaithfulness(model, { ...pair, edges, sizes });
  assert.equal(curve.shape, [2, 4]);
  for (const [i, n] of sizes.entries()) {
    const [one, rest] = await faithful(edges.topEdges(n));
    allClose([one, rest], [curve.values[i], curve.values[4 + i]], { atol: 1e-5 });
  }
  assert.match(figure(curve).svg(), /complement/);
  assert.match(figure(curve).lines().join('\n'), /circuit/);
});

test('ACDC decides as its loop over single edges does', async () => {
  for (const [given, threshold] of [
    ['kl', 0.02],
    [logitDiff(correct, wrong), 0.15],
  ] as const) {
    const { bytes } = model.gpu.memory();
    const circuit = await acdc(model, { clean, corrupted, metric: given, threshold });
    givenBack(model.gpu, bytes);
    const measured = given === 'kl' ? kl('clean') : given;
    const value = async (keep: Set<number>) => {
      const edges = someOf((i) => keep.has(every.indices[i]));
      const { meta, values } = await circuitFaithfulness(model, {
        ...{ clean, corrupted, metric: measured, edges },
        ...{ sizes: [edges.length], complement: false },
      });
      const [high, low] = [meta.clean as number, meta.corrupted as number];
      return low + values[0] * (high - low);
    };
    const { graph } = every;
    const keep = new Set<number>(every.indices);
    let now = await value(keep);
    for (const group of [...graph.groups].reverse())
      for (let r = group.first; r < group.first + group.count; r++)
        for (let s = group.senders - 1; s >= 0; s--) {
          const edge = graph.edge(s, r)!;
          keep.delete(edge);
          const without = await value(keep);
          const change = given === 'kl' ? without - now : Math.abs(without - now);
          if (change < threshold) now = without;
          else keep.add(edge);
        }
    assert.ok(circuit.length > 2 && circuit.length < every.length / 2, `${circuit.length} edges`);
    assert.equal(
      [...circuit.indices],
      [...graph.connected(keep)].sort((a, b) => a - b),
    );
    allClose([circuit.meta.value as number], [now], { atol: 1e-4 });
  }
});

test('edges can be ranked, cut, saved and read', async () => {
  const edges = await edgeAttribution(model, { ...pair, method: 'EAP-IG', steps: 2 });
  const top = edges.topEdges(5);
  assert.is(top.length, 5);
  for (let i = 1; i < 5; i++) assert.ok(Math.abs(top.scores[i]) <= Math.abs(top.scores[i - 1]));
  assert.is(edges.threshold(Math.abs(top.scores[4])).length, 5);
  assert.ok(edges.topEdges(1, { by: 'score' }).scores[0] === Math.max(...edges.scores));
  const back = EdgeList.fromJson(top.toJson());
  assert.equal([...back], [...top]);
  assert.equal(back.meta.variant, 'EAP-IG');
  assert.is(top.toCsv().split('\n').length, 7);
});

test('what is wrong with edges, circuits and options is said', async () => {
  throws(() => EdgeList.of(twoLayers, [['a1.h0', 'a0.h1<q>']]), /does not come before/);
  throws(
    () => EdgeList.of(twoLayers, [['a1.h7', 'logits']]),
    /edge from "a1.h7": writers are input, a0.h0, …, m1/,
  );
  throws(
    () => new EdgeList(twoLayers, Uint32Array.of(1000), new Float32Array(1)),
    /edge 1000: this model has/,
  );
  throws(() => EdgeList.fromJson('{}'), /neither edges that toJson has written nor a circuit of EAP-IG/);
  const { onProgress, seen } = watch();
  await circuitFaithfulness(model, { ...pair, edges: every, sizes: [1, 2], onProgress });
  assert.equal(seen.at(-1), [4, 4]);
  await throws(acdc(model, { ...pair, threshold: 0 }), /threshold is 0: a number above 0/);
  await throws(edgeAttribution(model, { ...pair, steps: 3 }), /`steps` goes with method: 'EAP-IG'/);
  await throws(circuitFaithfulness(model, { ...pair, edges: every, sizes: [999] }), /sizes: 999/);
  await throws(
    circuitFaithfulness(model, { ...pair, metric: kl(), edges: every }),
    /'clean' or 'corrupted', not 'base'/,
  );
  const other = new EdgeList(
    { nLayers: 3, nHeads: 2, attnOnly: false },
    new Uint32Array(),
    new Float32Array(),
  );
  await throws(
    circuitFaithfulness(model, { ...pair, edges: other }),
    /edges of another model: its nLayers is 3/,
  );
  const stopped = AbortSignal.abort(new Error('enough'));
  await throws(acdc(model, { ...pair, threshold: 1, signal: stopped }), /enough/);
  await throws(edgeAttribution(model, { ...pair, signal: stopped }), /enough/);
});

function watch() {
  const seen: [number, number][] = [];
  return { seen, onProgress: (done: number, total: number) => void seen.push([done, total]) };
}

test.after(() => model.dispose());
test("EAP-IG's circuits are read and written", () => {
  const shape = { nLayers: 1, nHeads: 2, attnOnly: false };
  const cfg = { n_layers: 1, n_heads: 2, parallel_attn_mlp: false, d_model: 8 };
  const edges = {
    'input->a0.h1<k>': { score: -0.5, in_graph: true },
    'a0.h1->m0': { score: 0.25, in_graph: false },
    'm0->logits': { score: 2, in_graph: true },
  };
  const text = JSON.stringify({ cfg, nodes: {}, edges });
  const all = EdgeList.fromJson(text);
  assert.equal(all.shape, shape);
  assert.equal(
    [...all].map((e) => [e.sender, e.receiver, e.score]),
    [
      ['input', 'a0.h1<k>', -0.5],
      ['a0.h1', 'm0', 0.25],
      ['m0', 'logits', 2],
    ],
  );
  assert.is(EdgeList.fromJson(text, { only: 'circuit' }).length, 2);
  const written = JSON.parse(all.toJson({ format: 'eap-ig' }));
  assert.equal(written.cfg, cfg);
  assert.is(Object.keys(written.edges).length, all.graph.count);
  for (const [name, edge] of Object.entries(edges)) assert.equal(written.edges[name], edge);
  assert.equal(written.edges['input->m0'], { score: 0, in_graph: false });
  assert.equal(written.nodes['a0.h1'], { in_graph: true });
  assert.equal(written.nodes['a0.h0'], { in_graph: false });
  for (const [change, message] of [
    [{ cfg: { ...cfg, n_layers: 1e9 } }, /1000000000 layers of 2 heads are no model/],
    [{ edges: { 'm0->a0.h0<q>': { score: 1, in_graph: true } } }, /"m0->a0\.h0<q>" is no edge/],
    [{ edges: { 'm0->logits': { score: [1], in_graph: true } } }, /"m0->logits" is \{"score": \[1\]/],
    [{ cfg: { ...cfg, parallel_attn_mlp: true } }, /"a0\.h1->m0" is no edge/],
    [{ edges: { 'm0->logits->x': { score: 1, in_graph: true } } }, /"m0->logits->x" is no edge/],
    [{ cfg: {} }, /nothing layers of nothing heads are no model/],
  ] as const)
    throws(() => EdgeList.fromJson(JSON.stringify({ cfg, nodes: {}, edges, ...change })), message);
  const twice = text.replace('"m0->logits"', '"m0->logits":{"score":1,"in_graph":true},"m0->logits"');
  throws(() => EdgeList.fromJson(twice), /^EdgeList\.fromJson: "m0->logits" is there twice$/);
  const nan = EdgeList.fromJson(text.replace('"score":2', '"score":"NaN"'));
  assert.ok(Number.isNaN(nan.score('m0', 'logits')));
  throws(() => nan.toJson({ format: 'eap-ig' }), /^edge m0->logits has the score NaN/);
});

test('edges in our own format are not read where one is there twice or has no score', () => {
  const read = JSON.parse(
    EdgeList.of(twoLayers, [
      ['input', 'logits'],
      ['m0', 'logits'],
    ]).toJson(),
  );
  const [first] = read.indices;
  const damaged = (more: object) => () => EdgeList.fromJson(JSON.stringify({ ...read, ...more }));
  throws(damaged({ indices: [first, first] }), new RegExp(`edge ${first} is there twice`));
  throws(damaged({ scores: [1] }), /1 scores for 2 edges/);
});

test.run();
