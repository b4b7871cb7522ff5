/**
 * `glassbox seed ioi`: "When John and Mary went to the shops, John gave the bag to" – how does a model know that it is Mary? The
 * notebook on indirect objects (Wang et al. 2022) and direct logit attribution, cell by cell; then, after TransformerLens'
 * Exploratory Analysis Demo, the logit lens, layers, heads, what heads do on random tokens, and the run without the strongest.
 */

import {
  attentionPatterns,
  counterfactuals,
  curveFigure,
  finalProjection,
  headScores,
  hues,
  labelled,
  logitDiff,
  measure,
  type Notebook,
  residualAttribution,
  residualAttributionNames,
  runWithInterventions,
  strongest,
} from '../../index.js';

const PROMPT_FORMAT = [
  'When John and Mary went to the shops,{} gave the bag to',
  'When Tom and James went to the park,{} gave the ball to',
  'When Dan and Sid went to the shops,{} gave an apple to',
  'After Martin and Amy went to the park,{} gave a drink to',
];
const NAMES = [' Mary John', ' Tom James', ' Dan Sid', ' Martin Amy'].map((two) => two.split(/(?= )/));
/** Each sentence with either name as the giver; the other one receives. */
const PAIRS = PROMPT_FORMAT.flatMap((format, i) =>
  [0, 1].map((j) => {
    const [answer, wrong] = [NAMES[i][j], NAMES[i][1 - j]];
    return { clean: format.replace('{}', wrong), answer, wrong };
  }),
);

const SUBJECT =
  'how much of its attention each head spends on the token before; on the same token, said first; after it';
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

export const notebook: Notebook = {
  name: 'ioi',
  title: 'Who gave the bag to whom?',
  about:
    'After “When John and Mary went to the shops, John gave the bag to” comes “ Mary”. Which parts of the model say so? The residual stream is a sum of what layers and heads write, and logits are linear in it once the last layer norm’s scale is taken as it was in the run.',
  inputs: ['pairs', 'prompt', 'answer'],
  plan: ({ inputs }) => [{ what: 'prompts', runs: 5 * (inputs.pairs ?? PAIRS).length, tokens: 15 }],

  async run(x) {
    const { model } = x;
    x.section('Example prompts along with clean and corrupted answers');
    const fitted = x.pairs(PAIRS, { patching: false });
    const { pairs, clean: prompts, correct, wrong } = fitted;
    const rows = pairs.map((p) => [p.clean, p.answer, p.wrong]);
    x.table(['prompt', 'clean', 'corrupted'], rows);
    x.print(`answer tokens: ${correct.map((id, i) => `[${id}, ${wrong[i]}]`).join(' ')}`);
    const lengths = new Set(prompts.map((p) => model.toTokens(p)[0].length));
    x.print(`tokens a prompt, beginning of text prepended: ${[...lengths].join(', ')}`);
    if (lengths.size > 1) x.note('Prompts differ in length, which the notebook asserts not; here rows may.');
    const milk = `After John and Mary went to the store, John gave a bottle${x.tiny ? '' : ' of milk'} to`;
    const prompt = x.inputs.prompt ?? (x.inputs.pairs ? prompts[0] : milk);
    const test = await x.testPrompt(prompt, x.inputs.answer ?? pairs[0].answer);

    x.section('The metric: logit difference', 'Logit of the correct answer minus that of the other.');
    const metric = logitDiff(correct, wrong, { per: 'prompt' });
    const each = (await x.step('logit differences', () => measure(model, prompts, metric))).prompts;
    const average = mean(each);
    const differences = [...rows.map((row, i) => [...row, each[i]]), ['mean', '', '', average]];
    const heads = ['prompt', 'correct', 'incorrect', 'logit difference'];
    x.table(heads, differences, { file: 'logit-differences', digits: 3 });
    x.found(`Mean logit difference over ${prompts.length} prompts: ${average.toFixed(4)}.`);

    x.section('Direct logit attribution', 'The last residual state, projected onto the answers’ directions.');
    const names = residualAttributionNames(model);
    const { logits, cache } = await model.runWithCache(prompts, { names });
    logits.dispose();
    const { average: projected, bias, shapes } = await finalProjection(model, cache, fitted);
    x.print(`answer residual directions: [${shapes.directions}], final residual stream: [${shapes.final}]`);
    x.print(`from it: ${projected}; minus the mean logit difference: ${projected - average}`);
    x.print(`b_U, which no component writes, adds ${bias.toFixed(6)}: exchanged answers cancel it`);

    x.section('Logit lens, layers, heads', 'Means over the prompts, read with the last layer norm’s scale.');
    const said = await x.step('attribution', () => residualAttribution(cache, fitted));
    const title = 'Logit difference from the accumulated residual stream';
    x.figure('logit-lens', curveFigure(said.lens, { title, x: 'layer' }));
    x.csv('logit-lens', said.lens);
    x.figure('layers', curveFigure(said.layers, { title: 'Logit difference from each layer' }));
    x.csv('layers', said.layers);
    x.figure('heads', said.heads, 'Logit difference from each head');
    const named = strongest(said.heads, 6).map((h) => `${h.name} ${h.value.toFixed(3)}`);
    x.found(`Heads that say the most: ${named.join(', ')}.`);
    const shown = [...strongest(said.heads, 3, { sign: 1 }), ...strongest(said.heads, 3, { sign: -1 })];
    const patterns = await x.step('attention', (o) => attentionPatterns(model, prompts[0], o));
    const attention = 'Attention of the heads that say the most, for and against';
    x.attention('attention', patterns, shown, { title: attention, all: true });

    x.section('Heads on random tokens', `Random tokens, said twice: ${SUBJECT}.`);
    const batch = x.quick ? 1 : 4;
    const scores = await x.step('head scores', (o) => headScores(model, { batch, ...o }));
    const kinds = 'Previous-token, duplicate-token and induction heads';
    x.figure('head-scores', scores, { title: kinds, scale: 'sequential', hue: hues.attention, max: 1 });

    const [best] = strongest(said.heads, 1, { sign: 1 });
    x.section(
      'Without the strongest head',
      'Zeros for its z at the last position: do later heads make up for it?',
    );
    const [layer, head] = best.at;
    const cut = [{ at: 'z', layer, head, pos: -1, zero: true }] as const;
    const base = { input: prompts };
    const gone = await x.step('ablation', (o) => counterfactuals(model, base, [cut], metric, o));
    const ablated = await runWithInterventions(model, prompts, cut, { names });
    ablated.logits.dispose();
    const after = await residualAttribution(ablated.cache!, fitted);
    const runs = { name: 'run', labels: ['intact', `without ${best.name}`] };
    const values = Float32Array.from([...said.heads.values, ...after.heads.values]);
    const both = labelled(values, [runs, ...said.heads.axes], { ...said.heads.meta });
    x.figure('self-repair', both, `Logit difference from each head, without ${best.name}`);
    const without = mean([...gone.values]);
    const expected = average - best.value; // were nothing behind it to change
    const verdict = without > expected ? 'later parts make up for some of it' : 'nothing makes up for it';
    const differs = `the difference is ${without.toFixed(3)}; its own part taken off, ${expected.toFixed(3)}`;
    x.found(`Without ${best.name} ${differs}: ${verdict}.`);
    cache.dispose();
    ablated.cache!.dispose();
    const repair = { head: best, average: without, heads: after.heads, scales: after.scales, cut };
    return { prompts, fitted, test, each, average, projected, bias, said, patterns, scores, repair };
  },
};
