/** What the heads of the circuit do on other text, and what happens when the strongest of them is missing. */

import {
  type ActivationCache,
  type Counterfactual,
  decompositionNames,
  figure,
  type HookedTransformer,
  headScores,
  type Labelled,
  runWithInterventions,
} from '../../index.js';
import { headAxes } from '../../interp/heads.js';
import { hues } from '../../interp/plots/colour.js';
import type { Comparison } from '../../interp/plots/compare.js';
import { exact } from '../../interp/plots/text.js';
import { provenance } from '../../interp/provenance.js';
import { labelled } from '../../interp/result.js';
import { headName, mean, overPrompts, strongest } from './attribution.js';
import type { Experiment } from './experiment.js';
import { columns } from './tables.js';
import type { Task } from './task.js';

/**
 * Scores of previous-token, duplicate-token and induction heads, kind × layer × head, on random tokens said twice.
 * @param rows the tokens that were published; null: tokens of the model's own vocabulary
 */
export async function scoreHeads(
  x: Experiment,
  rows: readonly (readonly number[])[] | null,
): Promise<Labelled> {
  const twice = rows?.map((row) => [...row, ...row]);
  const scores = await x.step('head scores', (options) =>
    headScores(x.model, { ...(twice && { on: twice, prependBos: false }), ...options }),
  );
  const title = 'Previous-token, duplicate-token and induction heads';
  x.heading(title);
  const meaning = 'attention that goes there, on random tokens said twice';
  x.figure(
    'head-scores',
    figure(scores, { scale: 'sequential', hue: hues.attention, max: 1, title, meaning }),
    {
      title,
      about:
        'Random tokens, said twice: how much of its attention each head spends on the token before; on the same token, the first time it was said; on the one that came after it.',
    },
  );
  x.csv('head-scores', scores);
  for (const [i, kind] of scores.axes[0].labels.entries())
    x.say(
      `${kind}: ${strongest(kindOf(scores, i), 5, 1)
        .map((h) => `${headName(h)} ${exact(h.value)}`)
        .join(', ')}`,
    );
  return scores;
}

/** Layer × head of one kind. */
export function kindOf({ values, shape: [, layers, heads], axes, meta }: Labelled, kind: number): Labelled {
  const size = layers * heads;
  return labelled(values.slice(kind * size, (kind + 1) * size), axes.slice(1), { ...meta });
}

/** The run without the strongest head. */
export interface SelfRepair {
  /** The ablated head. */
  readonly name: string;
  /** Mean logit difference without it. */
  readonly average: number;
  /** Layer × head, means over the prompts. */
  readonly heads: Labelled;
  /** The last layer norm's scale at the last position, of each prompt: intact, and without the head. */
  readonly scales: readonly number[];
  readonly scalesAfter: readonly number[];
  /** Mean of their ratio. */
  readonly scaleRatio: number;
}

/**
 * Puts zeros for the z of the strongest head at the last position: later heads make up for it ("self-repair", Wang et al. 2022;
 * McGrath et al. 2023).
 */
export async function repair(
  x: Experiment,
  task: Task,
  { heads, average }: { readonly heads: Labelled; readonly average: number },
): Promise<SelfRepair> {
  const { model } = x;
  const [top] = strongest(heads, 1, 1);
  const names = [...decompositionNames(model, 'stackHeadResults', -1), 'ln_final.hook_scale'];
  const cut = { at: `blocks.${top.layer}.attn.hook_z`, head: top.head, pos: -1, zero: true } as const;
  const intact = await x.step('intact', () => withoutHead(x, task, [], names));
  const gone = await x.step(`without ${headName(top)}`, () => withoutHead(x, task, [cut], names));
  const ratios = intact.scales.map((s, i) => s / gone.scales[i]);
  const result: SelfRepair = {
    name: headName(top),
    average: mean(gone.each),
    heads: overPrompts(gone.heads),
    scales: intact.scales,
    scalesAfter: gone.scales,
    scaleRatio: mean(ratios),
  };

  const title = `Without head ${result.name}`;
  x.heading(title);
  x.say(
    ...columns([
      ['mean logit difference', exact(average, { sign: true })],
      [`what ${result.name} says`, exact(top.value, { sign: true })],
      ['expected without it', exact(average - top.value, { sign: true })],
      ['computed without it', exact(result.average, { sign: true })],
      ['ratio of the layer norm’s scales', exact(result.scaleRatio)],
    ]),
  );
  const change = result.heads.values.map((v, i) => v - heads.values[i]);
  change[top.layer * heads.shape[1] + top.head] = 0;
  const changed = strongest({ ...heads, values: change }, 5);
  const at = (map: Labelled, { layer, head }: { layer: number; head: number }) =>
    exact(map.values[layer * heads.shape[1] + head], { sign: true });
  x.say(
    ...columns([
      ['head', 'intact', 'without'],
      ...changed.map((h) => [headName(h), at(heads, h), at(result.heads, h)]),
    ]),
  );
  const both = labelled(
    Float32Array.from([...heads.values, ...result.heads.values]),
    [{ name: 'run', labels: ['intact', `without ${result.name}`] }, ...heads.axes],
    { ...heads.meta, ablated: `${result.name}, z at the last position` },
  );
  x.figure('self-repair', figure(both, { title, meaning: String(heads.meta.metric) }), {
    title: `${title}: what each head says`,
    about: `The mean logit difference goes from ${exact(average)} to ${exact(result.average)}, not to ${exact(average - top.value)}: later layers change what they say. The last layer norm’s scale alone would multiply all by ${exact(result.scaleRatio)}.`,
  });
  x.csv('self-repair', both);
  x.compare('exactness', exactness(intact, gone, top));
  return result;
}

/** One run: what heads say, [layer, head, prompt], logit differences, and the last layer norm's scales. */
interface Run {
  readonly heads: Labelled;
  readonly each: readonly number[];
  readonly scales: readonly number[];
}

async function withoutHead(
  { model }: Experiment,
  task: Task,
  interventions: Counterfactual,
  names: readonly string[],
): Promise<Run> {
  const { prompts, correct, wrong } = task;
  const { logits, cache } = await runWithInterventions(model, prompts, interventions, { names });
  try {
    const each: number[] = [];
    for (const i of prompts.keys()) {
      const last = logits.slice({ batch: i, pos: -1 });
      const values = await last.data(); // [dVocab]
      last.dispose();
      each.push(values[model.toSingleToken(correct[i])] - values[model.toSingleToken(wrong[i])]);
    }
    return { each, heads: await headsOf(model, cache!, task), scales: await lastScales(cache!) };
  } finally {
    logits.dispose();
    cache?.dispose();
  }
}

/** What heads say in a run: layer × head × prompt. */
async function headsOf(
  model: HookedTransformer,
  cache: ActivationCache,
  { correct, wrong }: Task,
): Promise<Labelled> {
  const { stack, dispose } = cache.stackHeadResults(-1, { pos: -1 });
  const attrs = cache.logitAttrs(stack, { tokens: correct, incorrectTokens: wrong, pos: -1 }); // [head, batch]
  dispose();
  const values = await attrs.data();
  attrs.dispose();
  const prompts = { name: 'prompt', labels: correct.map((_, i) => String(i)) };
  const about = { method: 'direct logit attribution', by: 'head' };
  return labelled(values, [...headAxes(model), prompts], provenance(model, about));
}

async function lastScales(cache: ActivationCache): Promise<number[]> {
  const last = cache.get('ln_final.hook_scale').slice({ pos: -1 });
  try {
    return [...(await last.data())]; // [batch, 1]
  } finally {
    last.dispose();
  }
}

/** The head says nothing any more, and heads before it say what they said: only the last layer norm's scale is another. */
function exactness(intact: Run, gone: Run, { layer, head }: { layer: number; head: number }): Comparison[] {
  const [, heads, prompts] = intact.heads.shape;
  const [before, after] = [intact.heads.values, gone.heads.values];
  const silent = after.subarray((layer * heads + head) * prompts, (layer * heads + head + 1) * prompts);
  let far = 0;
  for (let i = 0; i < layer * heads * prompts; i++) {
    const prompt = i % prompts;
    far = Math.max(far, Math.abs(after[i] * gone.scales[prompt] - before[i] * intact.scales[prompt]));
  }
  const name = headName({ layer, head });
  const most = silent.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
  return [
    { name: `${name} without its z`, expected: 0, got: most, tolerance: 1e-6 },
    {
      name: `layers before ${name}`,
      expected: 0,
      got: far,
      tolerance: 1e-3,
    },
  ];
}
