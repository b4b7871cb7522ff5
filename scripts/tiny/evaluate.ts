/**
 * What the shipped model can do on held-out prompts, measured with Glassbox: `node --import tsx scripts/tiny/evaluate.ts`.
 * A prompt counts as right when the right token is the likeliest of the whole vocabulary (as in evaluate.py).
 */

import { HookedTransformer } from '../../index.js';
import { heldOut, seedPrompts } from './corpus.js';

const ROWS_A_RUN = 50;

/** The likeliest next token of each prompt. */
async function guesses(model: HookedTransformer, prompts: readonly string[]): Promise<number[]> {
  const out: number[] = [];
  for (let i = 0; i < prompts.length; i += ROWS_A_RUN) {
    const rows = model.toTokens(prompts.slice(i, i + ROWS_A_RUN));
    const logits = await model.forward(rows);
    const best = logits.argmax();
    const ids = await best.data();
    let end = 0;
    for (const row of rows) out.push(ids[(end += row.length) - 1]);
    logits.dispose();
    best.dispose();
  }
  return out;
}

const model = await HookedTransformer.fromPretrained('tiny');
console.log(model.gpu.adapter.text);
for (const [title, sets] of Object.entries({ 'held out': heldOut(), seeds: seedPrompts() }))
  for (const [kind, probes] of Object.entries(sets)) {
    const found = await guesses(
      model,
      probes.map((p) => p.prompt),
    );
    const right = probes.filter((p, i) => found[i] === model.toSingleToken(p.answer)).length;
    console.log(
      `${title}, ${kind}: ${right} of ${probes.length} (${((100 * right) / probes.length).toFixed(1)} %)`,
    );
  }
model.dispose();
