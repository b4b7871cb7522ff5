/**
 * Twenty small programs as users write them. They are compiled, with `strict`, by `npm run check` and by
 * test/types.test.ts: none has a cast or a `!`. What must not compile stands in misspellings.ts.
 */

import {
  ablate,
  actName,
  attentionPatterns,
  attributionPatch,
  axis,
  causalTrace,
  counterfactuals,
  directLogitAttribution,
  FactoredMatrix,
  figure,
  gradientsOf,
  HookedTransformer,
  headAxis,
  headScores,
  type Labelled,
  labelled,
  layerAxis,
  logitDiff,
  logitLens,
  loss,
  patch,
  posAxis,
  provenance,
  Tensor,
  toCsv,
} from '../../index.js';

const model = await HookedTransformer.fromPretrained('tiny');
const text = 'When John and Mary went to the shop, John gave a drink to';

export const programs = {
  async logitsOfTheLastPosition(): Promise<number[]> {
    const logits = await model.forward(text);
    return logits.slice({ batch: 0, pos: -1 }).toArray(1);
  },
  async topTokens() {
    const { values, indices } = (await model.forward(text)).slice({ batch: 0, pos: -1 }).topk(5);
    return [await values.toArray(1), Array.from(await indices.data(), (id) => model.toString(id))];
  },
  async activations(): Promise<number[][][]> {
    const { cache } = await model.runWithCache(text, { names: ['resid_post', 'blocks.0.attn.hook_z'] });
    return cache.get('resid_post', -1).toArray(3);
  },
  async patternOfAHead() {
    const { cache } = await model.runWithCache(text, { names: 'pattern' });
    return cache.get('pattern', 1).slice({ batch: 0, head: 2 }).toArray(2);
  },
  async namesOfTransformerLens4() {
    const { cache } = await model.runWithCache(text, {
      names: ['blocks.0.hook_in', 'blocks.0.attn.q.hook_out'],
    });
    return [cache.get('hook_in', 0).shape, cache.has('blocks.0.hook_resid_pre')];
  },
  async zeroAHead() {
    return model.runWithHooks(text, { hooks: [['blocks.1.attn.hook_z', (z) => z.set({ head: 2 }, 0)]] });
  },
  async hooksOfEveryLayer() {
    const layers = Array.from({ length: model.config.nLayers }, (_, l) => l);
    const seen: string[] = [];
    const hooks = layers.map(
      (l) =>
        [
          `blocks.${l}.hook_mlp_out`,
          (_: Tensor, hook: { name: string }) => void seen.push(hook.name),
        ] as const,
    );
    await model.forward(text, { hooks });
    return seen;
  },
  async anEditedModel() {
    const edited = model.with({
      interventions: [{ at: 'blocks.1.attn.hook_z', head: 2, zero: true }],
      hooks: [['blocks.0.hook_resid_pre', (x, { layer }) => x.mul(layer === 0 ? 1.1 : 1)]],
    });
    return edited.loss(text);
  },
  async patching() {
    const map = await patch(model, {
      clean: text,
      corrupted: text.replace('John gave', 'Mary gave'),
      at: 'resid_pre',
      by: ['layer', 'pos'],
      metric: logitDiff(' Mary', ' John'),
    });
    const best = map.argmax();
    return [map.at({ layer: 0, pos: -1 }), best.at.layer, best.name, map.slice({ layer: 1 }).topk(2)];
  },
  async attribution() {
    return attributionPatch(model, {
      clean: text,
      corrupted: text,
      at: 'z',
      metric: logitDiff(' Mary', ' John'),
    });
  },
  async aList() {
    const list = [0, 1].map((head) => [{ at: actName('z', 1), head, zero: true } as const]);
    const { values } = await counterfactuals(model, text, list, logitDiff(' Mary', ' John'));
    return values;
  },
  async lens() {
    const lens = await logitLens(model, text);
    return [lens.at({ layer: -1, pos: -1 }), lens.slice({ pos: -1 }).values];
  },
  async whatComponentsAdd() {
    return toCsv(await directLogitAttribution(model, text, { tokens: [' Mary', ' John'] }));
  },
  async heads() {
    const scores = await headScores(model, { kind: 'induction', length: 10, batch: 2 });
    return scores.topk(3).map(({ name, value }) => `${name} ${value}`);
  },
  async traced() {
    const { scores } = await causalTrace(model, { prompt: text, subject: 'John', samples: 2 });
    return figure(scores).lines();
  },
  async gradients() {
    const { value, grads } = await model.runWithGrads(text, loss(), { names: ['resid_pre', 'z'] });
    return [value, await grads.get('resid_pre', 1).norm('d_model').toArray(2)];
  },
  async aMethodOfOnesOwn(): Promise<Labelled<'layer' | 'head'>> {
    const tokens = model.toTokens(text)[0];
    const { cache } = await model.runWithCache(tokens, { names: 'z' });
    const norms = Tensor.stack(
      cache
        .stackActivation('z')
        .stack.split(1)
        .map((z) => z.norm(['pos', 'd_head']).reshape([-1])),
    );
    return labelled(
      await norms.data(),
      [layerAxis(model), headAxis(model)],
      provenance(model, { method: 'norms of z', tokens }),
    );
  },
  async aProbe() {
    const [x, y] = [Tensor.randn(model, [8, 4], 1), model.tensor([0, 1, 0, 1, 0, 1, 0, 1])];
    const { grads } = await gradientsOf(
      (w) => x.matmul(w).softplus().sub(x.matmul(w).mul(y)).mean(),
      [Tensor.zeros(model, [4])],
    );
    return grads[0].toArray(1);
  },
  async weightsAsTensors() {
    const { W_E, W_Q } = model.weights;
    const circuit = new FactoredMatrix(
      { shape: [2, 1], data: Float32Array.of(1, 2) },
      { shape: [1, 2], data: Float32Array.of(3, 4) },
    );
    return [
      model.tensor(W_E.data, W_E.shape).sum(0),
      model.tensor(new Float64Array(4), [2, 2]),
      W_Q.length,
      circuit.norm(),
    ];
  },
  async mapsOfOnesOwn() {
    const patterns = await attentionPatterns(model, text);
    const means = labelled([1, 2], [axis('which', ['a', 'b'])], provenance(model, { method: 'means' }));
    const marks = await ablate(model, text, { of: 'heads', metric: loss() });
    return [
      patterns.map((v) => v ** 2).shape,
      means.at({ which: 'a' }),
      posAxis(model, [1, 2]).labels,
      marks.axes.length,
    ];
  },
} satisfies Record<string, () => Promise<unknown>>;
