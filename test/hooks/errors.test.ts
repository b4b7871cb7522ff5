/** Bad input is answered by an error that says what, where and the remedy; the model is as good as before. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer, logitDiff, patch, randomModel, randomWeights, type Tensor } from '../../index.js';
import { twoLayers as config, randomGpt2, throws } from '../helpers.js';
import { givenBack } from '../memory.js';

const weights = randomGpt2(config, 1);
const model = await HookedTransformer.fromWeights(config, weights);
const prompt = [1, 2, 3, 4];

async function logits(): Promise<Float32Array> {
  const t = await model.forward(prompt);
  return t.data().finally(() => t.dispose());
}
const before = await logits();
const { bytes } = model.gpu.memory();

/** Anything: these tests give what the types forbid. */
const any = (x: unknown) => x as never;

const arrays = (more: object) => HookedTransformer.fromWeights({ ...config, ...more }, weights);

const cases: [what: string, act: () => Promise<unknown>, message: RegExp][] = [
  [
    'a text for a model without a tokenizer',
    () => model.forward('hello'),
    /no tokenizer\.json: give token ids/,
  ],
  [
    "a setting in another library's words",
    () => arrays({ layerNormEps: 1e-6 }),
    /^config: there is no option "layerNormEps": did you mean "eps"\?$/,
  ],
  ['a setting with a slip', () => arrays({ attnOnyl: true }), /did you mean "attnOnly"/],
  ['a setting in snake case among ours', () => arrays({ n_ctx: 8 }), /did you mean "nCtx"/],
  [
    'a setting of random weights',
    async () => randomWeights(any({ ...config, d_head: 2 })),
    /did you mean "dHead"/,
  ],
  [
    'a setting that there is not',
    () => randomModel({ ...config, rotaryDim: 4 }),
    /config: there is no option "rotaryDim": did you mean "rotary"/,
  ],
  ['an empty prompt', () => model.forward([]), /empty prompt/],
  ['an empty row', () => model.forward([prompt, []]), /empty prompt/],
  ['an id beyond the vocabulary', () => model.forward([1, 101]), /token id 101 at position 1.*0–100/],
  ['a negative id', () => model.forward([-1]), /token ids are integers from 0/],
  ['half an id', () => model.forward([1.5]), /token ids are integers/],
  ['NaN for an id', () => model.forward([Number.NaN]), /token ids are integers/],
  ['undefined', () => model.forward(any(undefined)), /input is missing: text/],
  ['a number', () => model.forward(any(5)), /input is 5: text/],
  [
    'a prompt longer than the context',
    () => model.forward(Array(17).fill(1)),
    /has 17 tokens.*at most 16; shorten it by 1/,
  ],
  [
    'a row that the prefix makes too long',
    async () => {
      const prefix = await model.prefix(Array(10).fill(1));
      await model.forward(Array(7).fill(1), { prefix }).finally(() => prefix.store.dispose());
    },
    /7 tokens after a prefix of 10.*at most 16/,
  ],
  [
    'a layer that does not exist',
    () => model.runWithCache(prompt, { names: 'blocks.2.hook_resid_pre' }),
    /hook "blocks\.2\.hook_resid_pre": this model has 2 layers \(0–1\)/,
  ],
  [
    'an unknown hook point',
    () => model.runWithCache(prompt, { names: 'hook_foo' as string }),
    /hook "hook_foo": no such hook point\. This model has:/,
  ],
  [
    'a pattern that matches nothing',
    () => model.runWithCache(prompt, { names: /nothing/ }),
    /no hook point matches \/nothing\//,
  ],
  [
    'a hook that is never reached',
    () => model.runWithHooks(prompt, { stopAtLayer: 1, hooks: [['blocks.1.attn.hook_z', () => {}]] }),
    /hook "blocks\.1\.attn\.hook_z": not reached by this run/,
  ],
  [
    'a hook that returns another shape',
    () => model.runWithHooks(prompt, { hooks: [['blocks.0.attn.hook_z', (z) => z.slice([0])]] }),
    /hook "blocks\.0\.attn\.hook_z" returned shape \[4, 2, 12\]: \[1, 4, 2, 12\] is needed/,
  ],
  [
    'a hook that returns no tensor',
    () => model.runWithHooks(prompt, { hooks: [['blocks.0.attn.hook_z', any(() => 3)]] }),
    /returned number: a hook returns a Tensor/,
  ],
  [
    'a hook that returns a disposed tensor',
    () =>
      model.runWithHooks(prompt, {
        hooks: [
          [
            'blocks.0.attn.hook_z',
            (z) => {
              const t = z.mul(2);
              t.dispose();
              return t;
            },
          ],
        ],
      }),
    /returned a tensor that was disposed of/,
  ],
  [
    'a hook that rejects',
    () => model.runWithHooks(prompt, { hooks: [['hook_embed', () => Promise.reject(new Error('later'))]] }),
    /^later$/,
  ],
  [
    'hooks that are no list of pairs',
    () => model.runWithHooks(prompt, { hooks: any(['hook_embed']) }),
    /a list of pairs \[hook points, function\]/,
  ],
  [
    'startAtLayer with tokens',
    () => model.forward(prompt, { startAtLayer: 1 }),
    /startAtLayer needs a residual stream/,
  ],
  [
    'stopAtLayer 5',
    () => model.forward(prompt, { stopAtLayer: 5 }),
    /stopAtLayer 5: this model has 2 layers/,
  ],
  [
    'a residual stream of another width',
    async () => {
      const t = model.tensor([1, 2, 3], [1, 1, 3]);
      await model.forward(t, { startAtLayer: 0 }).finally(() => t.dispose());
    },
    /residual stream has shape \[batch, pos, 24\], this one \[1, 1, 3\]/,
  ],
  [
    'a position that a row does not have',
    () => model.runWithCache(prompt, { pos: 4 }),
    /pos of row 0: 4 of 4 positions/,
  ],
  ['more new tokens than fit', () => model.generate(prompt, { maxNewTokens: 14 }), /maxNewTokens can be 13/],
  [
    'a negative temperature',
    () => model.generate(prompt, { temperature: -1 }),
    /temperature is -1: a number, 0 or more/,
  ],
  ['topP 2', () => model.generate(prompt, { temperature: 1, topP: 2 }), /topP is 2/],
  ['the loss of one token', () => model.loss([5]), /nothing to predict/],
  [
    'patching prompts of different length',
    () => patch(model, { clean: [1, 2], corrupted: [1, 2, 3], metric: logitDiff(1, 2) }),
    /clean prompt has 2 tokens, the corrupted one 3/,
  ],
  [
    'patching a prompt with itself',
    () => patch(model, { clean: [1, 2], corrupted: [1, 2], metric: logitDiff(1, 2) }),
    /are the same: no patch can change anything/,
  ],
  [
    'weights with a NaN',
    () => HookedTransformer.fromWeights(config, { ...weights, 'wte.weight': nan('wte.weight') }),
    /wte\.weight.*NaN|NaN.*wte\.weight/,
  ],
  [
    'a missing tensor',
    () =>
      HookedTransformer.fromWeights(
        config,
        Object.fromEntries(Object.entries(weights).filter(([n]) => n !== 'h.1.mlp.c_fc.bias')),
      ),
    /h\.1\.mlp\.c_fc\.bias/,
  ],
  [
    'a tensor of another shape',
    () =>
      HookedTransformer.fromWeights(config, {
        ...weights,
        'h.0.attn.c_proj.weight': { shape: [24, 23], data: new Float32Array(24 * 23) },
      }),
    /h\.0\.attn\.c_proj\.weight.*\[24, 23\]|h\.0\.attn\.c_proj\.weight.*\[24, 24\]/,
  ],
  [
    'an unknown activation function',
    () => HookedTransformer.fromWeights({ ...config, actFn: any('mish') }, weights),
    /actFn.*mish/,
  ],
  ['zero heads', () => HookedTransformer.fromWeights({ ...config, nHeads: 0 }, weights), /nHeads.*0/],
  [
    'integer weights',
    () => HookedTransformer.fromWeights(config, weights, { dtype: any('int8') }),
    /dtype is "int8": 'f32', 'f16', 'q8' or 'q4'/,
  ],
  [
    'weights too large for float16',
    () => {
      const data = new Float32Array(config.dModel * config.dVocab).map((_, i) => (i % 2 ? 7e4 : -7e4));
      const W_E = { shape: [config.dVocab, config.dModel], data };
      return HookedTransformer.fromWeights(config, { ...weights, 'wte.weight': W_E }, { dtype: 'f16' });
    },
    /W_[EU]: .*too large for float16.*dtype "f32"/,
  ],
  [
    'a folder that does not exist',
    () => HookedTransformer.fromPretrained('./no/such/folder'),
    /no\/such\/folder/,
  ],
];

function nan(name: string) {
  const { shape, data } = weights[name];
  const damaged = data.slice();
  damaged[7] = Number.NaN;
  return { shape, data: damaged };
}

test('a config.json may hold more', async () => {
  const file = { n_layer: 1, n_head: 2, n_embd: 4, n_positions: 4, vocab_size: 5, embd_pdrop: 0.1, task: {} };
  const small = await randomModel(file);
  assert.is(small.config.dModel, 4);
  small.dispose();
});

for (const [what, act, message] of cases) {
  test(`${what}: a clear error, and the model works on`, async () => {
    await throws(act, message);
    assert.equal(await logits(), before);
    givenBack(model.gpu, bytes);
  });
}

test('a disposed tensor says so, whatever is done with it', async () => {
  const t: Tensor = model.tensor([1, 2]);
  t.dispose();
  t.dispose();
  await throws(() => t.data(), /was disposed of/);
  await throws(() => t.add(1), /was disposed of/);
});

test('a cache says what it does not hold, and why', async () => {
  const { cache, logits } = await model.runWithCache(prompt, { names: ['resid_pre'] });
  await throws(
    () => cache.get('z', 0),
    /"blocks\.0\.attn\.hook_z" is not in this cache: name it in runWithCache's `names`/,
  );
  await throws(() => cache.get('z', 2), /layer 2: this model has 2 layers/);
  await throws(() => cache.get('zz' as string, 0), /no such hook point/);
  await throws(() => cache.row(1), /row 1: this cache has 1 rows/);
  logits.dispose();
  cache.dispose();
});

test('an aborted generation stops with the reason of the signal', async () => {
  const stop = new AbortController();
  const run = model.generate(prompt, {
    maxNewTokens: 10,
    signal: stop.signal,
    onToken: () => stop.abort(new Error('enough')),
  });
  await throws(run, /^enough$/);
  givenBack(model.gpu, bytes);
});

test.run();
