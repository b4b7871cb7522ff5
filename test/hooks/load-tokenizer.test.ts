import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tokenizer } from '../../engine/tokens/tokenizer.js';
import { readTokenizer } from '../../hooks/transformer/load-tokenizer.js';
import { blobFolder } from '../../weights/files/files-blob.js';
import { throws } from '../helpers.js';

const vocab = JSON.stringify({ t: 0, h: 1, e: 2, Ġ: 3, th: 4, the: 5, Ġthe: 6 });
const read = (files: Record<string, string | Uint8Array>) =>
  readTokenizer(
    blobFolder(
      new Map(
        Object.entries(files).map(([name, bytes]) => [name, new Blob([bytes as Uint8Array<ArrayBuffer>])]),
      ),
    ),
    undefined,
    {},
  );
const MERGES = ['t h', 'th e', 'Ġ the'];

test('vocab.json and merges.txt are a tokenizer, whatever ends their lines', async () => {
  const texts: (string | Uint8Array)[] = ['\n', '\r\n', '\r', '\n\n'].map((end) => MERGES.join(end) + end);
  texts.push(`#version: 0.2\n${MERGES.join('\n')}`, `\ufeff#version: 0.2\r${MERGES.join('\r')}\r\r`);
  const utf16 = `\ufeff${MERGES.join('\r\n')}`;
  texts.push(new Uint8Array(Uint16Array.from(utf16, (c) => c.charCodeAt(0)).buffer));
  for (const merges of texts) {
    const { 'tokenizer.json': json } = await read({ 'vocab.json': vocab, 'merges.txt': merges });
    assert.equal(Tokenizer.fromJson(json).encode('the the'), [5, 6], JSON.stringify(String(merges)));
  }
  assert.equal(await read({ 'vocab.json': vocab }), {});
  const other = { 'tokenizer_config.json': '{"tokenizer_class":"BertTokenizer"}' };
  await throws(read({ 'vocab.json': vocab, 'merges.txt': '', ...other }), /^merges\.txt: .*byte-level/);
});

test.run();
