/**
 * TransformerLens' Main_Demo: `node --import tsx docs/programs/main-demo.ts [model] [another model]`. Loading, caches, hooks,
 * patching, induction heads, weights, tokens, factored matrices, generation. (Hook points in a network of one's own, and
 * checkpoints by their index, are not there: a Glassbox model is a transformer.)
 */
import {
  copyingScores,
  FactoredMatrix,
  figure,
  HookedTransformer,
  headAxis,
  hookNames,
  labelled,
  layerAxis,
  logitDiff,
  ovCircuit,
  patch,
  provenance,
  Tensor,
} from '../../index.js';

const [name = 'gpt2', another = 'distilgpt2'] = process.argv.slice(2);
const model = await HookedTransformer.fromPretrained(name);
const { nLayers, nHeads, dVocab } = model.config;
const description = `## Loading and Running Models

To try the model out, let's find the loss on this text!`;
console.log('Model loss', await model.loss(description));

// ---- activations
const text =
  'Natural language processing tasks, such as question answering, are typically approached with supervised learning.';
const tokens = model.toTokens(text);
const { cache } = await model.runWithCache(tokens);
const pattern = cache.removeBatch().get('pattern', 0); // [head, query, key]
console.log('Attention pattern', pattern.shape, await pattern.data());
console.log('Tokens', model.toStrTokens(text).length);
const one = await model.runWithCache(tokens, { stopAtLayer: 1, names: 'blocks.0.attn.hook_pattern' });
console.log('The same alone', await one.cache.get('pattern', 0).sub(pattern).abs().max().item());

// ---- a hook: ablate a head's values
const [layer, head] = [0, 8 % nHeads];
const ablated = model.with({ hooks: [['blocks.0.attn.hook_v', (v) => v.set({ head }, 0)]] });
console.log('Original Loss', await model.loss(tokens));
console.log('Ablated Loss', await ablated.loss(tokens), layer);

// ---- patching
const clean = 'After John and Mary went to the store, Mary gave a bottle of milk to';
const corrupted = clean.replace(', Mary', ', John');
const metric = logitDiff(' John', ' Mary');
const patched = await patch(model, { clean, corrupted, metric });
console.log('Clean logit difference', patched.meta.clean);
console.log('Corrupted logit difference', patched.meta.corrupted);
console.log('Patched residual stream', patched.values);
console.log(figure(patched).lines().join('\n'));

// ---- induction heads: random tokens said twice
const seqLen = 50;
const random = (await Tensor.rand(model, [10, seqLen], 0, 1000, Math.min(10_000, dVocab - 1))
  .floor()
  .toArray(2)) as number[][];
const repeated = random.map((row) => [...row, ...row]);
const logProbs = model.tensor(await model.logProbs(repeated)); // [batch, pos]
console.log('Loss by position', await logProbs.mean(0).neg().data());
async function inductionScores(of: HookedTransformer) {
  const scores: Tensor[] = [];
  const hook = (pattern: Tensor) =>
    void scores.push(
      pattern
        .diagonal(1 - seqLen)
        .mean([0, 2])
        .keep(),
    );
  await of.runWithHooks(repeated, { hooks: [['pattern', hook]] });
  const axes = [layerAxis(of), headAxis(of)];
  return labelled(await Tensor.concat(scores).data(), axes, provenance(of, { method: 'induction score' }));
}
for (const of of [model, await HookedTransformer.fromPretrained(another)]) {
  const scores = await inductionScores(of);
  console.log('Induction Score by Head', scores.values);
  console.log(figure(scores).lines().join('\n'));
}
const single = (await model.runWithCache(repeated[0], { names: 'pattern' })).cache.get(
  'pattern',
  Math.floor((5 * nLayers) / 12),
);
console.log('Pattern of an induction head', await single.slice({ batch: 0, head: 5 % nHeads }).data());

// ---- weights and hook points by name
for (const [name, shape] of Object.entries(model.weightShapes()))
  if (name.startsWith('blocks.0.') || !name.startsWith('blocks')) console.log(name, shape);
for (const name of hookNames(model.config, { onDemand: false }))
  if (name.startsWith('blocks.0.') || !name.startsWith('blocks')) console.log(name, cache.get(name).shape);
const bias = Tensor.from(model.gpu, model.weights.b_U?.data ?? new Float32Array(dVocab), [dVocab]);
const { values, indices } = bias.sort({ descending: true });
console.log('Unembedding bias, largest', await values.slice([[0, 20]]).data());
console.log('Unembedding bias, smallest', await values.slice([[-20, dVocab]]).data());
console.log('Unembedding bias, first', model.toString(await indices.slice([[0, 1]]).data()));
const [john, mary] = [' John', ' Mary'].map((answer) => bias.slice([model.toSingleToken(answer)]));
console.log('Prob ratio bias', await john.sub(mary).exp().item());

// ---- tokens
const example = 'The first thing you need to figure out is *how* things are tokenized.';
console.log('Example as tokens', model.toStrTokens(example));
console.log('Example as ids', model.toTokens(example));
console.log('Several texts', model.toTokens(['The park on the hill.', 'The park on the hill in winter.']));
const probs = (await model.forward('The park on the hill.')).softmax(-1);
console.log('Probability tensor', probs.shape);
console.log(
  '| The| probability',
  await probs.slice({ batch: 0, pos: -1, d_vocab: model.toSingleToken(' The') }).item(),
);
console.log('Token 256', model.toString(256));
console.log('De-tokenizing', model.toString(model.toTokens(example)[0]));
const parks = 'The park on the hill. The hill in the park.';
console.log('With BOS', model.tokenPosition(' park', parks));
console.log('Without BOS', model.tokenPosition(' park', parks, { prependBos: false }));
console.log('Final occurrence', model.tokenPosition(' park', parks, { mode: 'last' }));
for (const sum of ['2342+2017=21445', '1000+1000000=999999']) console.log(sum, model.toStrTokens(sum));
for (const prependBos of [true, false]) {
  const logits = await model.forward(
    'Martin and Mary went to the shops, then Mary gave a bottle of milk to',
    { prependBos },
  );
  const [martin, mary] = [' Martin', ' Mary'].map((answer) =>
    logits.slice({ batch: 0, pos: -1, d_vocab: model.toSingleToken(answer) }),
  );
  console.log(`Logit difference, BOS ${prependBos}`, logits.shape, await martin.sub(mary).item());
}
console.log(
  '| Martin|',
  model.toStrTokens(' Martin', { prependBos: false }),
  model.toStrTokens('Martin', { prependBos: false }),
);

// ---- factored matrices
const matrix = async (rows: number, columns: number, seed: number) => ({
  shape: [rows, columns],
  data: await Tensor.randn(model, [rows, columns], seed).data(),
});
const [A, B, C] = [await matrix(5, 2, 1), await matrix(2, 5, 2), await matrix(5, 300, 3)];
const AB = new FactoredMatrix(A, B);
console.log(
  'Norms',
  await model.tensor(A.data, A.shape).matmul(model.tensor(B.data, B.shape)).norm().item(),
  AB.norm(),
);
console.log('Dimensions', AB.shape, AB.inner);
console.log('Singular values', AB.S);
console.log('ABC', AB.matmul(C).shape, AB.matmul(C).norm());
const ov = Array.from({ length: nLayers * nHeads }, (_, i) =>
  ovCircuit(model, Math.floor(i / nHeads), i % nHeads),
);
const copying = (circuit: FactoredMatrix) => {
  const { re, im } = circuit.eigenvalues();
  return re.reduce((sum, x) => sum + x, 0) / re.reduce((sum, x, i) => sum + Math.hypot(x, im[i]), 0);
};
console.log('OV copying score', ov.map(copying));
console.log('Full OV copying score', (await copyingScores(model, { kind: 'eigenvalues' })).values);
console.log(
  'Generated',
  await model.generate('(CNN) President Barack Obama caught in embarrassing new scandal\n', {
    maxNewTokens: 50,
    temperature: 0.7,
    seed: 1,
  }),
);
