/**
 * `glassbox seed attribution-patching`: TransformerLens' Attribution_Patching_Demo (Nanda 2023), section by section. Activation patching at
 * the price of two forward passes and one backward pass, held against patching itself; and a fact. The part on indirect objects
 * has raw weights, as TransformerBridge has; gpt2-xl, of which the demo has the fact alone, is processed.
 */
// biome-ignore-all format: cells are kept as short as in the notebook

import {
  agreement, attentionAttribution, attentionPatterns, attributionMaps, attributionPatch, byLayerAndHead,
  curveFigure, fitPairs, headNames, headPathAttribution, hues, type Labelled, labelled, logitDiff, measure,
  type Notebook, type NotebookRun, patch, patchBlocks, patchHeads, patchHeadsByPos, pathsOfHead, picked,
  signedHeads, slices, strongest, summed, testPrompt,
} from '../../index.js';

const PROMPTS = [
  'When John and Mary went to the shops, John gave the bag to',
  'When John and Mary went to the shops, Mary gave the bag to',
  'When Tom and James went to the park, James gave the ball to',
  'When Tom and James went to the park, Tom gave the ball to',
  'When Dan and Sid went to the shops, Sid gave an apple to',
  'When Dan and Sid went to the shops, Dan gave an apple to',
  'After Martin and Amy went to the park, Amy gave a drink to',
  'After Martin and Amy went to the park, Martin gave a drink to',
];
const ANSWERS = 'Mary John Tom James Dan Sid Martin Amy'.split(' ').map((name) => ` ${name}`);
/** Each prompt is corrupted by its neighbour, in which the names are exchanged. */
const PAIRS = PROMPTS.map((clean, i) => ({
  clean, corrupted: PROMPTS[i ^ 1], answer: ANSWERS[i], wrong: ANSWERS[i ^ 1],
}));
const FACT = {
  clean: 'The Eiffel Tower is located in the city of', corrupted: 'The Colosseum is located in the city of',
  answer: ' Paris', wrong: ' Rome',
};
const RAW = { foldLn: false, centerWritingWeights: false, centerUnembed: false, foldValueBiases: false };
const ATTENTION = { scale: 'sequential', hue: hues.attention, max: 1, lines: false } as const;
const VECTORS = { k: 'Key', q: 'Query', v: 'Value', z: 'Mixed Value' } as const;

async function indirectObjects(x: NotebookRun) {
  const { model } = x;
  const heads = headNames(model.config);
  x.section('IOI Patching Setup');
  const fitted = fitPairs(model, x.inputs.pairs ?? PAIRS, { sameLength: true });
  const { clean, corrupted, correct, wrong } = fitted;
  x.note(...fitted.notes);
  x.prompts(clean);
  const metric = logitDiff(correct, wrong);
  const pair = { clean, corrupted, metric };
  x.print(
    `Clean string 0      ${model.toStrTokens(clean[0]).join('')}`,
    `Corrupted string 0  ${model.toStrTokens(corrupted[0]).join('')}`,
  );
  x.print(`Answer token indices ${JSON.stringify(correct.map((id, i) => [id, wrong[i]]))}`);
  const [high, low] = [
    (await measure(model, clean, metric)).value, (await measure(model, corrupted, metric)).value,
  ];
  x.print(`Clean logit diff: ${high.toFixed(4)}`, `Corrupted logit diff: ${low.toFixed(4)}`);
  x.print('Clean Baseline is 1: 1.0000', 'Corrupted Baseline is 0: 0.0000');
  x.found(`Logit difference ${high.toFixed(4)} in the clean run, ${low.toFixed(4)} in the corrupted one.`);

  x.section('Patching', 'Forward and backward through every hook point but the inputs of heads and MLPs.');
  const sizes: number[] = [];
  const names = (hook: string) => !/_input$|attn_in$|mlp_in$/.test(hook);
  for (const [name, prompts] of Object.entries({ Clean: clean, Corrupted: corrupted })) {
    const { value, cache, grads } = await x.step(name, () =>
      model.runWithGrads([...prompts], metric, { names }),
    );
    x.print(`${name} Value: ${((value - low) / (high - low)).toFixed(4)}`);
    x.print(`${name} Activations Cached: ${cache.size}`, `${name} Gradients Cached: ${grads.size}`);
    sizes.push(cache.size, grads.size);
    for (const kept of [cache, grads]) kept.dispose();
  }
  x.note(
    'Counts of cached activations are those of Glassbox; of GPT-2 small TransformerLens 2 has 220, 3.9 222, its bridge 517 and 563.',
  );

  x.section(
    'Attention Attribution', 'Pattern × gradient in the clean run; it depends on how weights are processed.',
  );
  const attention = await x.step('attention attribution', () => attentionAttribution(model, pair));
  const first = signedHeads(attention, { prompt: 0 });
  x.figure('attention-first', first, { title: 'Top 20 signed heads, first prompt', ...ATTENTION });
  x.figure('attention-mean', signedHeads(attention), {
    title: 'Top 20 signed heads, mean over the prompts', ...ATTENTION,
  });
  const print = (list: readonly string[]) => x.print(JSON.stringify(list.slice(0, 5)));
  print(heads);
  print(heads.flatMap((n) => [`${n}+`, `${n}-`]));
  print(heads.flatMap((n) => ['Q', 'K', 'V'].map((input) => n + input)));
  x.found(`Attention that matters most: ${first.axes[0].labels.slice(0, 5).join(', ')} (first prompt).`);

  x.section(
    'Attribution Patching',
    'Gradient in the corrupted run × (clean − corrupted), summed over prompts and dimensions.',
  );
  const maps = await x.step('two runs forward, one back', (o) => attributionMaps(model, { ...pair, ...o }));
  x.figure('residual', maps.residual, 'Residual Attribution Patching');
  x.figure('layer-outputs', maps.layerOutputs, 'Layer Output Attribution Patching');
  x.figure('head-outputs', maps.headOutputs, { title: 'Head Output Attribution Patching' });
  const outputs = byLayerAndHead(summed(maps.headOutputs, 'pos'));
  x.figure('head-outputs-sum', outputs, { title: 'Head Output Attribution Patching Sum Over Pos' });
  slices(maps.headVectors, 0).forEach((map, i) => {
    const letter = maps.headVectors.axes[0].labels[i] as keyof typeof VECTORS;
    x.figure(`vectors-${letter}`, map, { title: `${VECTORS[letter]} Attribution Patching` });
    x.figure(`vectors-${letter}-sum`, byLayerAndHead(summed(map, 'pos')), {
      title: `${VECTORS[letter]} Attribution Patching Sum Over Pos`,
    });
  });
  x.figure('patterns', signedHeads(maps.headPatterns), {
    title: 'Head Pattern Attribution Patching', ...ATTENTION,
  });

  x.section(
    'Path Attribution Patching', 'From a head’s output to the queries, keys and values of a later head.',
  );
  const by = ['receiver', 'sender'] as const;
  const paths = await x.step('paths', () => headPathAttribution(model, { ...pair, by }));
  const demo = await x.step('paths, as the demo has them', () =>
    headPathAttribution(model, { ...pair, by, layerNorm: 'demo' }),
  );
  x.note(
    'Paths are drawn with the layer norm’s scale of the run; the demo multiplies by the gradient of the scale instead (paths-demo.csv).',
  );
  x.csv('paths', paths);
  x.csv('paths-demo', demo);
  const order = strongest(outputs, outputs.values.length);
  const ranks = { name: 'rank', labels: order.map((_, i) => String(i)) };
  const sorted = labelled(Float32Array.from(order, (h) => Math.abs(h.value)), [ranks], {});
  x.figure('head-sizes', curveFigure(sorted, { title: 'Heads by the size of their output attribution' }));
  const top = order
    .slice(0, 22)
    .sort((a, b) => a.index - b.index)
    .map((h) => h.name);
  const inputs = top.flatMap((n) => ['q', 'k', 'v'].map((input) => `${n}.${input}`));
  const among = picked(picked(paths, 'receiver', inputs), 'sender', top);
  x.figure(
    'paths-top', among, `Head Path Attribution Patching, ${top.length} heads with the largest outputs`,
  );
  const label = (axis: 0 | 1, at: readonly number[]) => paths.axes[axis].labels[at[axis]];
  const best = strongest(paths, 5).map(
    ({ at, value }) => `${label(1, at)} → ${label(0, at)} ${value.toFixed(4)}`,
  );
  x.found(`Strongest paths: ${best.join(', ')}.`);
  for (const { name } of order.slice(0, 3))
    x.figure(`paths-${name}`, pathsOfHead(paths, name), `Head Path Attribution Patching of ${name}`);

  x.section(
    'Validating Attribution vs Activation Patching',
    'The same cells, patched one by one: 0 is the corrupted run, 1 the clean one.',
  );
  const record = { blocks: x.record('blocks'), heads: x.record('heads'), byPos: x.record('heads-by-pos') };
  const blocks = await x.step('patching blocks', (o) =>
    patchBlocks(model, { ...pair, ...o, ...record.blocks }),
  );
  x.agreement('blocks', 'blocks', maps.blocks, blocks);
  const patched = await x.step('patching heads', (o) =>
    patchHeads(model, { ...pair, ...o, ...record.heads }),
  );
  x.agreement('heads', 'heads, all positions', maps.heads, patched);
  let byPos: Labelled | null = null;
  if (x.setting('positions') === 'yes') {
    byPos = await x.step('heads by position', (o) =>
      patchHeadsByPos(model, { ...pair, ...o, ...record.byPos }),
    );
    x.agreement('heads-by-pos', 'heads by position', maps.headsByPos, byPos);
  } else x.note('Heads by position are attributed, and not patched: --positions yes');
  const shown = strongest(slices(patched, 0)[0], 3);
  const patterns = [];
  for (const prompt of clean) patterns.push(await attentionPatterns(model, prompt));
  x.attention('attention', patterns[0], shown, {
    title: 'Attention of the heads whose patching matters most',
  });
  return {
    fitted, high, low, sizes, names: heads, maps, outputs, demo, top, blocks, heads: patched, byPos, patterns,
  };
}

/** The demo's last part: where is it that the Eiffel Tower is in Paris? */
async function factual(x: NotebookRun) {
  const { model } = x;
  x.section('Factual Knowledge Patching Example');
  if (x.inputs.pairs) return void x.note('The Eiffel Tower is left out: prompts of your own were given.');
  const tests = [
    await testPrompt(model, FACT.clean, FACT.answer), await testPrompt(model, FACT.corrupted, FACT.wrong),
  ];
  x.print(...tests.flatMap((test) => test.lines()));
  const { clean, corrupted, correct, wrong, notes } = fitPairs(model, [FACT], { none: 'empty' });
  x.note(...notes);
  if (!clean.length) return { tests };
  const pair = { clean, corrupted, metric: logitDiff(correct, wrong) };
  const exact = await x.step('patching the fact', (o) =>
    patch(model, { ...pair, ...o, ...x.record('fact') }),
  );
  const attributed = await x.step('attributing the fact', (o) => attributionPatch(model, { ...pair, ...o }));
  const { clean: high, corrupted: low } = exact.meta as { clean: number; corrupted: number };
  x.print(
    `Clean logit diff: ${high}`, `Corrupted logit diff: ${low}`, 'Clean Metric: 1', 'Corrupted Metric: 0',
  );
  for (const [name, text] of Object.entries({ Clean: clean[0], Corrupted: corrupted[0] }))
    x.print(`${name}: ${JSON.stringify(model.toStrTokens(text))}`);
  x.figure('fact-exact', exact, 'Residual stream, patched');
  x.figure('fact-attributed', attributed, 'Residual stream, attributed');
  x.print(...agreement(attributed, exact, { worst: 3 }).lines());
  x.found(`Paris − Rome: ${high.toFixed(4)} after the Eiffel Tower, ${low.toFixed(4)} after the Colosseum.`);
  return { tests, exact, attributed };
}

export const notebook: Notebook = {
  name: 'attribution-patching', title: 'Attribution Patching Demo', about:
    'What would the model say if one activation of the corrupted run were that of the clean run? Patching asks one run after another. Gradient times difference answers for all activations at once, approximately. How well?',
  load: (model) => (model.endsWith('gpt2-xl') ? {} : RAW), inputs: ['pairs'],
  settings: { positions: { usual: 'yes', quick: 'no', help: 'patch heads by position, too: yes or no' } },
  plan: ({ model: { config }, inputs }) => {
    const [n, L, H] = [(inputs.pairs ?? PAIRS).length, config.nLayers, config.nHeads];
    return [
      { what: 'forward and backward', runs: 9 * n, tokens: 15 },
      { what: 'patched cells', runs: n * L * (45 + 80 * H) * 0.4, tokens: 5 },
    ];
  },
  async run(x) {
    const large = x.model.config.nLayers === 48; // gpt2-xl, of which the demo has the fact alone
    if (large) x.note('Indirect objects are left out: of a model of 48 layers the demo has the fact alone.');
    else
      x.note(
        'Weights are raw, as TransformerBridge’s; the 2024 run that numbers are compared with had processed ones. Differences of runs are the same on both, pattern × gradient is not.',
      );
    const objects = large ? null : await indirectObjects(x);
    return { objects, fact: await factual(x) };
  },
};
