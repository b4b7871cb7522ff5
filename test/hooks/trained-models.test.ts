/** Small trained models, where GLASSBOX_MODELS names their folder: what is published of them, and what Python says. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tokenizer } from '../../engine/tokens/tokenizer.js';
import { HookedTransformer } from '../../index.js';

const folder = process.env.GLASSBOX_MODELS;
const at = (...path: string[]) => join(folder ?? '', ...path);
const json = (...path: string[]) => JSON.parse(readFileSync(at(...path), 'utf8'));
const when = (model: string): typeof test => {
  if (folder && existsSync(at(model))) return test;
  console.log(`GLASSBOX_MODELS names no folder with ${model}: its tests are skipped`);
  return test.skip as typeof test;
};

when('nano-sort')('nano-sort sorts six letters: the last one is said after a full context', async () => {
  const model = await HookedTransformer.fromPretrained(at('nano-sort'));
  try {
    for (const { tokens, greedy } of json('nano-sort', 'golden.json').cases) {
      assert.is(tokens.length + greedy.length, model.config.nCtx + 1);
      const all = await model.generate(tokens, { maxNewTokens: 6, returnType: 'tokens' });
      assert.equal(all.slice(6), greedy);
      assert.equal(all.slice(6), [...tokens].sort());
    }
    let error = '';
    await model.generate([0, 1, 2, 0, 1, 2], { maxNewTokens: 7 }).catch((e: Error) => {
      error = e.message;
    });
    assert.match(error, /maxNewTokens can be 6/);
  } finally {
    model.dispose();
  }
});

for (const name of ['TinyStories-656K', 'stories260K'])
  when(name)(`${name}: ids of prompts are Python's`, () => {
    const tokenizer = Tokenizer.fromJson(json(name, 'tokenizer.json'), json(name, 'tokenizer_config.json'));
    let compared = 0;
    for (const { text, tokens } of json(name, 'golden.json').cases) {
      if (typeof text !== 'string') continue;
      assert.equal([tokenizer.bosTokenId, ...tokenizer.encode(text)], tokens, text);
      assert.is(tokenizer.decode(tokenizer.encode(text)), text);
      compared++;
    }
    assert.ok(compared >= 3);
  });

if (!folder)
  test('the trained models are named by GLASSBOX_MODELS, which is not set: nothing to compare with', () => {
    assert.is(folder, undefined);
  });

test.run();
