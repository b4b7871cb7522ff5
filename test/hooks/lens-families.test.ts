/**
 * Models of every kind of block have TransformerLens 3.9's activations at every hook point that it has, unprocessed and
 * processed, and its gradients (test/fixtures/parts/lens.py, float64).
 */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer, loss } from '../../index.js';
import { openSafetensors } from '../../weights/formats/safetensors.js';
import { nodeFolder } from '../../weights/node/files-node.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { type FamilyReference, familyWeights } from '../families.js';
import { allClose } from '../helpers.js';

const fixture = (name: string) => readFileSync(new URL(`../fixtures/parts/${name}`, import.meta.url));
const models = JSON.parse(fixture('lens.json').toString()) as FamilyReference[];
const folder = await nodeFolder(fileURLToPath(new URL('../fixtures/parts/', import.meta.url)));
const file = await openSafetensors((await folder.open('lens.safetensors'))!);

/** Of these inputs of single heads are compared, too: with shared heads and without, in blocks of each order. */
const ASKED = ['llama', 'gpt_neox', 'gemma2'];
/** Points of this project alone, and copies of the residual stream. */
const OURS = /hook_(attn_in|q_input|k_input|v_input|mlp_in)$/;
/** What TransformerLens keeps of `prefix`, by hook point. */
const kept = async (prefix: string) => {
  const names = file.names().filter((name) => name.startsWith(prefix));
  const pairs = names.map(async (name) => [name.slice(prefix.length), await file.read(name)] as const);
  return new Map(await Promise.all(pairs));
};

for (const r of models) {
  const load = (options = {}) => HookedTransformer.fromWeights(r.config, familyWeights(r), options);

  test(`${r.name}: activations and gradients at every hook point`, async () => {
    using model = await load(noProcessing);
    const all = await kept(`${r.name}/`);
    const names = [...model.points.names, 'unembed.hook_out'];
    const theirs = [...all.keys()].filter((name) => !/^(processed|grad)\/|^logits$/.test(name));
    assert.equal(
      theirs.filter((name) => !model.points.get(name)),
      [],
    );
    assert.equal(
      names.filter((name) => !OURS.test(name) && !theirs.includes(name)),
      [],
    );
    // Where inputs of single heads are watched the norm before attention runs once a head, here as there.
    const heads = names.filter((name) => OURS.test(name) && !name.endsWith('mlp_in'));
    const rest = names.filter((name) => !heads.includes(name));
    for (const asked of ASKED.includes(r.name) ? [rest, heads] : [rest]) {
      const { cache, grads } = await model.runWithGrads(r.tokens, loss(), { names: asked });
      for (const name of asked) {
        if (all.has(name)) allClose(await cache.get(name).data(), all.get(name)!, { what: name });
        const wanted = all.get(`grad/${name}`);
        if (wanted) allClose(await grads.get(name).data(), wanted, { what: `gradient at ${name}` });
        assert.ok(wanted || all.has(name), `${name} is not compared`);
      }
      cache.dispose();
      grads.dispose();
    }
  });

  test(`${r.name}: activations of the processed model`, async () => {
    using model = await load();
    const { cache, logits } = await model.runWithCache(r.tokens, { names: [/./, 'unembed.hook_out'] });
    for (const [name, wanted] of await kept(`${r.name}/processed/`)) {
      // TransformerLens leaves the gain of OLMo 2's last norm where it is; here it goes into the unembedding.
      if (r.name === 'olmo2' && name === 'unembed.hook_in') continue;
      const found = name === 'logits' ? logits : cache.get(name);
      allClose(await found.data(), wanted, { what: name });
    }
    cache.dispose();
    logits.dispose();
  });
}

test.run();
