/**
 * TransformerLens' demo of activation patching: `node --import tsx docs/programs/activation-patching.ts [model] [attention-only model]`.
 * Two prompts differ in who gave; which activations, put into the run of the other prompt, bring the answer back?
 */
import {
  figure,
  HookedTransformer,
  type Labelled,
  patch,
  patchBlocks,
  patchHeads,
  patchHeadsByPos,
  Tensor,
} from '../../index.js';

const [name = 'gpt2', small = 'attn-only-2l'] = process.argv.slice(2);
const show = (title: string, map: Labelled, max?: number) => {
  console.log(title, map.values);
  console.log(figure(map, { title, max }).lines().join('\n'));
};
const model = await HookedTransformer.fromPretrained(name);

// ---- indirect objects
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
const clean = model.toTokens(answers.map(([, giver], i) => formats[i >> 1][0].replace('{}', giver)));
const corrupted = clean.map((_, i) => clean[i ^ 1]); // each with its neighbour
console.log('Clean string 0', model.toString(clean[0]));
console.log('Corrupted string 0', model.toString(corrupted[0]));
const ids = model.tensor(answers.map((pair) => pair.map((answer) => model.toSingleToken(answer)))).to('u32');
console.log('Answer token indices', await ids.data());

function getLogitDiff(logits: Tensor): Tensor {
  const [right, wrong] = logits.slice({ pos: -1 }).gather(ids).split(1, 1); // [batch, 1] each
  return right.sub(wrong).mean();
}
const [cleanDiff, corruptedDiff] = [
  await getLogitDiff(await model.forward(clean)).item(),
  await getLogitDiff(await model.forward(corrupted)).item(),
];
console.log('Clean logit diff', cleanDiff);
console.log('Corrupted logit diff', corruptedDiff);
const ioiMetric = (logits: Tensor) =>
  getLogitDiff(logits)
    .sub(corruptedDiff)
    .div(cleanDiff - corruptedDiff);

const ioi = { clean, corrupted, metric: ioiMetric, normalize: false };
show('resid_pre Activation Patching', await patch(model, { ...ioi, at: 'resid_pre' }));
show('attn_head_out Activation Patching (All Pos)', await patch(model, { ...ioi, at: 'z' }));
show('attn_head_out By Pos', await patch(model, { ...ioi, at: 'z', by: ['layer', 'head', 'pos'] }));
show('Activation Patching Per Block', await patchBlocks(model, ioi), 1);
show('Activation Patching Per Head (All Pos)', await patchHeads(model, ioi), 1);
show('Activation Patching Per Head (By Pos)', await patchHeadsByPos(model, ioi), 1);

// ---- induction: random tokens said twice
const attnOnly = await HookedTransformer.fromPretrained(small);
const [batch, length, bos] = [4, 20, attnOnly.config.bosTokenId ?? 0];
const most = Math.min(10_000, attnOnly.config.dVocab - 1);
const random = async (seed: number) =>
  (await Tensor.rand(attnOnly, [batch, length], seed, 100, most).floor().toArray(2)) as number[][];
const [A, B, C] = [await random(1), await random(2), await random(3)];
const after = (first: number[][], second: number[][]) => first.map((row, i) => [bos, ...row, ...second[i]]);
const next = attnOnly.tensor(A.map((row) => row.slice(1).map((id) => [id]))).to('u32'); // [batch, length - 1, 1]
/** Mean log-probability of the second half, but for its first token, which cannot be known. */
const inductionLoss = (logits: Tensor) =>
  logits
    .slice({ pos: [length + 1, 2 * length] })
    .logSoftmax(-1)
    .gather(next)
    .mean();
const AA = after(A, A);
const baseline = await inductionLoss(await attnOnly.forward(AA)).item();
console.log('Clean baseline', baseline);
console.log('Corrupted baseline', await inductionLoss(await attnOnly.forward(after(A, B))).item());
const induction = (corrupted: number[][]) => ({
  clean: AA,
  corrupted,
  metric: inductionLoss,
  normalize: false,
});
show('Per Head (All Pos)', await patchHeads(attnOnly, induction(after(A, B))), Math.abs(baseline));
show('Per Head (By Pos)', await patchHeadsByPos(attnOnly, induction(after(A, B))), Math.abs(baseline));
for (const [what, tokens] of [
  ['BA', after(B, A)],
  ['BB', after(B, B)],
  ['BC', after(B, C)],
] as const)
  show(`Per Head on ${what} (All Pos)`, await patchHeads(attnOnly, induction(tokens)), Math.abs(baseline));
for (const used of [model, attnOnly]) used.dispose();
