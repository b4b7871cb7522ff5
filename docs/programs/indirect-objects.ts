/**
 * ARENA's exercises 1.4.1, the circuit of indirect objects (Wang et al. 2022): `node --import tsx docs/programs/indirect-objects.ts [model]`.
 * Attribution and patching as in exploratory-analysis.ts; then path patching, what heads copy, and the circuit alone: all
 * other heads are replaced by their mean, for good. Layers and heads are those of GPT-2 small; in a model of another size they are scaled.
 */
import {
  type ActivationCache,
  figure,
  HookedTransformer,
  type Labelled,
  logitDiff,
  ovCircuit,
  patch,
  patchBlocks,
  patchHeads,
  pathPatch,
  Tensor,
} from '../../index.js';

type Head = readonly [layer: number, head: number];
const [name = 'gpt2'] = process.argv.slice(2);
const model = await HookedTransformer.fromPretrained(name, { refactorFactoredAttnMatrices: true });
const { nLayers, nHeads } = model.config;
const scaled = ([layer, head]: Head): Head => [Math.floor((layer * nLayers) / 12), head % nHeads];
const show = (title: string, map: Labelled) => {
  console.log(title, map.values);
  console.log(figure(map, { title }).lines().join('\n'));
};

// ---- prompts: ABBA and BABA of three templates, and the same with three names that differ
const templates = [
  'When {A} and {B} went to the shops, {S} gave the bag to',
  'After {A} and {B} went to the park today, {S} gave a drink to',
  'Then {A} and {B} went to the house, and {S} gave it to',
];
const names = ['John', 'Mary', 'Tom', 'James', 'Dan', 'Sid', 'Martin', 'Amy', 'Anna', 'Sam'];
const made = Array.from({ length: 12 }, (_, i) => {
  const [io, s, a, b, c] = [0, 3, 5, 7, 9].map((step) => names[(i + step) % names.length]);
  const [A, B] = i % 2 ? [s, io] : [io, s];
  const write = (A: string, B: string, S: string) =>
    templates[i % 3].replace('{A}', A).replace('{B}', B).replace('{S}', S);
  return { io: ` ${io}`, s: ` ${s}`, group: i % 3, ioi: write(A, B, s), abc: write(a, b, c) };
});
const [ioi, abc] = [model.toTokens(made.map((p) => p.ioi)), model.toTokens(made.map((p) => p.abc))];
const places = made.map(({ io, s }, i) => {
  const [S1, S2] = (['first', 'last'] as const).map((mode) => model.tokenPosition(s, ioi[i], { mode }));
  return { IO: model.tokenPosition(io, ioi[i]), S1, S2, 'S1+1': S1 + 1, end: ioi[i].length - 1 };
});
for (const { ioi, abc } of made.slice(0, 3)) console.log(ioi, '|', abc);
const metric = logitDiff(
  made.map((p) => p.io),
  made.map((p) => p.s),
);
const ids = model
  .tensor(made.map(({ io, s }) => [model.toSingleToken(io), model.toSingleToken(s)]))
  .to('u32');
const perPrompt = (logits: Tensor) => {
  const [right, wrong] = logits.slice({ pos: -1 }).gather(ids).split(1, 1);
  return right.sub(wrong).reshape([-1]);
};
const [ioiRun, abcRun] = [await model.runWithCache(ioi), await model.runWithCache(abc)];
console.log('Per prompt logit difference', await perPrompt(ioiRun.logits).data());
const [ioiDiff, abcDiff] = [
  await perPrompt(ioiRun.logits).mean().item(),
  await perPrompt(abcRun.logits).mean().item(),
];
console.log('Average logit diff (IOI, ABC)', ioiDiff, abcDiff);

// ---- direct logit attribution
const pairs = model.tokensToResidualDirections(made.map(({ io, s }) => [io, s])); // [batch, 2, d_model]
const directions = pairs.slice([null, 0]).sub(pairs.slice([null, 1]));
const toLogitDiff = ({ stack }: { stack: Tensor }, of: ActivationCache) =>
  Tensor.einsum(
    'component batch d, batch d -> component',
    of.applyLnToStack(stack, -1, { pos: -1 }),
    directions,
  ).div(made.length);
const { cache } = ioiRun;
const residual = await toLogitDiff(cache.accumulatedResid(-1, { inclMid: true, pos: -1 }), cache).data();
console.log('From accumulated residual stream', residual);
console.log(
  'From attention layers',
  await toLogitDiff(cache.decomposeResid(-1, { mode: 'attn', pos: -1 }), cache).data(),
);
console.log('From each head', await toLogitDiff(cache.stackHeadResults(-1, { pos: -1 }), cache).data());

// ---- activation patching, in the prompts of one template
const first = made.flatMap(({ group }, i) => (group === 0 ? [i] : []));
const pair = {
  clean: first.map((i) => ioi[i]),
  corrupted: first.map((i) => abc[i]),
  metric: logitDiff(
    first.map((i) => made[i].io),
    first.map((i) => made[i].s),
  ),
};
show('resid_pre Activation Patching', await patch(model, { ...pair, at: 'resid_pre' }));
show('Activation Patching Per Block', await patchBlocks(model, pair));
show('Activation Patching Per Head', await patchHeads(model, pair));

// ---- path patching: 0 is the IOI run, 1 the ABC run
const paths = { original: ioi, new: abc, metric, freeze: 'heads' as const };
show('Direct effect on the logit difference', await pathPatch(model, paths));
const inhibition = (
  [
    [7, 3],
    [7, 9],
    [8, 6],
    [8, 10],
  ] as const
).map(scaled);
const receivers = inhibition.map(([layer, head]) => ({ layer, head, input: 'v' as const }));
show("Direct effect on S-Inhibition Heads' values", await pathPatch(model, { ...paths, receivers }));

// ---- what heads attend to, and what they write there
for (const [layer, head] of (
  [
    [9, 9],
    [11, 10],
  ] as const
).map(scaled)) {
  const at = { IO: [] as number[], S: [] as number[] };
  for (const [i, { IO, S1, S2, end }] of places.entries()) {
    const row = cache.row(i).removeBatch();
    const seen = await row.get('pattern', layer).slice({ head, query: end }).data();
    at.IO.push(seen[IO]);
    at.S.push(seen[S1] + seen[S2]);
  }
  const W_O = model.tensor(model.weights.W_O[layer].data, model.weights.W_O[layer].shape).slice([head]);
  const written = cache.get('z', layer).slice({ pos: -1, head }).matmul(W_O); // [batch, d_model]
  const along = Tensor.einsum('batch d, batch answer d -> batch answer', written, pairs);
  console.log(`L${layer}H${head} attends to IO, S`, at.IO, at.S);
  console.log(`L${layer}H${head} writes along IO, S`, await along.data());
}
const nameIds = names.map((name) => model.toSingleToken(` ${name}`));
const { cache: early } = await model.runWithCache(
  nameIds.map((id) => [id]),
  {
    names: ['hook_embed', 'mlp_out'],
    stopAtLayer: 1,
    hooks: [
      ['hook_pos_embed', (x) => x.mul(0)],
      ['blocks.0.hook_attn_out', (x) => x.mul(0)],
    ],
  },
);
const embedded = early.get('hook_embed').add(early.get('mlp_out', 0)).slice({ pos: 0 }); // [name, d_model]
const own = model.tensor(nameIds.map((id) => [id])).to('u32');
const copying: number[][] = [[], []];
for (let layer = 1; layer < nLayers; layer++)
  for (let head = 0; head < nHeads; head++)
    for (const [i, sign] of [1, -1].entries()) {
      const moved = embedded.matmul(model.tensor(ovCircuit(model, layer, head))).mul(sign);
      const { indices } = (await model.logitsOfResidual(moved)).topk(5);
      copying[i].push(await indices.eq(own).sum(-1).mean().item());
    }
console.log('Copying scores', copying);

// ---- the circuit alone
type Role = keyof (typeof places)[number];
type Circuit = readonly (readonly [role: string, keep: Role, heads: readonly Head[]])[];
const CIRCUIT: Circuit = (
  [
    [
      'name mover',
      'end',
      [
        [9, 9],
        [10, 0],
        [9, 6],
      ],
    ],
    [
      'backup name mover',
      'end',
      [
        [10, 10],
        [10, 6],
        [10, 2],
        [10, 1],
        [11, 2],
        [9, 7],
        [9, 0],
        [11, 9],
      ],
    ],
    [
      'negative name mover',
      'end',
      [
        [10, 7],
        [11, 10],
      ],
    ],
    [
      's2 inhibition',
      'end',
      [
        [7, 3],
        [7, 9],
        [8, 6],
        [8, 10],
      ],
    ],
    [
      'induction',
      'S2',
      [
        [5, 5],
        [5, 8],
        [5, 9],
        [6, 9],
      ],
    ],
    [
      'duplicate token',
      'S2',
      [
        [0, 1],
        [0, 10],
        [3, 0],
      ],
    ],
    [
      'previous token',
      'S1+1',
      [
        [2, 2],
        [4, 11],
      ],
    ],
  ] as const
).map(([role, keep, heads]) => [role, keep, heads.map(scaled)]);

/** Every head's z is its mean over the ABC prompts of the same template, but where the circuit has the head. */
function meanAblated(circuit: Circuit): HookedTransformer {
  const starts = ioi.map((_, i) => ioi.slice(0, i).reduce((n, row) => n + row.length, 0));
  const means = Array.from({ length: nLayers }, (_, layer) => {
    const ofGroup = [0, 1, 2].map((group) => {
      const rows = abcRun.cache.rows(made.flatMap((p, i) => (p.group === group ? [i] : [])));
      return rows.get('z', layer).mean('batch'); // [pos, head, d_head]
    });
    return Tensor.concat(made.map((p) => ofGroup[p.group]));
  });
  const masks = means.map((mean, layer) => {
    const kept = new Float32Array(mean.shape[0] * nHeads);
    for (const [, keep, heads] of circuit)
      for (const [l, head] of heads)
        if (l === layer)
          for (const [i, place] of places.entries()) kept[(starts[i] + place[keep]) * nHeads + head] = 1;
    return model.tensor(kept, [mean.shape[0], nHeads, 1]);
  });
  return model.with({
    hooks: [['z', (z, { layer }) => Tensor.where(masks[layer ?? 0], z, means[layer ?? 0].reshape(z.shape))]],
  });
}
const circuitDiff = async (circuit: Circuit) =>
  perPrompt(await meanAblated(circuit).forward(ioi))
    .mean()
    .item();
console.log('Average logit difference, whole model', ioiDiff);
console.log('Average logit difference, circuit alone', await circuitDiff(CIRCUIT));
const circuitModel = meanAblated(CIRCUIT);
console.log('Path patching of the circuit alone', (await pathPatch(circuitModel, paths)).values);

// ---- is each head needed? The circuit without K and with v, against without both
const K: readonly (readonly [Head, readonly Head[]])[] = [
  [[9, 9], []],
  [[10, 0], [[9, 9]]],
  [
    [8, 10],
    [
      [7, 9],
      [8, 6],
      [7, 3],
    ],
  ],
  [
    [5, 5],
    [
      [5, 9],
      [6, 9],
      [5, 8],
    ],
  ],
  [
    [0, 1],
    [
      [0, 10],
      [3, 0],
    ],
  ],
  [[4, 11], [[2, 2]]],
];
const without = (left: readonly Head[]): Circuit =>
  CIRCUIT.map(([role, keep, heads]) => [
    role,
    keep,
    heads.filter((h) => !left.some((o) => `${o}` === `${h}`)),
  ]);
for (const [v, others] of K) {
  const set = others.map(scaled);
  const [reduced, less] = [await circuitDiff(without(set)), await circuitDiff(without([...set, scaled(v)]))];
  console.log(`Minimality of ${v}`, Math.abs(less - reduced) / ioiDiff);
}
model.dispose();
