/**
 * Damaged files: whatever is wrong with one, it is read as it was or refused in one short line that names it,
 * never with other numbers or an error of JavaScript's own. A fixed seed; `GLASSBOX_MUTANTS` sets how many
 * files are damaged.
 */
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readRecord } from '../../hooks/sweep/record/record.js';
import { memoryFile, readJson } from '../../weights/files/files.js';
import { blobFolder } from '../../weights/files/files-blob.js';
import { openCheckpoint } from '../../weights/formats/open.js';
import { writeSafetensors } from '../../weights/formats/safetensors-write.js';
import { openTorch } from '../../weights/formats/torch/torch.js';
import { inferConfig, readModel } from '../../weights/load/checkpoint.js';
import { parseConfig } from '../../weights/load/config.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { fail, randomGpt2, rng } from '../helpers.js';

const COUNT = Number(process.env.GLASSBOX_MUTANTS ?? 400);
const config = { n_layer: 1, n_head: 2, n_embd: 4, n_positions: 5, vocab_size: 7, model_type: 'gpt2' };
const utf8 = (text: string) => new TextEncoder().encode(text);
const weights = writeSafetensors(randomGpt2(parseConfig(config), 1));
const pth = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../fixtures/torch/${name}`, import.meta.url)));
const record = utf8(
  '{"glassbox":"sweep","format":1,"fingerprint":"f","cells":2,"about":{}}\n{"runs":{"base":[0.5],"sources":{}}}\n{"index":0,"value":[1]}\n{"index":1,"value":["NaN"]}\n',
);

/** Fails unless an error is a short line of ours that names `file`. */
function checkError(error: unknown, files: readonly string[]): void {
  const { message, name } = error as Error;
  if (name !== 'Error') fail(`${name}: ${message}\n${(error as Error).stack}`);
  if (message.length >= 300) fail(`${message.length} characters: ${message}`);
  if (/\p{Cc}/u.test(message)) fail(`control characters: ${JSON.stringify(message)}`);
  if (!files.some((file) => message.includes(file))) fail(`it names no file: ${message}`);
}

const PARTS = [
  '1e9',
  '-1',
  '9007199254740993',
  'null',
  '""',
  '[]',
  '{}',
  '[[[[]]]]',
  '1e400',
  'true',
  '"\\u001b[2J"',
  '"__proto__"',
];

/** Bytes flipped, cut, doubled, or a value of JSON put in place of another. */
function damage(bytes: Uint8Array, random: ReturnType<typeof rng>): Uint8Array {
  const out = bytes.slice();
  const at = random.int(bytes.length);
  switch (random.int(6)) {
    case 0:
      out[at] ^= 1 << random.int(8);
      return out;
    case 1:
      for (let i = 0; i <= random.int(8); i++) out[random.int(Math.min(bytes.length, 400))] = random.int(256);
      return out;
    case 2:
      return out.subarray(0, at);
    case 3: {
      const end = at + random.int(200);
      return new Uint8Array([...out.subarray(0, end), ...out.subarray(at)]);
    }
    case 4:
      return out.fill([0, 0xff, 0x28, 0x5d][random.int(4)], at, at + random.int(40));
    default: {
      const text = new TextDecoder('latin1').decode(out);
      const values = [...text.matchAll(/(?<=[:,[])(-?\d+|"[^"]{0,40}"|\[[^[\]]{0,40}\])(?=[,\]}])/g)];
      if (!values.length) return out;
      const { index, 0: old } = values[random.int(values.length)];
      const changed = text.slice(0, index) + PARTS[random.int(PARTS.length)] + text.slice(index + old.length);
      return Uint8Array.from(changed, (c) => c.charCodeAt(0));
    }
  }
}

async function readWhole(files: Record<string, Uint8Array>): Promise<void> {
  const folder = blobFolder(
    new Map(Object.entries(files).map(([name, data]) => [name, new Blob([data])])),
    'folder',
  );
  const file = await folder.open('config.json');
  const json = await readJson(file!);
  const tensors = await openCheckpoint(folder);
  const parsed = parseConfig(json, { file: 'config.json', inferred: inferConfig(tensors) });
  for await (const part of readModel(tensors, parsed, noProcessing)) assert.ok(part);
}

test('damaged folders: configuration, safetensors, index', async () => {
  const random = rng(11);
  const index = utf8(JSON.stringify({ weight_map: { 'wte.weight': 'model-00001-of-00001.safetensors' } }));
  const good: Record<string, Uint8Array> = {
    'config.json': utf8(JSON.stringify(config)),
    'model.safetensors': weights,
  };
  await readWhole(good);
  for (let i = 0; i < COUNT; i++) {
    const files: Record<string, Uint8Array> =
      i % 4 === 3
        ? {
            'config.json': good['config.json'],
            'model.safetensors.index.json': index,
            'model-00001-of-00001.safetensors': weights,
          }
        : { ...good };
    const names = Object.keys(files);
    const name = names[random.int(names.length)];
    files[name] = damage(files[name], random);
    await readWhole(files).catch((error) => checkError(error, [...names, 'folder']));
  }
});

test('damaged PyTorch files give the same numbers or an error', async () => {
  const random = rng(12);
  for (const name of ['metadata.pth', 'nested.pth', 'protocol-4.pth', 'tensors.pth']) {
    const bytes = pth(name);
    for (let i = 0; i < COUNT / 4; i++)
      await readTensors(damage(bytes, random)).catch((error) => checkError(error, ['m.pth']));
  }
});

async function readTensors(bytes: Uint8Array): Promise<Map<string, string>> {
  const checkpoint = await openTorch(memoryFile('m.pth', bytes));
  const found = new Map<string, string>();
  for (const name of checkpoint.names())
    if (name !== 'odd_i64') found.set(name, `${checkpoint.shape(name)}: ${await checkpoint.read(name)}`);
  return found;
}

test('no flipped bit in the headers of a ZIP archive gives other numbers', async () => {
  for (const name of ['metadata.pth', 'protocol-4.pth']) {
    const bytes = pth(name);
    const right = await readTensors(bytes);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const headers: number[] = [];
    for (let at = 0; at + 4 < bytes.length; at++)
      if (
        [0x04034b50, 0x02014b50, 0x06054b50, 0x06064b50, 0x07064b50, 0x08074b50].includes(
          view.getUint32(at, true),
        )
      )
        for (let i = 0; i < 64 && at + i < bytes.length; i++) headers.push(at + i);
    const random = rng(13);
    for (let i = 0; i < COUNT; i++) {
      const flipped = bytes.slice();
      flipped[headers[random.int(headers.length)]] ^= 1 << random.int(8);
      const found = await readTensors(flipped).catch((error) => checkError(error, ['m.pth']));
      if (found) assert.equal([...found], [...right]);
    }
  }
});

test('damaged records', () => {
  const random = rng(14);
  for (let i = 0; i < COUNT; i++) {
    const lines = new TextDecoder().decode(damage(record, random)).split('\n');
    try {
      readRecord(lines, 'part.jsonl');
    } catch (error) {
      checkError(error, ['part.jsonl']);
    }
  }
});

test.run();
