/** A task: prompts, the answer that is right, and the one that is nearly right. Both seeds on direct logit attribution share it. */

import { type HookedTransformer, testPrompt } from '../../index.js';
import type { Comparison } from '../../interp/plots/compare.js';
import { visible } from '../../interp/plots/text.js';
import type { Experiment } from './experiment.js';
import { tokenBars } from './tables.js';

/** An entry a prompt. */
export interface Task {
  readonly prompts: readonly string[];
  readonly correct: readonly string[];
  readonly wrong: readonly string[];
}

/** Two decimals were printed. */
export const PRINTED = 0.0051;

/** Logits of the next token, [dVocab]. */
export async function lastLogits(model: HookedTransformer, text: string): Promise<Float32Array> {
  const logits = await model.forward(text);
  const last = logits.slice({ batch: 0, pos: -1 });
  try {
    return await last.data(); // [dVocab]
  } finally {
    logits.dispose();
    last.dispose();
  }
}

/** Logit of the correct answer minus that of the wrong one, prompt by prompt, from the whole logits. */
export async function logitDifferences(x: Experiment, task: Task): Promise<number[]> {
  const out: number[] = [];
  for (const [i, text] of task.prompts.entries()) {
    x.signal.throwIfAborted();
    const last = await lastLogits(x.model, text);
    const [good, bad] = [task.correct[i], task.wrong[i]].map((a) => x.model.toSingleToken(a));
    out.push(last[good] - last[bad]);
  }
  return out;
}

/** What TransformerLens' `test_prompt` printed: logits and probabilities in percent, two decimals. */
export interface PublishedTest {
  readonly prompt: string;
  readonly answer: string;
  readonly rank: number;
  readonly logit: number;
  readonly percent: number;
  readonly top: readonly (readonly [text: string, logit: number, percent: number])[];
}

/** Prints `testPrompt` of a prompt and compares it with what was printed: logits too, so that the centred unembedding counts. */
export async function testOnePrompt(
  x: Experiment,
  { prompt, answer }: Pick<PublishedTest, 'prompt' | 'answer'>,
  published: PublishedTest | null,
): Promise<void> {
  const test = await testPrompt(x.model, prompt, answer);
  const [{ top, answers }] = test.steps;
  const [found] = answers;
  x.heading(`test_prompt(${JSON.stringify(prompt)}, ${JSON.stringify(answer)})`);
  x.say(...test.lines());
  x.file('test-prompt.txt', `${test}\n`);
  x.section(
    `What comes after “${prompt}”`,
    `“${found.text}” has rank ${found.rank} (0 is the first), logit ${found.logit.toFixed(2)}.`,
    tokenBars(top, found.text),
  );
  if (!published) return;
  const numbers = (
    name: string,
    [logit, percent]: readonly [number, number],
    got = { logit: Number.NaN, prob: Number.NaN },
  ): Comparison[] => [
    { name: `${name}: logit`, expected: logit, got: got.logit, tolerance: PRINTED },
    { name: `${name}: percent`, expected: percent, got: 100 * got.prob, tolerance: PRINTED },
  ];
  x.compare(`test prompt “${published.prompt}”`, [
    { name: `rank of “${published.answer}”`, expected: published.rank, got: found.rank },
    ...numbers(`“${published.answer}”`, [published.logit, published.percent], found),
    ...published.top.flatMap(([text, logit, percent], i): Comparison[] => [
      { name: `top ${i}`, expected: visible(text), got: visible(top[i]?.text ?? '') },
      ...numbers(`top ${i}`, [logit, percent], top[i]),
    ]),
  ]);
}
