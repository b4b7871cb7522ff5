/** GGUF files: number formats bit for bit as the `gguf` package reads them, and files that are damaged. */
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { memoryFile } from '../../weights/files/files.js';
import { openGguf } from '../../weights/gguf/file.js';
import { ggufConfig } from '../../weights/gguf/model.js';
import { ggufTokenizer } from '../../weights/gguf/tokenizer.js';
import { throws } from '../helpers.js';

const bytes = new Uint8Array(readFileSync(new URL('../fixtures/gguf/blocks.gguf', import.meta.url)));
const open = (of: Uint8Array) => openGguf(memoryFile('blocks.gguf', of));
const FORMATS = 'F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K'.split(' ');

test('every format gives the numbers of the gguf package, bit for bit', async () => {
  const { tensors, formats } = await open(bytes);
  for (const name of FORMATS) {
    assert.is(formats.get(name), name);
    const [got, expected] = [await tensors.read(name), await tensors.read(`${name}.expected`)];
    assert.equal(new Uint32Array(got.buffer), new Uint32Array(expected.buffer), name);
    assert.is(tensors.shape(name)![0], 2);
  }
});

test('metadata is read with its types', async () => {
  const { metadata } = await open(bytes);
  assert.is(metadata.get('general.architecture'), 'llama');
  assert.is(metadata.get('a.text'), 'naïve ▁');
  assert.equal([...(metadata.get('a.list') as Int32Array)], [1, 2, 3]);
  assert.equal([...(metadata.get('some.floats') as Float32Array)], [0.5, -1.25]);
  assert.is(metadata.get('a.large'), 2 ** 40);
});

test('what is no GGUF file, or another version, is said', async () => {
  const changed = (at: number, ...values: number[]) => {
    const copy = bytes.slice();
    copy.set(values, at);
    return copy;
  };
  await throws(() => open(changed(0, 80)), /no GGUF file/);
  await throws(() => open(changed(4, 1)), /GGUF version 1; versions 2 and 3/);
  await throws(() => open(changed(4, 0, 0, 0, 3)), /big-endian/);
  await throws(() => open(changed(14, 255)), /tensors, which is more than the file can hold/);
  await throws(() => open(bytes.subarray(0, 300)), /ends within its header|more than/);
  await throws(() => open(bytes.subarray(0, bytes.length - 400)), /ends behind the end of the file/);
});

test('a damaged file is an error in its header, or numbers: nothing else', async () => {
  let seed = 1;
  const random = (n: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return Math.floor((seed / 2 ** 32) * n);
  };
  let [refused, read] = [0, 0];
  for (let i = 0; i < 1500; i++) {
    const copy = bytes.slice(0, random(8) ? bytes.length : random(bytes.length));
    for (let n = random(6) + 1; n > 0; n--) copy[random(random(2) ? 1600 : copy.length)] = random(256);
    try {
      const gguf = await open(copy);
      for (const name of gguf.tensors.names().slice(0, 4)) await gguf.tensors.read(name);
      ggufTokenizer(gguf);
      await ggufConfig(gguf).catch((e: Error) => assert.match(e.message, /^blocks\.gguf: /));
      read++;
    } catch (e) {
      assert.match((e as Error).message, /^blocks\.gguf: /);
      assert.ok((e as Error).message.length < 300);
      refused++;
    }
  }
  assert.ok(refused > 300 && read > 100, `${refused} refused, ${read} read`);
});

test.run();
