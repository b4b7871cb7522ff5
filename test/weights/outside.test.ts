import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { isCommit, isSafePath, pathInside, safePath, safeRevision } from '../../weights/checks/paths.js';
import { printable, printableJson, shown, shownUrl } from '../../weights/checks/shown.js';
import { throws } from '../helpers.js';

test('what a terminal would obey is shown as text', () => {
  assert.is(shown('a\x1b[2Jb\x9b1mc\r\n'), 'a\\x1b[2Jb\\x9b1mc\\x0d\\x0a');
  assert.is(shown('file\u202egnp.exe\u2028'), 'file\\u202egnp.exe\\u2028');
  assert.is(shown('\ud800 and 😀'), '\\ud800 and 😀');
  assert.is(shown(7), '7');
});

test('a text of any length is shown with its ends, in 80 characters', () => {
  assert.is(shown('x'.repeat(80)), 'x'.repeat(80));
  for (const size of [81, 400, 1e6]) {
    const text = shown(`begin${'x'.repeat(size)}end`);
    assert.is(text.length, 80);
    assert.match(text, /^beginx+…x+end$/);
  }
  assert.is(shown('\x1b'.repeat(1000)).length, 80);
});

test('lines for a terminal keep line ends and colours, and nothing else', () => {
  const text = 'a\tb\n\x1b[1;31mred\x1b[0m\x1b[2J\x1b]0;title\x07';
  assert.is(printable(text, { colours: true }), 'a\tb\n\x1b[1;31mred\x1b[0m\\x1b[2J\\x1b]0;title\\x07');
  assert.is(printable(text), 'a\tb\n\\x1b[1;31mred\\x1b[0m\\x1b[2J\\x1b]0;title\\x07');
  assert.is(printable('\x07[31m', { colours: true }), '\\x07[31m');
});

test('JSON for a terminal says the same without what a terminal obeys', () => {
  const value = { 'a\x1b\x9b2J': ['\u202e', '\u2028\x7f', 'é😀\n', '\ud800'] };
  const json = printableJson(`${JSON.stringify(value)}\n`);
  assert.equal(JSON.parse(json), value);
  assert.match(json, /^[\n\x20-\x7eé😀]+$/u);
});

test('an address is shown without what signs it and without a password', () => {
  assert.is(shownUrl('https://me:secret@host/a/b?X-Signature=secret#secret'), 'https://host/a/b');
  assert.is(shownUrl('data:application/json,{}'), 'data: URL');
});

test('a path from outside stays in its folder, on every system', () => {
  for (const path of ['model.safetensors', 'a/b/c.json', '.hidden', 'consume.txt', 'COM10', 'ä 1.bin'])
    assert.ok(isSafePath(path), path);
  const bad = [
    '',
    '.',
    '..',
    '../x',
    'a/../../x',
    'a//b',
    'a/',
    '/etc/passwd',
    '//host/x',
    'a\\b',
    '..\\x',
    'C:x',
  ];
  const devices = [
    'nul',
    'NUL.json',
    'a/aux.txt',
    'Con',
    'com1',
    'LPT9.bin',
    'x.',
    'x ',
    'x:stream',
    'a\0b',
    'a\nb',
  ];
  for (const path of [...bad, ...devices, 'é'.repeat(128), 'a/'.repeat(600), 5, null, undefined, ['a']])
    assert.not(isSafePath(path), String(path));
  throws(() => safePath('../x', 'index.json'), /^index\.json: impossible path "\.\.\/x": it has "\.\."$/);
  throws(() => safePath(`/${'x'.repeat(9999)}`, 'f'), /^.{1,200}$/);
});

test("a path in a folder of one's own may have any name that stays there", () => {
  assert.is(pathInside('a:b "c"?.pth', './x'), 'a:b "c"?.pth');
  for (const path of ['../x', 'a/../../x', '/etc/passwd', 'a\0', ''])
    throws(() => pathInside(path, './x'), /^\.\/x: impossible/);
});

test('a revision is a name or a path of names; a commit is 40 hex digits', () => {
  for (const revision of ['main', 'v1.0', 'refs/pr/1']) assert.is(safeRevision(revision, 'o/n'), revision);
  throws(() => safeRevision('../../x', 'o/n'), /^o\/n: impossible revision "\.\.\/\.\.\/x"/);
  assert.ok(isCommit('c0ffee'.padEnd(40, '0')));
  for (const commit of ['../../../x', 'C'.repeat(40), 'c0ffee', `${'0'.repeat(40)}\n`, null])
    assert.not(isCommit(commit), String(commit));
});

test.run();
