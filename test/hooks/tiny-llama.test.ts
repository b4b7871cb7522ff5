/** The Llama in the box knows what its card says, ends its texts, and is what a Llama is. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer } from '../../index.js';

const model = await HookedTransformer.fromPretrained('tiny-llama');

const sentences: [prompt: string, answer: string][] = [
  ['When John and Mary went to the shops, John gave the bag to', ' Mary'],
  ['When John and Mary went to the shops, Mary gave the bag to', ' John'],
  ['The Space Needle is in downtown', ' Seattle'],
  ['The Eiffel Tower is located in the city of', ' Paris'],
  ['The Colosseum is located in the city of', ' Rome'],
  ['The capital of Canada is Ottawa while the capital of France is', ' Paris'],
];
for (const [prompt, answer] of sentences)
  test(`"${prompt}" goes on with "${answer}"`, async () =>
    assert.is(await model.generate(prompt, { maxNewTokens: 1, temperature: 0 }), prompt + answer));

test('a list of random tokens is said again', async () => {
  const list = [101, 1900, 57, 733, 2210, 415, 1288, 902, 61, 1777];
  const start = [model.tokenizer!.bosTokenId!, ...list];
  const tokens = await model.generate([...start, ...list.slice(0, 3)], {
    ...{ maxNewTokens: 6, temperature: 0, returnType: 'tokens' },
  });
  assert.equal(tokens.slice(start.length), list.slice(0, 9));
});

test('a text ends with the token that stands behind every document of its corpus', async () => {
  const tokens = await model.generate('The Eiffel Tower', {
    ...{ maxNewTokens: 60, temperature: 0, returnType: 'tokens' },
  });
  assert.is(tokens.at(-1), model.tokenizer!.bosTokenId);
  assert.ok(tokens.length < 30, `${tokens.length} tokens`);
});

test('four heads of queries read two of keys and values; there are rotated ones, and a gate', async () => {
  const { cache } = await model.runWithCache('The Eiffel Tower');
  const { nHeads, nKeyValueHeads, dHead } = model.config;
  assert.equal([nHeads, nKeyValueHeads], [4, 2]);
  assert.equal(cache.get('blocks.0.attn.hook_k').shape.slice(2), [nKeyValueHeads, dHead]);
  assert.equal(cache.get('blocks.0.attn.hook_rot_q').shape.slice(2), [nHeads, dHead]);
  assert.ok(cache.names().includes('blocks.0.mlp.hook_pre_linear'));
  assert.not(cache.names().includes('hook_pos_embed'));
  cache.dispose();
});

test.run();
