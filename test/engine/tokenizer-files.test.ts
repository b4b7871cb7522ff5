/** tokenizer.json from outside: what it says is checked, and every error names the file and the place. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BYTE_TO_CHAR } from '../../engine/tokens/bytes.js';
import { findTokenRange } from '../../engine/tokens/text.js';
import { Tokenizer } from '../../engine/tokens/tokenizer.js';

const vocab: Record<string, number> = Object.fromEntries(BYTE_TO_CHAR.map((char, byte) => [char, byte]));
const byteLevel = { type: 'ByteLevel', add_prefix_space: false, use_regex: true };
const make = (more: object = {}, model: object = {}, config: object = {}) =>
  Tokenizer.fromJson(
    {
      added_tokens: [{ id: 259, content: '<|endoftext|>', special: true, normalized: false }],
      normalizer: null,
      pre_tokenizer: byteLevel,
      decoder: byteLevel,
      model: {
        type: 'BPE',
        vocab: { ...vocab, th: 256, the: 257, Ġthe: 258 },
        merges: ['t h', 'th e', 'Ġ the'],
        ...model,
      },
      ...more,
    },
    config,
  );
const refused = (run: () => unknown, ...says: string[]) => {
  try {
    run();
  } catch (e) {
    const { message } = e as Error;
    assert.ok(message.length <= 300, `${message.length} characters`);
    for (const part of ['tokenizer.json', ...says])
      assert.ok(message.includes(part), `${message} lacks ${part}`);
    return;
  }
  assert.unreachable(`not refused: ${says}`);
};

test('ids, merges, rules and nesting that a file states are checked before they are used', () => {
  assert.equal(make().encode('a the'), [97, 258]);
  for (const id of [4294967294, 2 ** 31, 1e300, -1, 1.5, '5', null, true])
    refused(() => make({}, { vocab: { ...vocab, odd: id } }), 'model.vocab', 'odd');
  refused(() => make({}, { vocab: { ...vocab, odd: 65 } }), 'id 65 twice');
  refused(() => make({}, { merges: [1, 2] }), 'model.merges, entry 0');
  refused(() => make({}, { merges: [['t']] }), 'model.merges, entry 0');
  refused(() => make({}, { merges: ['t h e'] }), 'model.merges, entry 0');
  refused(() => make({}, { merges: ['q z'] }), 'must be in the vocabulary');
  refused(() => make({}, { merges: 'x' }), 'a list');
  refused(() => make({}, { type: 'Magic' }), 'Magic');
  refused(() => make({ added_tokens: [{ id: 1e9, content: 'x' }] }), 'added_tokens, entry 0');
  refused(() => make({ added_tokens: [{ id: 1 }] }), 'content');
  refused(() => make({ added_tokens: 'no' }), 'added_tokens');
  refused(() => make({ normalizer: { type: 'x'.repeat(1e6) } }), 'normalizer');
  refused(
    () => make({ pre_tokenizer: { type: 'Split', pattern: { Regex: '(' }, behavior: 'Isolated' } }),
    'pattern',
  );
  const split = (Regex: string) => () =>
    make({ pre_tokenizer: { type: 'Split', pattern: { Regex }, behavior: 'Isolated' } });
  refused(split('(((a)'), 'expression "(((a)" cannot be used: Unterminated group');
  refused(split('(a|aa)+\\1$'), 'cannot be used: a back-reference');
  for (const [id, entry] of [
    ['abc', { content: 'x' }],
    ['', { content: 'x' }],
    ['5', {}],
    ['5', null],
  ] as const)
    refused(
      () => make({}, {}, { added_tokens_decoder: { [id]: entry } }),
      'tokenizer_config.json',
      'entry 0',
    );
  refused(() => make({ pre_tokenizer: { type: 'FixedLength', length: 0 } }), 'length');
  let nested: object = { type: 'Lowercase' };
  for (let i = 0; i < 20000; i++) nested = { type: 'Sequence', normalizers: [nested] };
  refused(() => make({ normalizer: nested }), 'nested');
  const double = { type: 'Replace', pattern: { String: 'a' }, content: 'aa' };
  const grows = make({ normalizer: { type: 'Sequence', normalizers: Array(60).fill(double) } });
  refused(() => grows.encode('aaaa'), 'times as long');
});

test('an expression that never ends elsewhere ends here, with the right pieces', () => {
  const cut = (Regex: string, text: string) => {
    const split = { type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false };
    const tokenizer = make({
      pre_tokenizer: { type: 'Sequence', pretokenizers: [split, { ...byteLevel, use_regex: false }] },
    });
    return tokenizer.decode(tokenizer.encode(text));
  };
  const long = `${'a'.repeat(60)}b`;
  for (const regex of [
    '(a+)+$',
    '(a|a)*$',
    '(a|aa)+$',
    '(.*)*x',
    '(a*)*b$',
    '([a-z]+)*!',
    '(?:a?){40}a{40}$',
    'a*a*a*a*a*a*a*c',
  ])
    assert.is(cut(regex, long), long, regex);
});

test('an id without a name is a placeholder among labels and nothing in a text', () => {
  const padded = make({}, {}, { dVocab: 272 });
  assert.equal(padded.pieces([97, 262, 258]), ['a', '[262]', ' the']);
  assert.is(padded.decode([97, 262, 258]), 'a the');
  assert.throws(() => padded.decode([272]), 'token id 272: the vocabulary has 272 tokens');
});

test('special tokens are named by the configuration, or known by their ids', () => {
  const added = [
    [259, '<|endoftext|>'],
    [260, '<BOS>'],
    [261, '<EOS>'],
  ].map(([id, content]) => ({ id, content, special: true }));
  const of = (config: object) => {
    const t = make({ added_tokens: added }, {}, config);
    return [t.bosTokenId, t.eosTokenId];
  };
  assert.equal(of({}), [259, 259]);
  assert.equal(of({ bos_token: '<BOS>', eos_token: { content: '<EOS>' } }), [260, 261]);
  assert.equal(of({ bos_token_id: 260, eos_token_id: 261 }), [260, 261]);
  assert.equal(of({ bos_token: null, eos_token_id: 261 }), [null, 261]);
  const later = { bos_token: '<B>', added_tokens_decoder: { 260: { content: '<B>', special: true } } };
  assert.equal(make({}, {}, later).encode('<B>a'), [260, 97]);
});

test('a subject is found in a prompt that the tokenizer changes', () => {
  const lower = make({
    normalizer: {
      type: 'Sequence',
      normalizers: [{ type: 'NFD' }, { type: 'StripAccents' }, { type: 'Lowercase' }],
    },
  });
  const prompt = 'In The Café sat';
  const tokens = lower.encode(prompt);
  assert.is(lower.decode(tokens), 'in the cafe sat');
  const whole: [number, number] = [2, 8]; // ' the', ' ', 'c', 'a', 'f', 'e'
  assert.equal(findTokenRange(lower, tokens, 'The Café', prompt), whole);
  assert.equal(findTokenRange(lower, tokens, 'The Café'), whole, 'without the prompt as typed');
  assert.equal(
    findTokenRange(lower, [259, ...tokens], 'Café', prompt),
    [5, 9],
    'behind a beginning-of-text token',
  );
  assert.throws(() => findTokenRange(lower, tokens, 'Dog', prompt), 'does not occur');
});

test('the settled beginning of a text holds back only what may still become a character', () => {
  const t = make();
  const bytes = [...new TextEncoder().encode('😀')];
  assert.is(t.decodeSettled([120, ...bytes.slice(0, 2)]), 'x');
  assert.is(t.decodeSettled([120, ...bytes]), 'x😀');
  assert.is(t.decodeSettled([120, 0xff]), 'x\ufffd', 'can never become one');
  assert.is(t.decodeSettled([120, 0xe0, 0x80]), 'x\ufffd\ufffd', 'an overlong form neither');
  assert.is(t.decodeSettled([120, 0xe0]), 'x');
  assert.is(t.decodeSettled([120, 0xef, 0xbf, 0xbd]), 'x\ufffd', 'a real U+FFFD');
});

test.run();
