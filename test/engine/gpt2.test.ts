/**
 * GPT-2 at every hook point agrees with float64 PyTorch, whatever the sizes and however the rows are batched.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type HookContext, HookedTransformer, hookNames, type Tensor } from '../../index.js';
import { allClose } from '../helpers.js';
import { givenBack } from '../memory.js';
import {
  applyEdit,
  compare,
  compareReference,
  fixtureNames,
  loadFixture,
  referenceModel,
} from './reference.js';

const asIs = {
  foldLn: false,
  centerWritingWeights: false,
  centerUnembed: false,
  foldValueBiases: false,
} as const;

async function load(
  name: (typeof fixtureNames)[number],
  run: 'raw' | 'processed',
): Promise<HookedTransformer> {
  const { config, tensors } = referenceModel(loadFixture(name));
  return HookedTransformer.fromWeights(config, tensors, run === 'raw' ? asIs : {});
}

for (const name of fixtureNames) {
  const fixture = loadFixture(name);
  for (const run of ['raw', 'processed'] as const) {
    if (!fixture.runs[run]) continue;
    test(`${name}, ${run}: every hook point of every row of a ragged batch is the reference's`, async () => {
      const model = await load(name, run);
      const before = model.gpu.memory().bytes;
      const names = Object.keys(fixture.runs[run]![0].hooks).filter((n) => n !== 'logits');
      // The unembedding's input is held by TransformerLens' (lens-families.test.ts).
      const all = hookNames(model.config).filter((n) => n !== 'unembed.hook_in');
      if (name !== 'vocab-50257') assert.equal(names.sort(), all.sort());
      const { logits, cache } = await model.runWithCache(fixture.rows, { names });
      for (const [i] of fixture.rows.entries()) {
        const row = cache.row(i);
        for (const n of names) {
          const t = row.get(n);
          compare(fixture, i, n, t.shape, await t.data(), { run });
        }
        row.dispose();
      }
      for (const i of fixture.rows.keys()) {
        const own = logits.slice({ batch: i });
        compare(fixture, i, 'logits', own.shape, await own.data(), { run });
        own.dispose();
      }
      logits.dispose();
      cache.dispose();
      givenBack(model.gpu, before);
      model.dispose();
    });
  }

  test(`${name}: log-probabilities and loss are the reference's`, async () => {
    const model = await load(name, 'raw');
    const lp = await model.logProbs(fixture.rows);
    for (const [i, row] of lp.entries()) allClose(row, fixture.runs.raw[i].logProbs, { what: `row ${i}` });
    allClose([await model.loss(fixture.rows)], [fixture.loss]);
    model.dispose();
  });

  if (!fixture.edits) continue;
  test(`${name}: edits at hook points change the logits as the reference says`, async () => {
    const model = await load(name, 'raw');
    for (const edit of fixture.edits!) {
      const hook = async (t: Tensor, { tensor }: HookContext) =>
        tensor(applyEdit(edit, t.shape, await t.data()), t.shape);
      const logits = await model.runWithHooks(fixture.rows[edit.row], { hooks: [[edit.at, hook]] });
      const { row: _, logits: expected, ...what } = edit;
      compareReference(expected, logits.shape, await logits.data(), JSON.stringify(what));
      logits.dispose();
    }
    model.dispose();
  });
}

test.run();
