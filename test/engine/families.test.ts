/**
 * Blocks of every family compute what Hugging Face's transformers compute in float64
 * (test/fixtures/parts/make.py): logits, residual streams, patterns, gradients, and the tokens that follow
 * greedily.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parameters } from '../../engine/training/parameters.js';
import { lossGradients } from '../../hooks/training/parameter-gradients.js';
import { HookedTransformer, loss, type Tensor, type TensorMap } from '../../index.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { type FamilyReference, familyDirection, familyReferences, familyWeights } from '../families.js';
import { allClose } from '../helpers.js';
import { givenBack } from '../memory.js';

const load = (r: FamilyReference, tensors: TensorMap) =>
  HookedTransformer.fromWeights(r.config, tensors, noProcessing);

/** Tensor i is filled with 16 · (i + 1). */
const numberedTensors = ({ tensors }: FamilyReference) =>
  Object.fromEntries(
    tensors.map(([name, shape], i) => {
      const data = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(16 * (i + 1));
      return [name, { shape, data }];
    }),
  );
/** The numbers of the tensors that one of the engine's was made of; gains may be 1 more. */
const numbersIn = async (tensor: Tensor) =>
  new Set(Array.from(await tensor.data(), (x) => Math.round(x / 16) - 1).filter((n) => n >= 0));

for (const r of familyReferences) {
  let model: HookedTransformer;
  test(`${r.name}: logits, residual streams and patterns`, async () => {
    model = await load(r, familyWeights(r));
    const { bytes } = model.gpu.memory();
    const fused = await model.forward(r.tokens);
    allClose(await fused.data(), r.logits, { what: 'logits' });
    fused.dispose();
    const { logits, cache } = await model.runWithCache(r.tokens);
    allClose(await logits.data(), r.logits, { what: 'logits of a run with a cache' });
    for (let l = 0; l < model.config.nLayers; l++) {
      allClose(await cache.get('resid_pre', l).data(), r.states[l], { what: `resid_pre ${l}` });
      allClose(await cache.get('pattern', l).data(), r.patterns[l], { what: `pattern ${l}` });
    }
    logits.dispose();
    cache.dispose();
    givenBack(model.gpu, bytes);
  });

  test(`${r.name}: gradients of the residual streams, fused or not`, async () => {
    for (const more of [[], ['pattern', 'pre']] as const) {
      const { value, grads, cache } = await model.runWithGrads(r.tokens, loss(), {
        names: ['resid_pre', ...more],
      });
      allClose([value], [r.loss], { what: 'loss' });
      for (let l = 0; l < model.config.nLayers; l++)
        allClose(await grads.get('resid_pre', l).data(), r.gradients[l], { what: `gradient ${l}` });
      grads.dispose();
      cache.dispose();
    }
  });

  test(`${r.name}: the gradient of each parameter, along a random direction`, async () => {
    const found = await lossGradients(model, [r.tokens]);
    allClose(await found.loss.data(), [r.loss]);
    // Loading is linear: a direction of the checkpoint's tensors, loaded, is one of the engine's.
    using along = await load(r, familyDirection(r));
    // Tensors filled with numbers of their own tell which of the engine's they become.
    using numbered = await load(r, numberedTensors(r));
    const groups: { of: Set<number>; sum: number }[] = [];
    for (const [i, { name, tensor }] of parameters(along.gpuWeights).entries()) {
      const [g, d] = [await found.grads.get(name)!.data(), await tensor.data()];
      const group = { of: await numbersIn(parameters(numbered.gpuWeights)[i].tensor), sum: 0 };
      for (let j = 0; j < d.length; j++) group.sum += g[j] * d[j];
      // A matrix that is the embedding and the unembedding has one gradient.
      for (const other of groups.filter(({ of }) => [...of].some((n) => group.of.has(n)))) {
        groups.splice(groups.indexOf(other), 1);
        for (const n of other.of) group.of.add(n);
        group.sum += other.sum;
      }
      if (group.of.size) groups.push(group);
    }
    const all = groups.flatMap(({ of }) => [...of]).sort((a, b) => a - b);
    assert.equal(all, [...r.tensors.keys()], 'every tensor is compared');
    for (const { of, sum } of groups) {
      const expected = [...of].reduce((total, n) => total + r.parameters[n], 0);
      const what = [...of].map((n) => r.tensors[n][0]).join(' + ');
      allClose([sum], [expected], { what, atol: 1e-3, rtol: 1e-4 });
    }
    assert.equal(
      [...found.grads.keys()].sort(),
      parameters(model.gpuWeights)
        .map((p) => p.name)
        .sort(),
    );
    found.dispose();
  });

  test(`${r.name}: greedy tokens, with stored keys and values and without`, async () => {
    for (const kvCache of [true, false]) {
      const options = {
        maxNewTokens: r.greedy.length,
        temperature: 0,
        kvCache,
        returnType: 'tokens',
      } as const;
      const all = await model.generate(r.tokens, options);
      assert.equal(all.slice(r.tokens.length), r.greedy);
    }
    model.dispose();
  });
}

test.run();
