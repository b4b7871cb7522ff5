/** Memory goes back where it came from: by `using`, at the end of a scope, and by the collector. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { setScopeContext } from '../../engine/gpu/user-scope.js';
import * as glassbox from '../../index.js';
import {
  ActivationCache,
  acdc,
  HookedTransformer,
  logitDiff,
  lossGradients,
  patch,
  scope,
  type Tensor,
  Trainer,
} from '../../index.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { twoLayers as config, randomGpt2, throws } from '../helpers.js';
import { givenBack } from '../memory.js';

const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 11), noProcessing);
test.after(() => model.dispose());
const rows = [
  [1, 2, 3, 4],
  [5, 6],
];
const held = () => model.gpu.memory().bytes;
const leaves = async (f: () => unknown) => {
  const before = held();
  await f();
  givenBack(model.gpu, before);
};

test('using gives back what every result holds', async () => {
  const before = held();
  {
    using run = await model.runWithCache(rows);
    using row = run.cache.row(1);
    using stack = run.cache.decomposeResid(-1);
    using heads = run.cache.stackHeadResults(-1);
    using grads = await model.runWithGrads(rows, (logits) => logits.sum(), { names: 'resid_pre' });
    using edited = await model.runWithInterventions(rows, [{ at: 'z', layer: 0, head: 1, zero: true }], {
      names: 'z',
    });
    using residual = await model.runWithResidual(rows, { names: 'resid_post' });
    using prefix = await model.prefix([1, 2, 3], { room: 4 });
    using more = await model.prefix([4], { prefix });
    using loss = await lossGradients(model, rows);
    using trainer = new Trainer(model, { lr: 0 });
    assert.ok(held() > before);
    for (const x of [run, row, stack, heads, grads, edited, residual, more, loss, trainer]) assert.ok(x);
  }
  givenBack(model.gpu, before);
});

test('a prefix that continues another leaves the store to the first', async () => {
  await leaves(async () => {
    using first = await model.prefix([1, 2, 3], { room: 2 });
    (await model.prefix([4], { prefix: first })).dispose();
    using logits = await model.forward([5], { prefix: first });
    using whole = await model.forward([1, 2, 3, 5]);
    using own = whole.slice({ pos: -1 });
    const [a, b] = [await logits.data(), await own.data()];
    assert.ok(a.every((x, i) => Math.abs(x - b[i]) < 1e-4));
  });
});

test('a scope frees what is made inside and not returned', () =>
  leaves(async () => {
    const kept = await scope(async () => {
      const { logits, cache } = await model.runWithCache(rows);
      cache.decomposeResid(-1).stack.mul(2).softmax();
      new Trainer(model, { lr: 0 });
      await model.prefix([1, 2, 3]);
      return { last: logits.slice({ pos: -1 }), list: [new Map([['z', cache.get('z', 0).mean('head')]])] };
    });
    assert.equal(kept.last.shape, [2, config.dVocab]);
    assert.is((await kept.last.data()).length, 2 * config.dVocab);
    kept.last.dispose();
    kept.list[0].get('z')!.dispose();
  }));

test('what a scope returns whole stays: a cache, a trainer, a model', () =>
  leaves(async () => {
    const cache = await scope(async () => (await model.runWithCache(rows)).cache);
    assert.instance(cache, ActivationCache);
    assert.is(cache.get('z', 0).disposed, false);
    cache.dispose();
    using trainer = await scope(() => new Trainer(model, { lr: 0 }));
    (await trainer.step([rows])).dispose();
    using other = await scope(() =>
      HookedTransformer.fromWeights(config, randomGpt2(config, 1), noProcessing),
    );
    assert.ok((await other.loss(rows)) > 0);
  }));

test('tensors that were there before stay, and so does what is added to them', () =>
  leaves(async () => {
    using before = await model.forward(rows);
    await scope(async () => {
      before.mul(2);
      await model.forward(rows);
    });
    assert.is(before.disposed, false);
    using trainer = new Trainer(model, { lr: 0 });
    await scope(async () => void (await trainer.step([rows])));
    (await trainer.step([rows])).dispose();
  }));

test('a scope that throws frees everything', () =>
  leaves(() =>
    throws(
      scope(async () => {
        await model.runWithCache(rows);
        throw new Error('on the way');
      }),
      /on the way/,
    ),
  ));

test('scopes nest: what the inner one returns ends with the outer one', () =>
  leaves(async () => {
    let inner: Tensor | null = null;
    const n = await scope(async () => {
      inner = await scope(async () => (await model.forward(rows)).slice({ pos: -1 }));
      assert.is(inner.disposed, false);
      return (await inner.data()).length;
    });
    assert.is(n, 2 * config.dVocab);
    // In a page nesting and overlap look alike: what an inner scope returned stays.
    if ('process' in globalThis) assert.is(inner!.disposed, true);
    else inner!.dispose();
  }));

test('overlapping scopes do not free each other’s tensors', () =>
  leaves(async () => {
    let open: () => void = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    let long: Tensor | null = null;
    const first = scope(async () => {
      long = await model.forward(rows);
      await gate;
      return (await long.data()).length;
    });
    const short = await scope(async () => {
      const t = await model.forward(rows);
      return [t, t.mul(2)] as const;
    });
    short[1].dispose();
    open();
    assert.is(await first, 6 * config.dVocab);
    assert.is(long!.disposed, true);
    assert.is(short[0].disposed, false);
    short[0].dispose();
  }));

test('a page, which has no asynchronous context: overlapping scopes free when the last one ends', async () => {
  const node = setScopeContext(null);
  try {
    await leaves(async () => {
      let open: () => void = () => {};
      const gate = new Promise<void>((resolve) => {
        open = resolve;
      });
      let other: Tensor | null = null;
      const first = scope(async () => {
        await gate;
        return model.forward(rows);
      });
      await scope(async () => {
        other = await model.forward(rows);
      });
      assert.is(other!.disposed, false); // the other one is still open
      open();
      const result = await first;
      assert.is(other!.disposed, true);
      assert.is(result.disposed, false);
      result.dispose();
    });
  } finally {
    setScopeContext(node);
  }
});

const [clean, corrupted] = [
  [1, 2, 3, 4],
  [1, 2, 9, 4],
];
const metric = logitDiff(5, 6);
const pair = { clean, corrupted, metric };
const one = { maxNewTokens: 2, returnType: 'tokens' } as const;

/** Public calls, each with what it makes dropped. */
const calls: Record<string, () => unknown> = {
  forward: () => model.forward(rows),
  'forward, to a layer and from it': async () =>
    model.forward(await model.forward([clean], { stopAtLayer: 1 }), { startAtLayer: 1 }),
  runWithCache: () => model.runWithCache(rows),
  'runWithCache of a position': () => model.runWithCache(rows, { names: 'resid_pre', pos: -1 }),
  runWithHooks: () => model.runWithHooks(rows, { hooks: [['z', (z) => z.set({ head: 0 }, 0).keep()]] }),
  runWithGrads: () => model.runWithGrads(rows, metric),
  runWithInterventions: () => model.runWithInterventions([clean], [{ at: 'z', layer: 0, zero: true }]),
  logProbs: () => model.logProbs(rows),
  generate: () => model.generate(clean, one),
  'generate, left early': async () => {
    for await (const _ of model.stream(clean, { maxNewTokens: 3 })) break;
  },
  prefix: () => model.prefix(clean),
  logitsOfResidual: async () => model.logitsOfResidual(await model.forward(rows, { stopAtLayer: 1 })),
  tokensToResidualDirections: () => model.tokensToResidualDirections([1, 2]),
  decompositions: async () => {
    const { cache } = await model.runWithCache([clean], { names: /./ });
    cache.accumulatedResid(-1);
    cache.decomposeResid(-1);
    cache.stackHeadResults(-1);
    cache.fullResidDecomposition(-1);
    cache.logitAttrs(cache.decomposeResid(-1).stack, { tokens: 3 });
  },
  lossGradients: () => lossGradients(model, rows),
  training: async () => new Trainer(model, { lr: 0 }).step([rows]),
  patch: () => patch(model, { ...pair, at: 'resid_pre', by: ['layer', 'pos'] }),

  attributionPatch: () => glassbox.attributionPatch(model, pair),
  edgeAttribution: () => glassbox.edgeAttribution(model, pair),
  acdc: () => acdc(model, { ...pair, threshold: 1 }),
  logitLens: () => glassbox.logitLens(model, clean),
  directLogitAttribution: () => glassbox.directLogitAttribution(model, clean, { token: 3 }),
  attentionPatterns: () => glassbox.attentionPatterns(model, clean),
  headScores: () => glassbox.headScores(model),
  steeringVector: () => glassbox.steeringVector(model, [clean], [corrupted], { layer: 1 }),
  inputAttribution: () => glassbox.inputAttribution(model, [clean], { metric }),
  ablate: () => glassbox.ablate(model, [clean], { of: 'heads', metric }),
  atpStar: () => glassbox.atpStar(model, pair),
  causalTrace: () => glassbox.causalTrace(model, { prompt: clean, subject: [1, 3], samples: 1, answer: 5 }),
  compareWithPatching: () => glassbox.compareWithPatching(model, { ...pair, at: 'z', by: ['layer', 'head'] }),
  counterfactuals: () =>
    glassbox.counterfactuals(model, [clean], [[{ at: 'z', layer: 0, head: 1, zero: true }]], metric),
  detectHeads: () => glassbox.detectHeads(model, [clean], 'previous_token_head'),
  'decompositions of ragged rows': async () => {
    const { cache } = await model.runWithCache(rows);
    cache.stackNeuronResults(-1, { neurons: 1, pos: -1 });
    cache.row(1).decomposeResid(1, { applyLn: 'frozen' }).stack.norm();
  },
  headPathAttribution: () => glassbox.headPathAttribution(model, pair),
  integratedGradients: () => glassbox.integratedGradients(model, { ...pair, steps: 2 }),
  loss: () => model.loss(rows),
  lossPerToken: () => glassbox.lossPerToken(model, clean),
  measure: () => glassbox.measure(model, [clean], metric),
  nextTokens: () => glassbox.nextTokens(model, rows, { k: 2 }),
  'an order of logits': async () => (await model.forward(rows)).argmax().eq(3),
  pathPatch: () => glassbox.pathPatch(model, { original: clean, new: corrupted, metric }),
  'weights and circuits': async () => {
    await glassbox.compositionScores(model, 'Q');
    glassbox.ovCircuit(model, 0, 0);
    glassbox.qkCircuit(model, 1, 1);
  },
  'an edited model': () =>
    glassbox.logitLens(model.with({ interventions: [{ at: 'z', layer: 1, head: 0, zero: true }] }), clean),
  withWeights: async () => {
    const other = await model.withWeights({ 'blocks.1.attn.W_O': (w: Tensor) => w.mul(0) });
    await other.loss(rows);
  },
  'tensors of the user': () => {
    const t = model.tensor([1, 2, 3, 4], [2, 2]);
    t.add(t).matmul(t.transpose()).softmax(0).topk(1, 0).values.sum();
  },
};

for (const [name, call] of Object.entries(calls))
  test(`${name}: under a scope memory is where it was`, () =>
    leaves(() => scope(async () => void (await call()))));

test.run();
