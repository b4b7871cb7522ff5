/** Arguments and options: what is not known, not given, or of another kind is refused in one sentence. */
import vm from 'node:vm';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  boolean,
  count,
  isList,
  number,
  numbers,
  oneOf,
  positive,
  prompt,
  prompts,
  seed,
  shownValue,
  signal,
  text,
  tokens,
} from '../../weights/checks/kinds.js';
import { needed, optional, options, type Signature, signature } from '../../weights/checks/options.js';
import { suggestion } from '../../weights/checks/spellings.js';

interface Example {
  clean: string;
  names?: string;
  topK?: number;
  kind?: 'mlp' | null;
  prependBos?: boolean;
  noise?: { std?: number; seed?: number };
  signal?: AbortSignal;
}
const EXAMPLE = options<Example>({
  clean: needed(prompt),
  names: text,
  topK: count,
  kind: oneOf('mlp', null),
  prependBos: boolean,
  noise: options<NonNullable<Example['noise']>>({ std: positive, seed }),
  signal,
});
const call = signature('example', { input: prompts, options: EXAMPLE });

const said = (f: () => void): string => {
  try {
    f();
  } catch (e) {
    assert.is((e as Error).constructor, Error);
    assert.ok((e as Error).message.length <= 300, (e as Error).message);
    return (e as Error).message;
  }
  return 'nothing';
};

test('what is right passes, and undefined means that an option is not given', () => {
  call('a', { clean: 'x' });
  call([1, 2], { clean: [1], names: undefined, topK: 1, kind: null, prependBos: false, noise: { std: 0.1 } });
  call([[1], [2]], { clean: 'x', signal: new AbortController().signal });
});

test('an unknown option is named, with the one that is probably meant', () => {
  const meant: [string, string][] = [
    ['names_filter', 'names'],
    ['top_k', 'topK'],
    ['topk', 'topK'],
    ['prepend_bos', 'prependBos'],
    ['prependBOS', 'prependBos'],
    ['clean_cache', 'clean'],
    ['naems', 'names'],
  ];
  for (const [given, right] of meant)
    assert.is(
      said(() => call('a', { clean: 'x', [given]: 1 })),
      `example: there is no option "${given}": did you mean "${right}"?`,
    );
  assert.is(
    said(() => call('a', { clean: 'x', sizes: [] })),
    'example: there is no option "sizes"; it takes clean, names, topK, kind, prependBos, noise, signal',
  );
  assert.match(
    said(() => call('a', { clean: 'x', noise: { seeds: 1 } })),
    'no option "noise.seeds": did you mean "seed"?',
  );
  for (const inherited of ['toString', 'constructor', '__proto__x', 'hasOwnProperty'])
    assert.match(
      said(() => call('a', { clean: 'x', [inherited]: 1 })),
      `no option "${inherited}"`,
    );
});

test('what is missing is named with what it is', () => {
  for (const none of [{}, undefined, { names: 'a' }])
    assert.is(
      said(() => call('a', none)),
      'example: clean is missing: a text or token ids',
    );
  assert.is(
    said(() => call()),
    'example: input is missing: text, texts, token ids or rows of token ids',
  );
  assert.match(
    said(() => call('a', null)),
    'example: options is null: { clean, names',
  );
  assert.match(
    said(() => call('a', 'resid_post')),
    'example: options is "resid_post": {',
  );
  assert.match(
    said(() => call('a', Promise.resolve({}))),
    'options is a promise (await it)',
  );
  assert.match(
    said(() => call('a', [])),
    'options is an empty list',
  );
});

test('an argument too many is refused', () => {
  assert.is(
    said(() => call('a', { clean: 'x' }, { hooks: [] })),
    'example: argument 3 is too many (an object { hooks }): example(input, options)',
  );
  const none = signature('close', {});
  assert.is(
    said(() => none(1)),
    'close: argument 1 is too many (1): close() takes none',
  );
  signature('maybe', { axis: optional(number) })();
});

test('a value of another kind is named with what it may be', () => {
  const cases: [object, string][] = [
    [{ prependBos: 'false' }, 'example: prependBos is "false": true or false is needed'],
    [{ topK: 1.5 }, 'example: topK is 1.5: a whole number, 1 or more is needed'],
    [{ topK: '3' }, 'example: topK is "3": a whole number, 1 or more is needed'],
    [{ topK: NaN }, 'example: topK is NaN: a whole number, 1 or more is needed'],
    [{ kind: 'mpl' }, `example: kind is "mpl": 'mlp' or null is needed`],
    [{ noise: { std: 0 } }, 'example: noise.std is 0: a number above 0 is needed'],
    [{ noise: { seed: 1.5 } }, 'example: noise.seed is 1.5: a whole number from 0 to 4294967295 is needed'],
    [{ noise: null }, 'example: noise is null: { std, seed } is needed'],
    [
      { signal: new AbortController() },
      'example: signal is an AbortController: an AbortSignal (controller.signal) is needed',
    ],
    [
      { clean: ['a', 'b'] },
      'example: clean is a list of 2 prompts: this takes one, a text or token ids; call it once for each',
    ],
    [
      { clean: [[1, 2]] },
      'example: clean is a list of 1 prompts: this takes one, a text or token ids; call it once for each',
    ],
  ];
  for (const [given, message] of cases)
    assert.is(
      said(() => call('a', { clean: 'x', ...given })),
      message,
    );
});

test('lists are told by what they are: other realms, typed arrays, buffers', () => {
  const foreign = (code: string) => vm.runInNewContext(code) as unknown;
  for (const code of [
    '[1, 2]',
    'new Float32Array([1, 2])',
    'new Float64Array([1, 2])',
    'new Int32Array([1, 2])',
  ]) {
    assert.ok(numbers.is(foreign(code)), code);
    assert.ok(tokens.is(foreign(code)), code);
    assert.ok(prompts.is(foreign(code)), code);
  }
  assert.ok(tokens.is(Buffer.from([1, 2])));
  assert.ok(tokens.is(new BigInt64Array([1n, 2n])));
  assert.not.ok(isList(new DataView(new ArrayBuffer(8))));
  assert.not.ok(isList(new ArrayBuffer(8)));
  assert.not.ok(isList('text'));
  assert.not.ok(tokens.is([1.5]));
  assert.not.ok(tokens.is([-1]));
  call('a', foreign('({ clean: [1, 2], noise: { std: 1 } })'));
});

test('a message shows of a value its type, its length and a few numbers', () => {
  const big = new Float32Array(100_000).fill(0.123456789);
  assert.is(shownValue(big), 'a Float32Array of 100000 (0.123457, 0.123457, 0.123457, …)');
  assert.is(shownValue([1, 2, 3]), 'a list of 3 (1, 2, 3)');
  assert.is(shownValue('a'.repeat(5000)), `"${'a'.repeat(20)}…" (5000 characters)`);
  assert.is(shownValue(new DataView(new ArrayBuffer(8))), 'a DataView');
  assert.is(shownValue(new Error('x')), 'an Error');
  assert.is(shownValue(class A {}), 'a class');
  assert.is(shownValue({ a: 1, b: 2 }), 'an object { a, b }');
  const long = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`option${i}`, 1]));
  for (const value of [
    big,
    [big],
    'b'.repeat(9999),
    long,
    { [`x${'y'.repeat(9999)}`]: 1 },
    Object.create(null),
  ])
    for (const given of [value, { clean: value }, { clean: 'x', noise: value }, { clean: 'x', names: value }])
      said(() => call('a', given));
});

test('another library’s names are suggested only where the option is there', () => {
  assert.is(suggestion('top_k', ['k', 'values']), 'k');
  assert.is(suggestion('top_k', ['topK', 'k']), 'topK');
  assert.is(suggestion('fwd_hooks', ['names']), '');
  assert.is(suggestion('keepdim', ['keepDims']), 'keepDims');
  assert.is(suggestion('use_past_kv_cache', ['kvCache', 'prefix']), 'kvCache');
  assert.is(suggestion('patching_metric', ['metric']), 'metric');
  assert.is(suggestion('num_vectors', ['vectors']), 'vectors');
  assert.is(suggestion('zzzz', ['vectors', 'k']), '');
});

test('the compiler refuses a specification that lacks an option, or has one too many', () => {
  // @ts-expect-error `b` is missing
  options<{ a?: number; b?: number }>({ a: number });
  // @ts-expect-error there is no `b`
  options<{ a?: number }>({ a: number, b: number });
  // @ts-expect-error `a` must be given, so it is `needed(number)`
  options<{ a: number }>({ a: number });
  // @ts-expect-error `a` may be left out
  options<{ a?: number }>({ a: needed(number) });
  const check: Signature = signature('f', { options: options<{ a?: number }>({ a: number }) });
  check({ a: 1 });
});

test.run();
