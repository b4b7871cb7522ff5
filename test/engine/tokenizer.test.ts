import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bytesOfEntry, fromUtf8, utf8 } from '../../engine/tokens/bytes.js';
import { pieceOf } from '../../engine/tokens/pipeline/piece.js';
import { preTokenizerOf } from '../../engine/tokens/pipeline/pre-tokenizers.js';
import {
  findTokenRange,
  tokenPosition,
  toSingleToken,
  toStrTokens,
  toText,
  toTokens,
} from '../../engine/tokens/text.js';
import { Tokenizer } from '../../engine/tokens/tokenizer.js';
import { gpt2TokenizerJson, tiktoken } from './gpt2-tokenizer.js';

const json = gpt2TokenizerJson() as { model: { vocab: Record<string, number>; merges: string[] } };
const gpt2 = Tokenizer.fromJson(json, { model_max_length: 1024 });
const joined = (texts: string[]) => texts.join('|');

const NASTY = [
  'Hello world',
  ' leading, trailing ',
  "I'm, you're; he'S 's 'S 're WE'VE don't 'tis",
  "Hello , world . Isn n't it ?",
  '中文字符，日本語のテキスト、한국어',
  '👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽',
  'مرحبا بالعالم שלום',
  'e\u0301 a\u030a\u0323 Z\u0351\u036b\u0343',
  '\u0000\u0001\u0007\u001b[31m\u007f',
  'a\r\nb\n\n\r\n c\t\td',
  'a'.repeat(300),
  'ĠMary Ġ Ċ ĉ',
  'nbsp\u00a0here\u00a0\u00a0 \u2003em\u3000ideographic',
  '   many     blanks   ',
  ' ',
  '\n',
  '\ufffd \uffff \u{10ffff}',
  '1234567890 3.14159 ²³ ½ Ⅷ ١٢٣',
  '_snake_case camelCase {"json": [1, 2]} <b>html</b> \\x41',
  'ﬁ ligature ß ẞ İ ı ſ',
  'नमस्ते สวัสดี',
  '\u200b\u200d\u2028\u2029',
];

test("ids are those of OpenAI's encoder, and decode to the same text", () => {
  for (const text of NASTY) {
    const ids = gpt2.encode(text);
    assert.equal(ids, tiktoken.encode(text), JSON.stringify(text));
    assert.is(gpt2.decode(ids), fromUtf8(utf8(text)));
  }
});

test("blanks are Rust's, not JavaScript's: U+0085 is one, U+FEFF is none", () => {
  // what Hugging Face's tokenizers 0.23 give; js-tiktoken has JavaScript's blanks too
  const cut = preTokenizerOf({ type: 'ByteLevel', add_prefix_space: false })!;
  const parts = (text: string) =>
    cut(pieceOf(text, false)).map((piece) => fromUtf8(bytesOfEntry(piece.text)!));
  assert.equal(parts('a\u0085\u0085b'), ['a', '\u0085', '\u0085', 'b']);
  assert.equal(parts('1\u00852!\u0085?'), ['1', '\u0085', '2', '!', '\u0085', '?']);
  assert.equal(parts('a \ufeffb'), ['a', ' \ufeff', 'b']);
  assert.equal(parts('\ufeff \ufeff'), ['\ufeff', ' \ufeff']);
  for (const digit of ['½', 'Ⅷ', '４'])
    assert.equal(
      preTokenizerOf({ type: 'Digits' })!(pieceOf(` ${digit}`, false)).map((piece) => piece.text),
      [' ', digit],
    );
});

test('half a surrogate pair is an error with its index', () => {
  assert.throws(() => gpt2.encode('lone \ud800 surrogate'), 'half a surrogate pair at index 5');
  assert.throws(() => gpt2.encode('😀\udfff'), 'half a surrogate pair at index 2');
});

test('a token alone gives the bytes of a part of the text', () => {
  for (const text of NASTY) {
    const bytes = gpt2.encode(text).flatMap((id) => [...gpt2.bytes(id)]);
    assert.equal(bytes, [...new TextEncoder().encode(text)], JSON.stringify(text));
  }
});

test('a special token written in a text is one token', () => {
  const ids = gpt2.encode('<|endoftext|>LeBron James<|endoftext|>');
  assert.equal(ids, tiktoken.encode('<|endoftext|>LeBron James<|endoftext|>', 'all'));
  assert.is(gpt2.decode(ids), '<|endoftext|>LeBron James<|endoftext|>');
  assert.is(gpt2.isSpecial(ids[0]), true);
  assert.is(gpt2.isSpecial(ids[1]), false);
});

test("GPT-2's beginning and end of text are one token, whatever names it", () => {
  const vocab = { ...json, added_tokens: [] };
  const config = { bos_token: { content: '<|endoftext|>', special: true }, eos_token: '<|endoftext|>' };
  for (const t of [gpt2, Tokenizer.fromJson(JSON.stringify(vocab)), Tokenizer.fromJson(vocab, config)]) {
    assert.equal(
      [t.bosToken, t.bosTokenId, t.eosToken, t.eosTokenId],
      ['<|endoftext|>', 50256, '<|endoftext|>', 50256],
    );
    assert.equal(t.encode('a<|endoftext|>'), [64, 50256]);
    assert.is(t.size, 50257);
  }
});

test('decoding nothing gives nothing; an id outside the vocabulary is an error', () => {
  assert.is(gpt2.decode([]), '');
  assert.is(gpt2.decode(Int32Array.of(15496, 995)), 'Hello world');
  assert.throws(
    () => gpt2.decode([15496, 50257]),
    'token id 50257: the vocabulary has 50257 tokens, ids 0–50256',
  );
  assert.throws(() => gpt2.decode([-1]), 'token id -1');
  assert.throws(() => gpt2.encode(['a'] as never), 'encode() takes one string, not an array');
});

test('half a character is shown as its bytes', () => {
  assert.is(joined(gpt2.pieces(gpt2.encode(' 😀!'))), ' \\xF0\\x9F\\x98|\\x80|!');
  assert.is(joined(gpt2.pieces(gpt2.encode('“q”'))), '\\xE2\\x80|\\x9C|q|\\xE2\\x80|\\x9D');
});

test('a piece is found by its text, blank included', () => {
  assert.is(gpt2.idOf(' Mary'), json.model.vocab.ĠMary);
  assert.is(gpt2.idOf('<|endoftext|>'), 50256);
  assert.is(gpt2.idOf(' Mary Ann'), null);
});

test('a file that is not a tokenizer is refused in words', () => {
  assert.throws(() => Tokenizer.fromJson('{'), /^tokenizer\.json: not JSON: it ends too early/);
  assert.throws(() => Tokenizer.fromJson({ model_type: 'gpt2' }), 'no model.vocab');
});

test('whether Python’s tokenizer prepends the beginning-of-text token: its configuration says, else its post-processor', () => {
  const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  const sequence = { Sequence: { id: 'A', type_id: 0 } };
  const after = (...single: object[]) => ({
    ...json,
    post_processor: { type: 'TemplateProcessing', single },
  });
  const begins = after(special('<|endoftext|>'), sequence);
  const nested = {
    ...json,
    post_processor: { type: 'Sequence', processors: [{ type: 'ByteLevel' }, begins.post_processor] },
  };
  const cases: [json: object, config: object, adds: boolean][] = [
    [json, {}, false],
    [begins, {}, true],
    [nested, {}, true],
    [after(sequence, special('<|endoftext|>')), {}, false],
    [begins, { add_bos_token: false }, false],
    [json, { add_bos_token: true }, true],
    [begins, { bos_token: null }, false],
  ];
  for (const [file, config, adds] of cases) {
    const { addsBos } = Tokenizer.fromJson(file, config);
    assert.is(addsBos, adds, JSON.stringify(config));
  }
});

test('a text without a token for one of its characters is an error', () => {
  const vocab = { a: 0, b: 1, ab: 2 };
  const tiny = Tokenizer.fromJson({
    model: { type: 'BPE', vocab, merges: ['a b'] },
    pre_tokenizer: { type: 'ByteLevel' },
    decoder: { type: 'ByteLevel' },
  });
  assert.equal(tiny.encode('aba'), [2, 0]);
  assert.is(tiny.bosTokenId, null);
  assert.throws(() => tiny.encode('abc'), '"abc": this vocabulary of 3 has no token for "c"');
  assert.is(Tokenizer.fromJson(json, { bos_token: null }).bosToken, null, 'said to have none');
  assert.throws(() => toTokens(tiny, 'ab'), 'prependBos: this tokenizer has no beginning-of-text token');
});

test('tokenizers whose words do not carry bytes work too', () => {
  const wordPiece = Tokenizer.fromJson({
    model: {
      type: 'WordPiece',
      vocab: { '[UNK]': 0, the: 1, cat: 2, '##s': 3 },
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
    },
    pre_tokenizer: { type: 'Whitespace' },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: false },
  });
  const ids = wordPiece.encode('the cats');
  assert.equal(ids, [1, 2, 3]);
  assert.is(wordPiece.decode(ids), 'the cats');
  assert.equal(wordPiece.pieces(ids), [' the', ' cat', 's']);
  const fallback = Tokenizer.fromJson({
    model: {
      type: 'BPE',
      vocab: { '<0xC3>': 0, '<0xA9>': 1, '▁a': 2, '▁': 3, a: 4 },
      merges: ['▁ a'],
      byte_fallback: true,
    },
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      ],
    },
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
  });
  assert.equal(fallback.encode('a aé'), [2, 2, 0, 1]);
  assert.is(fallback.decode([2, 2, 0, 1]), 'a aé');
  assert.equal(fallback.pieces([2, 2, 0, 1]), [' a', ' a', '\\xC3', '\\xA9']);
});

test('a prompt begins with the beginning-of-text token unless told otherwise, and is never padded', () => {
  assert.equal(toTokens(gpt2, 'Hello world'), [[50256, 15496, 995]]);
  assert.equal(toTokens(gpt2, ['Hello', 'Hello world'], { prependBos: false }), [[15496], [15496, 995]]);
  assert.equal(toTokens(gpt2, ''), [[50256]]);
  assert.equal(toTokens(gpt2, '<|endoftext|>Hello'), [[50256, 50256, 15496]], 'as TransformerLens does');
  assert.equal(toTokens(null, [1, 2]), [[1, 2]]);
  assert.equal(toTokens(null, [[1], [2, 3]]), [[1], [2, 3]]);
});

test('an empty prompt, a bad id and a missing tokenizer are errors', () => {
  assert.throws(() => toTokens(gpt2, '', { prependBos: false }), 'empty prompt');
  assert.throws(() => toTokens(gpt2, []), 'empty prompt');
  assert.throws(() => toTokens(gpt2, [[1], []]), 'empty prompt');
  assert.throws(() => toTokens(gpt2, [1, 2.5]), 'position 1 holds 2.5');
  assert.throws(() => toTokens(null, 'Hello'), 'this model has no tokenizer.json: give token ids (number[])');
  assert.throws(() => toText(null, [1]), 'this model has no tokenizer.json');
});

test('tokens as strings and as text', () => {
  const prompt = 'When Mary and John';
  assert.is(joined(toStrTokens(gpt2, prompt)), '<|endoftext|>|When| Mary| and| John');
  assert.equal(toStrTokens(gpt2, [prompt, 'a'], { prependBos: false }), [
    ['When', ' Mary', ' and', ' John'],
    ['a'],
  ]);
  assert.equal(toStrTokens(gpt2, [15496, 995]), ['Hello', ' world']);
  assert.is(toText(gpt2, [15496, 995]), 'Hello world');
  assert.equal(toText(gpt2, [[15496], [995]]), ['Hello', ' world']);
  assert.is(toText(gpt2, []), '');
});

test('a single token, or an error that says what it is', () => {
  assert.is(toSingleToken(gpt2, ' Mary'), 5335);
  assert.is(toSingleToken(gpt2, '<|endoftext|>'), 50256);
  assert.throws(
    () => toSingleToken(gpt2, ' Mary Ann'),
    '" Mary Ann" is 2 tokens: " Mary" + " Ann"; give the text of one of them, or its id (5335 for " Mary")',
  );
  assert.throws(() => toSingleToken(gpt2, 'Rome'), 'with a blank in front, " Rome" is one token');
  assert.throws(() => toSingleToken(gpt2, ''), '"" is no token');
});

test('the position of a token, the first or the last', () => {
  const prompt = 'When Mary and John went, Mary gave';
  assert.is(tokenPosition(gpt2, ' Mary', prompt), 2);
  assert.is(tokenPosition(gpt2, ' Mary', prompt, { prependBos: false }), 1);
  assert.is(tokenPosition(gpt2, 5335, prompt, { mode: 'last' }), 7);
  assert.is(tokenPosition(null, 7, [5, 7, 7], { mode: 'last' }), 2);
  assert.throws(
    () => tokenPosition(gpt2, ' Paul', prompt),
    '" Paul" (id 3362) does not occur in the prompt: "<|endoftext|>" + "When"',
  );
  assert.throws(() => tokenPosition(null, 9, [5, 7]), 'token 9 does not occur in the prompt: 2 tokens');
});

test("ROME's subject range: tokens that hold the first occurrence, half-open", () => {
  const range = (prompt: string, subject: string, prependBos = false) =>
    findTokenRange(gpt2, toTokens(gpt2, prompt, { prependBos })[0], subject);
  assert.equal(range('Martha Stewart, the well-known', 'Martha Stewart'), [0, 3]);
  assert.equal(range('Beverly Cooper, the well-known', 'Beverly Cooper'), [0, 4]);
  assert.equal(range('Mark Allen, the well-known', 'Allen'), [1, 2]);
  assert.equal(range('Mark Allen, Mark Allen', 'Mark Allen', true), [1, 3]);
  assert.equal(range('The 😀😀 face', '😀'), [1, 3]);
  assert.equal(range('the text', 'text', true), [2, 3]);
  assert.equal(range('<|endoftext|>LeBron James', '<|endoftext|>LeBron'), [0, 3]);
  assert.throws(() => range('Mark Allen', 'Bob'), '"Bob" does not occur in the prompt: "Mark" + " Allen"');
  assert.throws(() => range('Mark Allen', ''), 'an empty text has no tokens');
});

test.run();
