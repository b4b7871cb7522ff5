/** `glassbox seed attribution-patching`: TransformerLens' Attribution_Patching_Demo (Nanda 2023), section by section. */

import {
  agreement,
  attentionAttribution,
  attentionPatterns,
  attributionMaps,
  attributionPatch,
  byLayerAndHead,
  bySize,
  curveFigure,
  type Entry,
  fitPairs,
  headNames,
  headPathAttribution,
  type Labelled,
  measure,
  type Notebook,
  type NotebookRun,
  patch,
  patchBlocks,
  patchHeads,
  patchHeadsByPos,
  pathsAmong,
  pathsOfHead,
  signedHeads,
  slices,
  strongest,
  summed,
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
const PAIRS = PROMPTS.map((clean, i) => {
  return { clean, corrupted: PROMPTS[i ^ 1], answer: ANSWERS[i], wrong: ANSWERS[i ^ 1] };
});
const PARIS = { clean: 'The Eiffel Tower is located in the city of', answer: ' Paris' };
const ROME = { corrupted: 'The Colosseum is located in the city of', wrong: ' Rome' };
const RAW = { foldLn: false, centerWritingWeights: false, centerUnembed: false, foldValueBiases: false };
const VECTORS = { k: 'Key', q: 'Query', v: 'Value', z: 'Mixed Value' } as const;

async function indirectObjects(x: NotebookRun) {
  const { model } = x;
  x.section('IOI Patching Setup');
  const fitted = x.pairs(PAIRS, { sameLength: true });
  const { clean, corrupted, correct, wrong, metric } = fitted;
  const pair = { clean, corrupted, metric };
  const text = (prompt: string) => model.toStrTokens(prompt).join('');
  x.print(`Clean string 0      ${text(clean[0])}`, `Corrupted string 0  ${text(corrupted[0])}`);
  x.print(`Answer token indices ${JSON.stringify(correct.map((id, i) => [id, wrong[i]]))}`);
  const high = (await measure(model, clean, metric)).value;
  const low = (await measure(model, corrupted, metric)).value;
  x.print(`Clean logit diff: ${high.toFixed(4)}`, `Corrupted logit diff: ${low.toFixed(4)}`);
  x.print('Clean Baseline is 1: 1.0000', 'Corrupted Baseline is 0: 0.0000');
  x.found(`Logit difference ${high.toFixed(4)} in the clean run, ${low.toFixed(4)} in the corrupted one.`);

  x.section('Patching', 'Forward and backward through every hook point but the inputs of heads and MLPs.');
  const sizes: number[] = [];
  const names = (hook: string) => !/_input$|attn_in$|mlp_in$/.test(hook);
  for (const [name, prompts] of Object.entries({ Clean: [...clean], Corrupted: [...corrupted] })) {
    const run = await x.step(name, () => model.runWithGrads(prompts, metric, { names }));
    x.print(`${name} Value: ${((run.value - low) / (high - low)).toFixed(4)}`);
    x.print(`${name} Activations Cached: ${run.cache.size}`, `${name} Gradients Cached: ${run.grads.size}`);
    sizes.push(run.cache.size, run.grads.size);
    for (const kept of [run.cache, run.grads]) kept.dispose();
  }
  x.note(
    'Counts of cached activations are Glassbox’s; of GPT-2 small TransformerLens 2 has 220, 3.9 222, its bridge 517, 563.',
  );

  x.section('Attention Attribution', 'Pattern × gradient, clean run. Processing of weights changes it.');
  const attention = await x.step('attention attribution', () => attentionAttribution(model, pair));
  const first = signedHeads(attention, { prompt: 0 });
  x.figure('attention-first', first, 'Top 20 signed heads, first prompt');
  x.figure('attention-mean', signedHeads(attention), 'Top 20 signed heads, mean over the prompts');
  const heads = headNames(model.config);
  const signed = heads.flatMap((n) => [`${n}+`, `${n}-`]);
  const qkv = heads.flatMap((n) => ['Q', 'K', 'V'].map((input) => n + input));
  for (const list of [heads, signed, qkv]) x.print(JSON.stringify(list.slice(0, 5)));
  x.found(`Attention that matters most: ${first.axes[0].labels.slice(0, 5).join(', ')} (first prompt).`);

  x.section('Attribution Patching', 'Gradient, corrupted run × (clean − corrupted), summed over prompts.');
  const maps = await x.step('two runs forward, one back', (o) => attributionMaps(model, { ...pair, ...o }));
  x.figure('residual', maps.residual, 'Residual Attribution Patching');
  x.figure('layer-outputs', maps.layerOutputs, 'Layer Output Attribution Patching');
  const headsAndSum = (file: string, map: Labelled, what: string) => {
    const sum = byLayerAndHead(summed(map, 'pos'));
    x.figure(file, map, `${what} Attribution Patching`);
    x.figure(`${file}-sum`, sum, `${what} Attribution Patching Sum Over Pos`);
    return sum;
  };
  const outputs = headsAndSum('head-outputs', maps.headOutputs, 'Head Output');
  slices(maps.headVectors, 0).forEach((map, i) => {
    const letter = maps.headVectors.axes[0].labels[i] as keyof typeof VECTORS;
    headsAndSum(`vectors-${letter}`, map, VECTORS[letter]);
  });
  x.figure('patterns', signedHeads(maps.headPatterns), 'Head Pattern Attribution Patching');

  x.section('Path Attribution Patching', 'From a head’s output to queries, keys, values of a later head.');
  const title = 'Heads by the size of their output attribution';
  x.figure('head-sizes', curveFigure(bySize(outputs), { title }));
  const order = strongest(outputs, outputs.values.length);
  const paths = model.config.normPlaces === 'before' ? await headPaths(x, pair, order) : null;
  if (!paths) x.note('Paths between heads are left out: they would lead through the norm behind attention.');

  x.section('Validating Attribution vs Activation Patching', 'The same cells, patched one by one.');
  const blocks = await x.step('blocks', (o) => patchBlocks(model, { ...pair, ...o }), 'blocks');
  x.agreement('blocks', 'blocks', maps.blocks, blocks);
  const patched = await x.step('heads', (o) => patchHeads(model, { ...pair, ...o }), 'heads');
  x.agreement('heads', 'heads, all positions', maps.heads, patched);
  let byPos: Labelled | null = null;
  if (x.setting('positions') === 'yes') {
    byPos = await x.step('by pos', (o) => patchHeadsByPos(model, { ...pair, ...o }), 'heads-by-pos');
    x.agreement('heads-by-pos', 'heads by position', maps.headsByPos, byPos);
  } else x.note('Heads by position are attributed, and not patched: --positions yes');
  const patterns = [];
  for (const prompt of clean) patterns.push(await attentionPatterns(model, prompt));
  const shown = strongest(slices(patched, 0)[0], 3);
  x.attention('attention', patterns[0], shown, { title: 'The heads whose patching matters most' });
  return { fitted, high, low, sizes, names: heads, maps, paths, blocks, heads: patched, byPos, patterns };
}

/** From each head's output to later heads' inputs; drawn for the heads of the largest outputs. */
async function headPaths(x: NotebookRun, pair: Parameters<typeof headPathAttribution>[1], order: Entry[]) {
  const ends = { ...pair, by: ['receiver', 'sender'] } as const;
  const paths = await x.step('paths', () => headPathAttribution(x.model, ends));
  const demo = await x.step('the demo’s', () => headPathAttribution(x.model, { ...ends, layerNorm: 'demo' }));
  x.note('Paths have the layer norm’s scale of the run; the demo takes its gradient (paths-demo.csv).');
  x.csv('paths', paths);
  x.csv('paths-demo', demo);
  const largest = order.slice(0, 22).sort((a, b) => a.index - b.index);
  const top = largest.map((head) => head.name);
  x.figure('paths-top', pathsAmong(paths, top), 'Head Path Attribution Patching, largest outputs');
  const best = strongest(paths, 5).map(({ name, value }) => `${name} ${value.toFixed(4)}`);
  x.found(`Strongest paths, receiver · sender: ${best.join(', ')}.`);
  for (const { name } of order.slice(0, 3))
    x.figure(`paths-${name}`, pathsOfHead(paths, name), `Head Path Attribution Patching of ${name}`);
  return { demo, top };
}

/** The demo's last part: where is it that the Eiffel Tower is in Paris? */
async function factual(x: NotebookRun) {
  const { model } = x;
  x.section('Factual Knowledge Patching Example');
  if (x.inputs.pairs) return void x.note('The Eiffel Tower is left out: prompts of your own were given.');
  const tests = [await x.testPrompt(PARIS.clean, ' Paris'), await x.testPrompt(ROME.corrupted, ' Rome')];
  const fact = fitPairs(model, [{ ...PARIS, ...ROME }], { none: 'empty' });
  x.note(...fact.notes);
  if (!fact.clean.length) return { tests };
  const { clean, corrupted, metric } = fact;
  const pair = { clean, corrupted, metric };
  const exact = await x.step('patching the fact', (o) => patch(model, { ...pair, ...o }), 'fact');
  const attributed = await x.step('attributing the fact', (o) => attributionPatch(model, { ...pair, ...o }));
  const { clean: high, corrupted: low } = exact.meta as { clean: number; corrupted: number };
  x.print(`Clean logit diff: ${high}`, `Corrupted logit diff: ${low}`);
  x.print('Clean Metric: 1', 'Corrupted Metric: 0');
  x.print(`Clean: ${JSON.stringify(model.toStrTokens(clean[0]))}`);
  x.print(`Corrupted: ${JSON.stringify(model.toStrTokens(corrupted[0]))}`);
  x.figure('fact-exact', exact, 'Residual stream, patched');
  x.figure('fact-attributed', attributed, 'Residual stream, attributed');
  x.print(...agreement(attributed, exact, { worst: 3 }).lines());
  x.found(`Paris − Rome: ${high.toFixed(4)} after the Eiffel Tower, ${low.toFixed(4)} after the Colosseum.`);
  return { tests, exact, attributed };
}

export const notebook: Notebook = {
  name: 'attribution-patching',
  title: 'Attribution Patching Demo',
  about:
    'What would the model say if one activation of the corrupted run were that of the clean run? Patching asks one run after another. Gradient times difference answers for all activations at once, approximately. How well?',
  load: (model) => (model.endsWith('gpt2-xl') ? {} : RAW),
  inputs: ['pairs'],
  settings: { positions: { usual: 'yes', quick: 'no', help: 'patch heads by position, too: yes or no' } },
  plan: ({ model: { config }, inputs }) => {
    const [n, L, H] = [(inputs.pairs ?? PAIRS).length, config.nLayers, config.nHeads];
    const both = { what: 'forward and backward', runs: 9 * n, tokens: 15 };
    return [both, { what: 'patched cells', runs: n * L * (45 + 80 * H) * 0.4, tokens: 5 }];
  },
  async run(x) {
    const large = x.model.config.nLayers === 48; // gpt2-xl, of which the demo has the fact alone
    x.note(
      large
        ? 'Indirect objects are left out: of a model of 48 layers the demo has the fact alone.'
        : 'Weights are raw, as TransformerBridge’s; the 2024 run that numbers are compared with had processed ones. Differences of runs are the same on both, pattern × gradient is not.',
    );
    const objects = large ? null : await indirectObjects(x);
    return { objects, fact: await factual(x) };
  },
};
