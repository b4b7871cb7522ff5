/** What the demo on attribution patching begins with: prompts, tokens, the metric of both runs, caches with gradients. */

import type { AttributionPair, NameFilter } from '../../index.js';
import { headNames } from '../../interp/attribution-maps.js';
import type { Comparison } from '../../interp/plots/compare.js';
import { visible } from '../../interp/plots/text.js';
import { promptTable } from './attribution.js';
import type { Experiment } from './experiment.js';
import { columns } from './tables.js';
import type { Task } from './task.js';

/** Both runs, as the demo prints them. */
export interface Start {
  readonly answers: readonly (readonly number[])[];
  readonly clean: number;
  readonly corrupted: number;
  /** How many activations, and gradients, a run keeps. */
  readonly activations: number;
  readonly gradients: number;
  readonly names: readonly string[];
}

/** All hook points but the inputs of heads and MLPs, which the demo leaves out. */
const KEPT: NameFilter = (name) => !/_input$|attn_in$|mlp_in$/.test(name);

/** Prints, and computes, all of it. */
export async function setup(x: Experiment, pair: AttributionPair, task: Task): Promise<Start> {
  const { model } = x;
  const [clean, corrupted] = [pair.clean, pair.corrupted] as string[][];
  const answers = task.correct.map((c, i) => [c, task.wrong[i]].map((a) => model.toSingleToken(a)));
  const run = async (prompts: string[]) => {
    const {
      value,
      prompts: each,
      cache,
      grads,
    } = await model.runWithGrads(prompts, pair.metric, { names: KEPT });
    const found = { value, each: [...each], activations: cache.size, gradients: grads.size };
    cache.dispose();
    grads.dispose();
    return found;
  };
  const runs = [
    await x.step('the clean run and its gradients', () => run(clean)),
    await x.step('the corrupted run and its gradients', () => run(corrupted)),
  ];
  promptTable(x, task, runs[0].each);
  const names = headNames(model.config).slice(0, 5);
  x.heading('Two runs');
  const text = (prompt: string) => model.toStrTokens(prompt).map(visible).join('');
  const [good, bad] = runs.map((r) => r.value);
  const scaled = (v: number) => ((v - bad) / (good - bad)).toFixed(4);
  x.say(
    `Clean string 0      ${text(clean[0])}`,
    `Corrupted string 0  ${text(corrupted[0])}`,
    `Answer token indices  ${answers.map((pair) => `[${pair.join(', ')}]`).join(' ')}`,
    ...columns([
      ['', 'logit difference', 'metric', 'activations cached', 'gradients cached'],
      ...runs.map((r, i) => [
        ['clean', 'corrupted'][i],
        r.value.toFixed(4),
        scaled(r.value),
        String(r.activations),
        String(r.gradients),
      ]),
    ]),
    `Heads are called ${names.join(', ')}, …; with a sign ${names
      .slice(0, 3)
      .flatMap((n) => [`${n}+`, `${n}-`])
      .slice(0, 5)
      .join(', ')}, …; inputs of heads ${['q', 'k', 'v'].map((q) => `${names[0]}.${q}`).join(', ')}, …`,
  );
  x.compare('both runs', [swapped(good, bad)]);
  const { activations, gradients } = runs[1];
  return { answers, clean: good, corrupted: bad, activations, gradients, names };
}

/** Each prompt is the other's corruption, with the answers exchanged. */
const swapped = (clean: number, corrupted: number): Comparison => ({
  name: 'clean + corrupted logit difference',
  expected: 0,
  got: clean + corrupted,
  tolerance: 1e-4,
});
