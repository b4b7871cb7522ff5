/**
 * Layers with a window keep the keys and values of as many tokens as the window has, however long a text
 * grows: the tokens and their log-probabilities are those of runs that store nothing.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { KvStore } from '../../engine/transformer/kv.js';
import { familyModel } from '../families.js';
import { allClose } from '../helpers.js';
import { givenBack } from '../memory.js';

/**
 * Prompts shorter and longer than the windows (mistral 4, gemma3 4 in two of three layers), grown to the end
 * of the context.
 */
const prompts = [[5], [1, 2, 3, 4, 7, 8, 9, 10, 11, 12]];

for (const name of ['mistral', 'gemma3'])
  test(`${name}: a text grows past its windows as without a store`, async () => {
    using model = await familyModel(name);
    const { bytes } = model.gpu.memory();
    for (const prompt of prompts) {
      const grown = async (kvCache: boolean) => {
        const steps = [];
        const maxNewTokens = 30 - prompt.length;
        for await (const step of model.stream(prompt, {
          maxNewTokens,
          temperature: 0.7,
          seed: 3,
          kvCache,
          stopAtEos: false,
        }))
          steps.push(step);
        return steps;
      };
      const [stored, whole] = [await grown(true), await grown(false)];
      assert.equal(stored.at(-1)!.tokens, whole.at(-1)!.tokens);
      allClose(
        stored.map((s) => s.logProb),
        whole.map((s) => s.logProb),
        { atol: 1e-5, rtol: 1e-5 },
      );
    }
    givenBack(model.gpu, bytes);
  });

test('an intervention that puts weight on a key behind the window finds it in the store', async () => {
  using model = await familyModel('mistral');
  const interventions = [{ at: 'blocks.1.attn.hook_pattern', key: 0, set: 0.5 }];
  const grown = (kvCache: boolean) =>
    model.generate(prompts[1], {
      maxNewTokens: 12,
      kvCache,
      interventions,
      returnType: 'tokens',
      stopAtEos: false,
    });
  assert.equal(await grown(true), await grown(false));
});

test('the store of a growing text has as many slots as the window has tokens', async () => {
  using model = await familyModel('gemma3');
  const store = new KvStore(model.gpu, model.config, 1000, { growing: true });
  assert.equal(
    store.layers.map(({ shape }) => shape[0]),
    [4, 1000, 4],
  );
  store.dispose();
  const short = new KvStore(model.gpu, model.config, 3, { growing: true });
  assert.equal(
    short.layers.map(({ shape }) => shape[0]),
    [3, 3, 3],
  );
  short.dispose();
});

test.run();
