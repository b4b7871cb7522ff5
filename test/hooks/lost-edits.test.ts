/**
 * A hook that makes a new activation and forgets to return it is told so; one that only reads is left alone.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Hook, HookedTransformer, logitDiff, type Tensor } from '../../index.js';
import { twoLayers as config, randomGpt2, throws } from '../helpers.js';

const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 1));
const prompt = [1, 2, 3, 4];
const ragged = [[1, 2, 3], [4]];

const LOST = /hook "blocks\.0\.(attn\.)?hook_\w+" made a tensor \[.*neither read nor returned it: return/;

/** The hook, in every kind of run. */
const runs: [string, (at: string, hook: Hook) => Promise<unknown>][] = [
  ['runWithHooks', (at, hook) => model.runWithHooks(prompt, { hooks: [[at, hook]] })],
  ['ragged rows', (at, hook) => model.runWithHooks(ragged, { hooks: [[at, hook]] })],
  ['runWithCache', (at, hook) => model.runWithCache(prompt, { names: 'resid_post', hooks: [[at, hook]] })],
  [
    'runWithGrads',
    (at, hook) => model.runWithGrads(prompt, logitDiff(5, 7), { hooks: [[at, hook]], names: 'z' }),
  ],
  [
    'generate',
    (at, hook) => model.generate(prompt, { maxNewTokens: 2, returnType: 'tokens', hooks: [[at, hook]] }),
  ],
];

const lost: [string, string, Hook][] = [
  ['mul', 'blocks.0.hook_mlp_out', (x) => void x.mul(0)],
  ['set by name', 'blocks.0.attn.hook_z', (z) => void z.set({ head: 1 }, 0)],
  [
    'set, and the activation itself returned',
    'blocks.0.attn.hook_z',
    (z) => {
      z.set({ head: 1 }, 0);
      return z;
    },
  ],
  ['a chain', 'blocks.0.hook_resid_pre', (x) => void x.mul(2).add(1)],
  ['a function', 'blocks.0.hook_resid_pre', (x) => void x.map('exp')],
  [
    'a list added',
    'blocks.0.hook_resid_pre',
    (x, hook) => void x.add(hook.tensor(Array(x.shape.at(-1)!).fill(1))),
  ],
  [
    'after something else was read',
    'blocks.0.hook_resid_pre',
    async (x) => {
      await x.mean().item();
      x.mul(0);
    },
  ],
  [
    'later, asynchronously',
    'blocks.0.hook_resid_pre',
    async (x) => {
      await Promise.resolve();
      x.mul(0);
    },
  ],
];

const kept: Tensor[] = [];
const reads: Promise<unknown>[] = [];
const silent: [string, string, Hook][] = [
  ['nothing at all', 'blocks.0.hook_mlp_out', () => {}],
  ['a mean', 'blocks.0.hook_mlp_out', async (x) => void (await x.mean().item())],
  ['a mean that is not read', 'blocks.0.hook_mlp_out', (x) => void x.mean()],
  ['the numbers', 'blocks.0.hook_mlp_out', async (x) => void (await x.data())],
  ['an edit that is read', 'blocks.0.hook_mlp_out', async (x) => void (await x.mul(2).data())],
  [
    'what follows from an edit is read',
    'blocks.0.hook_mlp_out',
    async (x) => void (await x.mul(2).sum().item()),
  ],
  [
    'a view of an edit is read',
    'blocks.0.hook_mlp_out',
    async (x) => void (await x.mul(2).reshape([-1]).data()),
  ],
  ['read without waiting', 'blocks.0.hook_mlp_out', (x) => void reads.push(x.mul(2).data())],
  ['kept for later', 'blocks.0.hook_mlp_out', (x) => void kept.push(x.mul(2).keep())],
  ['a view of it kept', 'blocks.0.hook_mlp_out', (x) => void kept.push(x.mul(2).reshape([-1]).keep())],
  ['cloned', 'blocks.0.hook_mlp_out', (x) => void kept.push(x.mul(2).clone(), x.clone())],
  ['the largest, by index', 'blocks.0.ln1.hook_scale', async (x) => void (await x.topk(1).indices.data())],
  ['an edit given back', 'blocks.0.hook_mlp_out', (x) => void x.mul(2).dispose()],
  ['returned', 'blocks.0.hook_mlp_out', (x) => x.mul(2)],
];

for (const [run, act] of runs) {
  test(`${run}: an edit that nothing returns is an error that names the hook`, async () => {
    for (const [what, at, hook] of lost) {
      const { message = 'nothing was thrown' } = ((await act(at, hook).catch((e) => e)) ?? {}) as Error;
      assert.match(message, LOST, what);
      assert.ok(message.length < 300, message);
    }
  });
  test(`${run}: a hook that reads, keeps or returns is not`, async () => {
    for (const [what, at, hook] of silent)
      await act(at, hook).catch((e: Error) => assert.unreachable(`${what}: ${e.message}`));
  });
}

test('gradient hooks are held to the same', async () => {
  const grads = (hook: Hook) =>
    model.runWithGrads(prompt, logitDiff(5, 7), {
      names: 'mlp_out',
      gradHooks: [['blocks.0.hook_mlp_out', hook]],
    });
  await throws(
    grads((g) => void g.mul(0)),
    LOST,
  );
  await grads((g) => g.mul(0));
});

test.after(async () => {
  await Promise.all(reads);
  for (const t of kept) t.dispose();
  model.dispose();
});
test.run();
