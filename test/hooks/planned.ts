/** A planned sweep against a loop of whole forward passes, both of what a generator draws. */

import {
  ActivationCache,
  type Counterfactual,
  counterfactuals,
  describeIntervention,
  type HookedTransformer,
  interventionsToJson,
  logitDiff,
  loss,
  runWithInterventions,
} from '../../index.js';
import { allClose, fail, type Rng } from '../helpers.js';
import { givenBack } from '../memory.js';
import { randomBase, randomCounterfactual } from './fuzz.js';
import { Naive } from './naive.js';

/** Counterfactuals of one sweep. */
export const CELLS = 16;

/**
 * Draws a base run and counterfactuals of it, and compares; the numbers may be as far apart as `tolerance` of
 * themselves.
 */
export async function checkPlanned(
  r: Rng,
  model: HookedTransformer,
  seed: number | string,
  tolerance = 1e-5,
): Promise<void> {
  const { base, world } = await randomBase(r, model);
  const list = Array.from({ length: CELLS }, () => randomCounterfactual(r, world, 1 + r.int(3)));
  const everywhere = base.input.every((t) => t.length > 1) && r.int(2) === 0;
  const metric = everywhere ? loss({ per: 'prompt' }) : logitDiff(4, 9, { per: 'prompt' });
  const read = everywhere ? lossOf : differenceOf;
  const held = model.gpu.memory().bytes;
  const maxTokens = [undefined, 7, 30][r.int(3)];
  const result = await counterfactuals(model, base, list, metric, { maxTokens });
  givenBack(model.gpu, held);

  const naive = new Naive(model, base);
  const shown = async (cell: Counterfactual) => {
    const told = { ...base, sources: Object.keys(base.sources) };
    return `seed ${seed}: ${describeIntervention(cell)} of ${await interventionsToJson(told)}`;
  };
  for (const [i, cell] of list.entries()) {
    const { logits } = await naive.run(cell);
    const expected = base.input.map((tokens, row) => read(logits[row], tokens));
    const n = base.input.length;
    const got = result.values.slice(i * n, (i + 1) * n);
    const close = (v: number, k: number) =>
      Math.abs(v - expected[k]) <= tolerance * (1 + Math.abs(expected[k]));
    if (!got.every(close)) fail(`${await shown(cell)}: ${got}, expected ${expected}`);
  }

  // The plain way, with activations: here 'base' is the run without its own interventions.
  const [cell] = list;
  const plain = { ...base, interventions: [] };
  const run = await runWithInterventions(model, base.input, cell, {
    sources: base.sources,
    names: /hook_z|resid/,
  });
  const { logits, seen } = await new Naive(model, plain).run(cell, 'all');
  const flat = logits.flatMap((l) => [...l]);
  allClose(await run.logits.data(), flat, {
    atol: 2 * tolerance,
    rtol: tolerance,
    what: `logits of ${await shown(cell)}`,
  });
  for (const name of run.cache!.names()) {
    const whole = seen.get(name)!.flatMap((a) => [...a.data]);
    allClose(await run.cache!.get(name).data(), whole, {
      atol: 2 * tolerance,
      rtol: tolerance,
      what: `${name} of ${seed}`,
    });
  }
  run.logits.dispose();
  run.cache!.dispose();
  for (const s of Object.values(base.sources)) if (s instanceof ActivationCache) s.dispose();
}

/** What `logitDiff(4, 9)` is. */
export function differenceOf(logits: Float32Array, tokens: readonly number[]): number {
  const at = (logits.length / tokens.length) * (tokens.length - 1);
  return logits[at + 4] - logits[at + 9];
}

function lossOf(logits: Float32Array, tokens: readonly number[]): number {
  const v = logits.length / tokens.length;
  let sum = 0;
  for (let p = 0; p + 1 < tokens.length; p++) {
    const row = logits.subarray(p * v, (p + 1) * v);
    const most = Math.max(...row);
    sum += most + Math.log(row.reduce((s, x) => s + Math.exp(x - most), 0)) - row[tokens[p + 1]];
  }
  return sum / (tokens.length - 1);
}
