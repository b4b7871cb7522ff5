/** `glassbox seed capital-letters`: the notebook "Learning Capital Letters" (Capital-Letters-Circuit), section by section. */

import {
  attentionPatterns,
  curveFigure,
  finalProjection,
  fitPairs,
  HookedTransformer,
  type Labelled,
  logitDiff,
  measure,
  type Notebook,
  type NotebookRun,
  namedPositions,
  type PatchAxis,
  type PromptPair,
  patch,
  residualAttribution,
  residualAttributionNames,
  strongest,
} from '../../index.js';

const TEMPLATES = [
  '{} is a really great friend.',
  '{} is such a good cook.',
  '{} is a very good athlete.',
  '{} is a really nice person.',
  '{} is such a funny person.',
];
const MALE = 'John David Mark Paul Ryan Gary Jack Sean Carl Joe'.split(' ');
const FEMALE = 'Mary Lisa Anna Sarah Amy Jane Joy Susan Victoria Laura'.split(' ');
const NAMES = [...MALE.map((name) => `${name}, He`), ...FEMALE.map((name) => `${name}, She`)];

/**
 * Every name in every sentence. A line of names may have its pronoun behind a comma; without one it is He.
 */
const sentences = (names: readonly string[], templates: readonly string[]): PromptPair[] =>
  names.flatMap((line) => {
    const [name, pronoun = 'He'] = line.split(/\s*[,\t]\s*/);
    return templates.map((template) => {
      const clean = template.replaceAll(/\{(name)?\}/g, name);
      const [answer, wrong] = [` ${pronoun}`, ` ${pronoun.toLowerCase()}`];
      return { clean, corrupted: clean.replaceAll('.', ';'), answer, wrong };
    });
  });

/** What is patched, and what the notebook calls the picture. */
const MAPS: readonly (readonly [at: string, by: readonly PatchAxis[], heading: string, title: string])[] = [
  ['resid_pre', ['layer', 'pos'], 'Residual stream', 'Logit Difference From Patched Residual Stream'],
  ['attn_out', ['layer', 'pos'], 'Layers: attention', 'Logit Difference From Patched Attention Layer'],
  ['mlp_out', ['layer', 'pos'], 'Layers: MLP', 'Logit Difference From Patched MLP Layer'],
  ['z', ['layer', 'head'], 'Head', 'Logit Difference From Patched Head Output'],
];
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/** "A 1L attention only model can perform this task. 4.36 for 15 sentences." */
async function oneLayer(x: NotebookRun, pairs: readonly PromptPair[]): Promise<number | null> {
  const name = String(x.setting('one-layer'));
  x.section('An attention-only model', 'Can a model of attention layers alone do it?');
  if (!name && !x.model.config.attnOnly) {
    x.print('Left out: see the head of this page.');
    x.note('attn-only-1l (“4.36 for 15 sentences”) is left out; to include it: --one-layer attn-only-1l');
    return null;
  }
  const load = { refactorFactoredAttnMatrices: true, signal: x.signal };
  const model = name ? await HookedTransformer.fromPretrained(name, load) : x.model;
  try {
    await x.testPrompt('Daniel is a great friend.', 'he', model);
    const { clean, metric } = fitPairs(model, pairs.slice(0, 15), { patching: false });
    const { value } = await measure(model, clean, metric);
    x.found(`${model.config.name}: ${value.toFixed(2)} for ${clean.length} sentences.`);
    return value;
  } finally {
    if (model !== x.model) model.dispose();
  }
}

export const notebook: Notebook = {
  name: 'capital-letters',
  title: 'Learning Capital Letters',
  about:
    'After “John is a really great friend.” comes “ He”, after “John is a really great friend;” comes “ he”. What do layers and heads say to that, and which activations carry the full stop to the answer?',
  load: { refactorFactoredAttnMatrices: true },
  inputs: ['pairs', 'names', 'templates', 'prompt', 'answer'],
  settings: {
    top: { usual: 3, help: 'heads of each sign whose attention is drawn' },
    patched: { usual: 10, help: 'heads that patching finds, whose attention is drawn' },
    'one-layer': { usual: '', help: 'a model for the section on attn-only-1l: its name or folder' },
  },
  plan: ({ model: { config }, quick }) => {
    const runs = (quick ? 20 : 100) * config.nLayers * (24 + config.nHeads);
    return [{ what: 'cells of four maps', runs, tokens: 8 }];
  },

  async run(x) {
    const { model } = x;
    x.section('Task');
    const test = await x.testPrompt(x.inputs.prompt ?? '.', x.inputs.answer ?? 'He');

    x.section('Create Dataset');
    x.print(`to_str_tokens(["Sarah"]): ${JSON.stringify(model.toStrTokens(['Sarah']))}`);
    const names = x.inputs.names ?? NAMES.filter((_, i) => !x.quick || i % 10 < 2);
    const given = x.inputs.pairs ?? sentences(names, x.inputs.templates ?? TEMPLATES);
    const fitted = x.pairs(given, { sameLength: true });
    const { pairs, clean, corrupted, correct, wrong, metric } = fitted;
    const [tokens] = model.toTokens(clean[0]);
    const first = `answers [[${correct[0]}, ${wrong[0]}], …], ${wrong[0]}`;
    x.print(`${clean.length} prompts of ${tokens.length} tokens; ${first}`);
    const each = (await measure(model, clean, logitDiff(correct, wrong, { per: 'prompt' }))).prompts;
    const average = mean(each);
    const rows = pairs.map((p, i) => [p.clean, p.answer, p.wrong, each[i]]);
    x.table(['prompt', 'answer', 'wrong', 'logit difference'], rows, { file: 'prompts', show: 10 });
    x.found(`Average logit difference of ${clean.length} prompts: ${average.toFixed(4)}.`);
    const one = await oneLayer(x, given);

    x.section('Direct Logit attribution');
    const { logits, cache } = await model.runWithCache(clean, { names: residualAttributionNames(model) });
    logits.dispose();
    const { average: projected, bias, shapes } = await finalProjection(model, cache, fitted);
    x.print(`Answer residual directions shape: [${shapes.directions}]`);
    x.print(`Logit difference directions shape: [${shapes.difference}]`);
    x.print(`Final residual stream shape: [${shapes.final}]`);
    x.print(`Calculated average logit diff: ${projected}`, `Original logit difference: ${average}`);
    x.print(`The gap is b_U, which no component writes: ${bias.toFixed(4)}`);

    x.section('Logit Lens', 'Means over the prompts, read with the last layer norm’s scale in the run.');
    const said = await residualAttribution(cache, fitted);
    cache.dispose();
    const lens = 'Logit Difference From Accumulate Residual Stream';
    x.figure('logit-lens', curveFigure(said.lens, { title: lens, x: 'layer' }));
    x.csv('logit-lens', said.lens);
    x.figure('layers', curveFigure(said.layers, { title: 'Logit Difference From Each Layer' }));
    x.csv('layers', said.layers);
    x.figure('heads', said.heads, 'Logit Difference From Each Head');

    x.section('Attention Analysis', `On “${clean[0]}”.`);
    const patterns = await x.step('attention', (o) => attentionPatterns(model, clean[0], o));
    const k = x.count('top');
    for (const word of ['Positive', 'Negative'] as const) {
      const heads = strongest(said.heads, k, { sign: word === 'Positive' ? 1 : -1 });
      const title = `Top ${k} ${word} Logit Attribution Heads`;
      x.attention(`attention-${word.toLowerCase()}`, patterns, heads, { title });
    }

    x.section('Make Position Labels');
    x.print(...model.toStrTokens(tokens).map((token, i) => `${i} ${token}`));
    const own = x.inputs.pairs || x.inputs.templates || tokens.length !== 8;
    const words = { name: 1, is: ' is', person: -2, '.': -1 };
    if (!own) x.print(`positions: ${JSON.stringify(namedPositions(model, clean[0], words))}`);

    x.section('Make corrupted dataset', 'The same prompts with ; for . (or the counterparts given).');
    const low = (await measure(model, corrupted, metric)).value;
    x.print(`Corrupted Average Logit Diff ${low.toFixed(2)}`);
    x.print(`Clean Average Logit Diff ${average.toFixed(2)}`);
    x.found(`Corrupted, the average logit difference is ${low.toFixed(2)}.`);

    const maps: Record<string, Labelled> = {};
    for (const [at, by, heading, title] of MAPS) {
      x.section(`Activation Patching: ${heading}`, '0: as in the corrupted run; 1: as in the clean run.');
      if (at === 'mlp_out' && model.config.attnOnly) {
        x.note('Patched MLPs: this model has none.');
        continue;
      }
      const pair = { clean, corrupted, at, by, metric };
      maps[at] = await x.step(`patching ${at}`, (o) => patch(model, { ...pair, ...o }), `patching-${at}`);
      x.figure(at, maps[at], title);
    }
    const [best] = strongest(maps.z, 1);
    x.found(`The head that carries the most from run to run: ${best.name} ${best.value.toFixed(4)}.`);

    x.section('Attention of the patched heads', 'By the size of their effect.');
    const found = strongest(maps.z, x.count('patched'));
    const [mid, late] = [7, 9].map((l) => Math.round((l / 12) * model.config.nLayers)); // 7 and 9 of GPT-2's 12
    const middle = late - mid === 1 ? `layer ${mid}` : `layers ${mid} to ${late - 1}`;
    const between = (from: number, to: number) => found.filter(({ at }) => at[0] >= from && at[0] < to);
    const groups = [
      ['early', `Top Early Heads (layers below ${mid})`, between(0, mid)],
      ['middle', `Top Middle Heads (${middle})`, between(mid, late)],
      ['late', `Top Late Heads (layers from ${late})`, between(late, Infinity)],
    ] as const;
    for (const [file, title, heads] of groups)
      x.attention(`attention-${file}`, patterns, heads, { title, all: file === 'late' });

    x.section('Tests', 'One prompt again.');
    const single = pairs.find((p) => p.clean === 'David is a really great friend.') ?? pairs[0];
    const row = await model.forward(single.clean);
    const finalLogits = await row.slice({ batch: 0, pos: -1 }).data(); // [d_vocab]
    row.dispose();
    const [good, bad] = [finalLogits[single.answerToken], finalLogits[single.wrongToken]];
    x.print(`answer_tokens: [[${single.answerToken}, ${single.wrongToken}]]`);
    const [start, end] = [finalLogits.slice(0, 3), finalLogits.slice(-3)].map((part) =>
      [...part].map((v) => v.toFixed(4)).join(', '),
    );
    x.print(`final_logits of “${single.clean}”: [${start}, …, ${end}]`);
    x.print(`final_logits[:, 0] - final_logits[:, 1]: ${(good - bad).toFixed(4)}`);
    return { fitted, each, average, low, one, projected, bias, said, patterns, maps, finalLogits, test };
  },
};
