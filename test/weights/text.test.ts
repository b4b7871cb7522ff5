/** Text files as the world's programs write them, and what messages show of them. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fileError, shownJson } from '../../weights/checks/messages.js';
import { decodeText, parseJson, textLines } from '../../weights/checks/text.js';
import { memoryFile, readJson, readText } from '../../weights/files/files.js';
import { throws } from '../helpers.js';

const bytes = (...list: number[]) => Uint8Array.from(list);

test('byte-order marks go, and UTF-16 with one is read', () => {
  assert.is(decodeText(bytes(0xef, 0xbb, 0xbf, 0x61), 'f'), 'a');
  assert.is(decodeText(bytes(0xff, 0xfe, 0x61, 0, 0xe9, 0), 'f'), 'aé');
  assert.is(decodeText(bytes(0xfe, 0xff, 0, 0x61), 'f'), 'a');
  throws(() => decodeText(bytes(0x61, 0xe9), 'latin.txt'), /^latin\.txt: not UTF-8 text/);
});

test('lines end in LF, CRLF or CR; empty ones at the end are none, those between are kept', () => {
  assert.equal(textLines('\ufeffa\r\nb\n\nc\rd\r\n\r\n \n'), ['a', 'b', '', 'c', 'd']);
  assert.equal(textLines('\r\n'), []);
});

test('JSON with a mark is read; a fault is told by line and column', () => {
  assert.equal(parseJson('\ufeff{"a": [1, -2.5e3, "\\u00e9", true, null, {}, []]}\r\n', 'f'), {
    a: [1, -2500, 'é', true, null, {}, []],
  });
  const faults: [string, RegExp][] = [
    ['', /it is empty/],
    ['{"a": [1, 2', /it ends too early/],
    ['{"a": "b', /it ends too early/],
    ['{\n "a": 1,\n}', /line 3, column 1: "}" was not expected/],
    ['[1 2]', /line 1, column 4: "2]"/],
    ['[1]]', /line 1, column 4/],
    ['{a: 1}', /line 1, column 2: "a: 1}"/],
    ['{"a" 1}', /line 1, column 6/],
    ['[01]', /line 1, column 2/],
    ['[NaN]', /line 1, column 2: "NaN]"/],
    ['["a\tb"]', /line 1, column 4: "\\x09b/],
    ['["\\x"]', /line 1, column 3/],
    ['[1}', /line 1, column 3/],
    ['{"a":1 "b":2}', /line 1, column 8/],
    ['[1,]', /line 1, column 4/],
    ['"a" "b"', /line 1, column 5/],
    ['\u001b]0;title\u0007', /"\\x1b\]0;title\\x07"/],
  ];
  for (const [text, message] of faults) throws(() => parseJson(text, 'f.json'), message);
  throws(() => parseJson(`${'['.repeat(1e6)}`, 'f', (_, x) => x), /it ends too early/);
  throws(() => parseJson('['.repeat(1e5) + ']'.repeat(1e5), 'f', (_, x) => x), /nested too deeply/);
});

test('a Git LFS pointer is named in place of any text file', async () => {
  const pointer = new TextEncoder().encode(
    'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n',
  );
  for (const name of ['config.json', 'tokenizer.json', 'merges.txt'])
    for (const read of [readJson, readText])
      await throws(read(memoryFile(name, pointer)), new RegExp(`^${name}: this is a Git LFS pointer`));
});

test('messages are one short line, whatever a file holds', () => {
  const nested: unknown[] = [];
  let inner = nested;
  for (let i = 0; i < 1e5; i++) inner.push((inner = []));
  const values = [
    'x'.repeat(1e6),
    nested,
    Array(1e6).fill('y'),
    { ['k'.repeat(1e6)]: 'z' },
    '\u001b[2J\n',
    '‮',
  ];
  for (const value of values) {
    assert.ok(shownJson(value).length <= 60);
    const { message } = fileError('p'.repeat(4000), `${shownJson(value)} is wrong ${'.'.repeat(5000)}`);
    assert.ok(message.length < 300 && !/[\p{Cc}\p{Cf}]/u.test(message), message);
  }
  assert.is(shownJson([1, 'a', null, { b: [2] }]), '[1, "a", null, {"b": […]}]');
});

test('a key with two values is an error; the same value twice is none', async () => {
  const read = (text: string) => readJson(memoryFile('config.json', new TextEncoder().encode(text)));
  for (const text of [
    '{"a":1,"b":[{"x":1},"}"],"a":2}',
    '{"a":{"b":1},"\\u0061":{"b":2}}',
    '{"a":"x,y","c":1,"a":"x"}',
  ])
    await throws(read(text), /^config\.json: "a" is there twice, with two values$/);
  for (const text of [
    '{"a":1,"a": 1}',
    '{"a":{"b":1, "c":2},"a":{"b":1,"c":2} }',
    '[{"a":1},{"a":2}]',
    '{"x":{"a":1},"y":{"a":2},"z":["a","a"]}',
    '{}',
    '"a"',
    '{"a":"\\"","b":"a"}',
  ])
    assert.equal(await read(text), JSON.parse(text));
});

test.run();
