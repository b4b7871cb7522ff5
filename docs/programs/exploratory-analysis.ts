/**
 * TransformerLens' exploratory analysis of indirect objects: `node --import tsx docs/programs/exploratory-analysis.ts [model]`.
 * Which layers and heads write the answer, which move it, and what is left when the best of them is ablated. Layers and heads are
 * those of GPT-2 small; in a model of another size they are scaled.
 */
import {
  type ActivationCache,
  figure,
  HookedTransformer,
  headAxis,
  type Labelled,
  labelled,
  layerAxis,
  logitDiff,
  patch,
  pathPatchDirect,
  provenance,
  scatterFigure,
  Tensor,
  testPrompt,
} from '../../index.js';

const [name = 'gpt2'] = process.argv.slice(2);
const model = await HookedTransformer.fromPretrained(name, { refactorFactoredAttnMatrices: true });
const { nLayers, nHeads } = model.config;
const at = (layer: number) => Math.floor((layer * nLayers) / 12);
const log = async (title: string, x: Tensor) => console.log(title, await x.data());
const show = (title: string, map: Labelled) => {
  console.log(title, map.values);
  console.log(figure(map, { title }).lines().join('\n'));
};
const byHead = async (x: Tensor, method: string) =>
  labelled(await x.data(), [layerAxis(model), headAxis(model)], provenance(model, { method }));

console.log(
  `${await testPrompt(model, 'After John and Mary went to the store, John gave a bottle of milk to', ' Mary')}`,
);
const formats = [
  ['When John and Mary went to the shops,{} gave the bag to', ' Mary', ' John'],
  ['When Tom and James went to the park,{} gave the ball to', ' Tom', ' James'],
  ['When Dan and Sid went to the shops,{} gave an apple to', ' Dan', ' Sid'],
  ['After Martin and Amy went to the park,{} gave a drink to', ' Martin', ' Amy'],
];
const answers = formats.flatMap(([, a, b]) => [
  [a, b],
  [b, a],
]);
const prompts = answers.map(([, giver], i) => formats[i >> 1][0].replace('{}', giver));
for (const prompt of prompts) console.log('Prompt as tokens:', model.toStrTokens(prompt));
const tokens = model.toTokens(prompts);
const ids = model.tensor(answers.map((pair) => pair.map((answer) => model.toSingleToken(answer)))).to('u32');
const { logits, cache } = await model.runWithCache(tokens);
function toLogitDiffs(logits: Tensor): Tensor {
  const [right, wrong] = logits.slice({ pos: -1 }).gather(ids).split(1, 1);
  return right.sub(wrong).reshape([-1]); // [batch]
}
await log('Per prompt logit difference', toLogitDiffs(logits));
const original = await toLogitDiffs(logits).mean().item();
console.log('Average logit difference', original);

// ---- direct logit attribution
const answerDirections = model.tokensToResidualDirections(answers); // [batch, 2, d_model]
const directions = answerDirections.slice([null, 0]).sub(answerDirections.slice([null, 1]));
const final = cache.get('resid_post', -1).slice({ pos: -1 }); // [batch, d_model]
const scaled = cache.applyLnToStack(final, -1, { pos: -1 });
await log('Calculated average logit diff', scaled.mul(directions).sum().div(prompts.length));
const toLogitDiff = ({ stack }: { stack: Tensor }, of: ActivationCache) =>
  Tensor.einsum(
    'component batch d, batch d -> component',
    of.applyLnToStack(stack, -1, { pos: -1 }),
    directions,
  ).div(prompts.length);
await log(
  'From accumulated residual stream',
  toLogitDiff(cache.accumulatedResid(-1, { inclMid: true, pos: -1 }), cache),
);
await log('From each layer', toLogitDiff(cache.decomposeResid(-1, { pos: -1 }), cache));
const heads = await byHead(
  toLogitDiff(cache.stackHeadResults(-1, { pos: -1 }), cache),
  'direct logit attribution',
);
show('From each head', heads);

const patterns = (which: [layer: number, head: number][], of: ActivationCache) =>
  Tensor.stack(which.map(([layer, head]) => of.get('pattern', layer).slice({ batch: 0, head })));
const headsOf = (entries: { at: Record<string, number> }[]) =>
  entries.map(({ at }): [number, number] => [at.layer, at.head]);
await log('Top positive heads attend', patterns(headsOf(heads.topk(3)), cache));
await log('Top negative heads attend', patterns(headsOf(heads.map((x) => -x).topk(3)), cache));

// ---- activation patching
const corrupted = tokens.map((_, i) => tokens[i ^ 1]);
const corruptedRun = await model.runWithCache(corrupted);
console.log('Corrupted average logit diff', await toLogitDiffs(corruptedRun.logits).mean().item());
const metric = logitDiff(
  answers.map(([right]) => right),
  answers.map(([, wrong]) => wrong),
);
const pair = { clean: tokens, corrupted, metric };
for (const site of ['resid_pre', 'attn_out', 'mlp_out'])
  show(`Patched ${site}`, await patch(model, { ...pair, at: site }));
const output = await patch(model, { ...pair, at: 'z', by: ['layer', 'head'] });
show('Patched head output', output);
for (const site of ['v', 'pattern']) {
  const other = await patch(model, { ...pair, at: site, by: ['layer', 'head'] });
  show(`Patched head ${site}`, other);
  console.log(
    scatterFigure(other, output, { title: `Output patching against ${site} patching` })
      .lines()
      .join('\n'),
  );
}

// ---- direct paths from the heads of one layer to the queries, keys or values of another
async function directPaths(from: number, to: 'q' | 'k' | 'v', layers: number[]) {
  for (let head = 0; head < nHeads; head++) {
    const path = { original: corrupted, new: tokens, metric, sender: { layer: from, head }, to };
    const map = await pathPatchDirect(model, path);
    for (const layer of layers)
      console.log(`L${from}H${head} to ${to} of L${layer}`, map.slice({ layer }).values);
  }
}
const range = (start: number, end: number) =>
  Array.from({ length: Math.max(end - start, 0) }, (_, i) => start + i);
await directPaths(at(5), 'v', [at(8)]);
for (const l of range(at(7), nLayers - 1)) await directPaths(l, 'q', range(l + 1, Math.min(l + 3, nLayers)));
for (const l of range(at(5), at(8))) await directPaths(l, 'k', range(at(8), nLayers));

const top = headsOf(output.map(Math.abs).topk(10));
console.log(
  'Early',
  top.filter(([l]) => l < at(7)),
);
console.log(
  'Middle',
  top.filter(([l]) => at(7) <= l && l < at(9)),
);
console.log(
  'Late',
  top.filter(([l]) => at(9) <= l),
);
await log('Top heads attend', patterns(top, cache));
const example =
  'Research in mechanistic interpretability seeks to explain behaviors of machine learning models.';
const twice = await model.runWithCache(example + example, { names: 'pattern' });
await log(
  'Induction heads attend',
  patterns(
    [
      [at(6), 9 % nHeads],
      [at(5), 5 % nHeads],
    ],
    twice.cache,
  ),
);

// ---- previous tokens, duplicates, induction: random tokens said twice
const [seqLen, most] = [100, Math.min(20_000, model.config.dVocab - 1)];
const random = (await Tensor.rand(model, [2, seqLen], 0, 100, most).floor().toArray(2)) as number[][];
const repeated = await model.runWithCache(
  random.map((row) => [...row, ...row]),
  { names: 'pattern' },
);
const scores = (offset: number) =>
  byHead(
    Tensor.stack(
      range(0, nLayers).map((l) => repeated.cache.get('pattern', l).diagonal(offset).mean([0, 2])),
    ),
    'attention',
  );
show('Previous Token Scores', await scores(-1));
show('Duplicate Token Scores', await scores(-seqLen));
show('Induction Head Scores', await scores(1 - seqLen));

// ---- the top name mover ablated, for good
const { layer, head } = heads.argmax().at;
console.log('Top Name Mover to ablate', layer, head);
const ablated = model.with({ interventions: [{ at: 'z', layer, head, pos: -1, zero: true }] });
const ablatedRun = await ablated.runWithCache(tokens);
console.log('Post ablation logit diff', await toLogitDiffs(ablatedRun.logits).mean().item());
console.log('Naive prediction', original - heads.at({ layer, head }));
const after = await byHead(
  toLogitDiff(ablatedRun.cache.stackHeadResults(-1, { pos: -1 }), ablatedRun.cache),
  'ablated',
);
show('From each head, ablated', after);
console.log(
  scatterFigure(after, heads, { title: 'Original against post-ablation attribution of heads' })
    .lines()
    .join('\n'),
);
const scale = (of: ActivationCache) => of.get('ln_final.hook_scale').slice({ pos: -1 });
await log('Average LN scaling ratio', scale(cache).div(scale(ablatedRun.cache)).mean());
await log('Ablation LN scale', scale(ablatedRun.cache));
model.dispose();
