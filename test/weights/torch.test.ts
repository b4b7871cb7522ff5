/** Checkpoints written by PyTorch, whole and damaged. */
import { readFileSync } from 'node:fs';
import { strFromU8, strToU8, unzipSync, type Zippable, zipSync } from 'fflate';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { memoryFile, type RandomAccess } from '../../weights/files/files.js';
import { openZip } from '../../weights/files/zip.js';
import { openTorch } from '../../weights/formats/torch/torch.js';
import { allClose, rng, throws } from '../helpers.js';

const fixture = (name: string) =>
  new Uint8Array(readFileSync(new URL(`../fixtures/torch/${name}`, import.meta.url)));
const open = (bytes: Uint8Array, name = 'model.pth') => openTorch(memoryFile(name, bytes));
const expected = JSON.parse(strFromU8(fixture('tensors.json'))) as Record<
  string,
  { shape: number[]; data: number[] }
>;
const names = Object.keys(expected);

/** The archive's entries after a change, written again: stored (level 0) or deflated. */
function rezip(name: string, change: (entries: Record<string, Uint8Array>) => void, level: 0 | 6 = 0) {
  const entries = unzipSync(fixture(name));
  change(entries);
  const options = Object.fromEntries(
    Object.entries(entries).map(([key, bytes]) => [key, [bytes, { level }]]),
  ) as Zippable;
  return zipSync(options);
}

for (const level of [0, 6] as const)
  test(`every kind of tensor that PyTorch saves is read, ${level ? 'deflated' : 'stored'}`, async () => {
    const checkpoint = await open(level ? rezip('tensors.pth', () => {}, level) : fixture('tensors.pth'));
    assert.equal(checkpoint.names(), names);
    for (const name of names) {
      assert.equal(checkpoint.shape(name), expected[name].shape, name);
      if (name === 'odd_i64') continue;
      const data = expected[name].data.map(Math.fround);
      allClose(await checkpoint.read(name), data, { atol: 0, rtol: 0, what: name });
    }
  });

test('an integer that float32 cannot hold is an error, not another number', async () => {
  await throws((await open(fixture('tensors.pth'))).read('odd_i64'), /"odd_i64": holds 16777217/);
});

test('tensors that share a storage stay one in the file, and only the part that is wanted is read', async () => {
  const bytes = fixture('tensors.pth');
  let read = 0;
  const whole = memoryFile('model.pth', bytes);
  const counted: RandomAccess = {
    ...whole,
    read: (offset, length) => {
      read += length;
      return whole.read(offset, length);
    },
  };
  const checkpoint = await openTorch(counted);
  const { shared, shared_tail: tail } = Object.fromEntries(checkpoint.tensors);
  assert.is(shared.storage.key, tail.storage.key);
  read = 0;
  // The first time all of the storage, for its checksum.
  assert.equal([...(await checkpoint.read('shared_tail'))], [6, 7, 8, 9]);
  read = 0;
  assert.equal([...(await checkpoint.read('shared_tail'))], [6, 7, 8, 9]);
  assert.is(read, 4 * 4);
});

test('dictionaries in a training checkpoint give names with dots; numbers and texts are left out', async () => {
  const checkpoint = await open(fixture('nested.pth'));
  const [a, b, x, ...optimizer] = checkpoint.names();
  assert.equal([a, b, x], ['model.a.weight', 'model.a.bias', 'model.b.c.x']);
  assert.ok(optimizer.length > 0 && optimizer.every((name) => name.startsWith('optimizer.state.')));
  assert.equal([...(await checkpoint.read(a))], [1, 2]);
});

test('parameters, metadata and pickle protocol 4 are understood', async () => {
  assert.equal((await open(fixture('metadata.pth'))).names(), ['0.weight', '0.bias', '1.weight', '1.bias']);
  const parameters = await open(fixture('module-dict.pth'));
  assert.equal([...(await parameters.read('parameter'))], [7]);
  assert.equal([...(await (await open(fixture('protocol-4.pth'))).read('bias'))], [3]);
});

test('nothing is executed: what a pickle asks for must be on the list', async () => {
  await throws(
    open(fixture('evil.pth')),
    /model\.pth: its pickle asks for the Python object "posix\.system"/,
  );
  await throws(open(fixture('module.pth')), /"torch\.nn\.modules\.container\.Sequential".*state_dict\(\)/);
  await throws(open(fixture('numpy.pth')), /"numpy\.core\.multiarray\._reconstruct"/);
});

const pickleOf = (change: (pickle: string) => string) => (entries: Record<string, Uint8Array>) => {
  const key = Object.keys(entries).find((name) => name.endsWith('data.pkl'))!;
  // Latin 1, so that every byte survives.
  entries[key] = strToU8(change(strFromU8(entries[key], true)), true);
};
const sized = (end: (bytes: Uint8Array) => number) => {
  const bytes = fixture('tensors.pth');
  return bytes.subarray(0, end(bytes));
};
const patched = (change: (view: DataView, end: number) => void, level: 0 | 6 = 0) => {
  const bytes = rezip('protocol-4.pth', () => {}, level);
  const view = new DataView(bytes.buffer);
  let end = bytes.length - 22;
  while (view.getUint32(end, true) !== 0x06054b50) end--;
  change(view, end);
  return bytes;
};
/** Where the directory's record of the last entry begins. */
const lastRecord = (view: DataView, end: number) => {
  let at = end;
  while (view.getUint32(at, true) !== 0x02014b50) at--;
  return at;
};

const damaged: [what: string, bytes: () => Uint8Array, message: RegExp][] = [
  ['an empty file', () => new Uint8Array(0), /not a PyTorch checkpoint/],
  ['a web page', () => strToU8('<!doctype html><p>Not found'), /this is a web page/],
  ['a Git LFS pointer', () => strToU8('version https://git-lfs.github.com/spec/v1\n'), /Git LFS pointer/],
  ['a safetensors file', () => Uint8Array.of(8, 0, 0, 0, 0, 0, 0, 0, 123, 125), /not a PyTorch checkpoint/],
  ['the format from before PyTorch 1.6', () => fixture('legacy.pth'), /before 1\.6.*torch\.save/],
  ['one tensor', () => fixture('one-tensor.pth'), /holds one tensor; a state dict is wanted/],
  ['half a file', () => sized((bytes) => bytes.length / 2), /no end record.*truncated/],
  ['all but the last byte', () => sized((bytes) => bytes.length - 1), /truncated or damaged/],
  ['only the first bytes', () => sized(() => 10), /truncated or damaged/],
  ['a ZIP archive without a pickle', () => zipSync({ 'a/readme.txt': strToU8('x') }), /with no data\.pkl/],
  ['two pickles', () => zipSync({ 'a/data.pkl': strToU8('x'), 'b/data.pkl': strToU8('x') }), /2 data\.pkl/],
  [
    'a storage that is missing',
    () =>
      rezip('tensors.pth', (entries) => {
        delete entries[Object.keys(entries).find((name) => name.endsWith('/data/3'))!];
      }),
    /its data \(.*\/data\/3\) is not in the file/,
  ],
  [
    'a storage that is too short',
    () =>
      rezip('tensors.pth', (entries) => {
        const key = Object.keys(entries).find((name) => name.endsWith('/data/0'))!;
        entries[key] = entries[key].subarray(4);
      }),
    /"contiguous": its data .* has 92 bytes instead of 96/,
  ],
  [
    'big-endian numbers',
    () =>
      rezip('protocol-4.pth', (entries) => {
        const [folder] = Object.keys(entries)[0].split('/');
        entries[`${folder}/byteorder`] = strToU8('big');
      }),
    /big-endian/,
  ],
  [
    'a pickle that ends too early',
    () =>
      rezip(
        'tensors.pth',
        pickleOf((p) => p.slice(0, 200)),
      ),
    /its pickle is damaged/,
  ],
  [
    'a pickle of nothing',
    () =>
      rezip(
        'tensors.pth',
        pickleOf(() => '\x80\x02N.'),
      ),
    /no dictionary/,
  ],
  [
    'a pickle of nonsense',
    () =>
      rezip(
        'tensors.pth',
        pickleOf(() => '\x80\x02))R.'),
      ),
    /its pickle is damaged/,
  ],
  [
    'a pickle in an unknown language',
    () =>
      rezip(
        'tensors.pth',
        pickleOf(() => '\x80\x02\xff.'),
      ),
    /instruction 0xff at byte 2/,
  ],
  [
    'a tensor that leaves its storage',
    // transposed: its two sizes 6 and 4 become 6 and 5
    () =>
      rezip(
        'tensors.pth',
        pickleOf((p) => p.replace('K\x06K\x04\x86', 'K\x06K\x05\x86')),
      ),
    /needs element .* of a storage of 24/,
  ],
  [
    'a storage of unknown numbers',
    () =>
      rezip(
        'tensors.pth',
        pickleOf((p) => p.replace('FloatStorage', 'QInt8Storage')),
      ),
    /"torch\.QInt8Storage"/,
  ],
  [
    'a directory that points behind the file',
    () => patched((view, end) => view.setUint32(end + 16, 1e6, true)),
    /its directory lies behind the file's end/,
  ],
  [
    'a directory with too many entries',
    () => patched((view, end) => view.setUint16(end + 10, 99, true)),
    /its directory ends after/,
  ],
  [
    'an encrypted entry',
    () => patched((view, end) => view.setUint16(lastRecord(view, end) + 8, 1, true)),
    /is encrypted/,
  ],
  [
    'an entry in another compression',
    () => patched((view, end) => view.setUint16(lastRecord(view, end) + 10, 93, true)),
    /compressed by method 93/,
  ],
  [
    'a ZIP64 mark without its record',
    () => patched((view, end) => view.setUint16(end + 10, 0xffff, true)),
    /ZIP64 end record is missing/,
  ],
];
for (const [what, bytes, message] of damaged)
  test(`${what} is told by an error that names the file`, async () => {
    await throws(open(bytes()), message);
    await throws(open(bytes()), /^model\.pth: /);
  });

test('whatever byte of a checkpoint is wrong, it is read or refused by name, never anything else', async () => {
  const random = rng(6);
  for (const name of ['metadata.pth', 'nested.pth'])
    for (let i = 0; i < 300; i++) {
      const bytes = fixture(name);
      for (let flips = 0; flips <= i % 3; flips++) bytes[random.int(bytes.length)] = random.int(256);
      try {
        const checkpoint = await open(bytes);
        for (const tensor of checkpoint.names()) await checkpoint.read(tensor);
      } catch (error) {
        assert.match((error as Error).message, /^model\.pth: /);
      }
    }
});

test('a deflated entry that would grow beyond what the directory says is stopped', async () => {
  const zeros = zipSync({ 'a/zeros': [new Uint8Array(100_000), { level: 6 }] });
  const view = new DataView(zeros.buffer);
  const record = lastRecord(view, zeros.length - 22);
  for (const [claimed, message] of [
    [99_999, /cannot be inflated/],
    [100_001, /gives 100000 bytes instead of 100001/],
    [4e9, /its entries claim 4000000000 bytes/],
  ] as const) {
    for (const at of [record + 24, 22]) view.setUint32(at, claimed, true); // in the directory, and at the data
    const read = async () => {
      const zip = await openZip(memoryFile('a.zip', zeros));
      return zip.read(zip.entries.get('a/zeros')!);
    };
    await throws(read(), message);
  }
});

test('sizes of ZIP64 are read', async () => {
  // One stored entry whose sizes and offset stand in its ZIP64 field, and an end record that points to the
  // 64-bit one.
  const [name, data] = [strToU8('a'), strToU8('hello')];
  const local = new Uint8Array(30 + 1);
  new DataView(local.buffer).setUint32(0, 0x04034b50, true);
  for (const at of [18, 22]) new DataView(local.buffer).setUint32(at, 0xffffffff, true);
  new DataView(local.buffer).setUint16(26, 1, true);
  local.set(name, 30);
  const record = new Uint8Array(46 + 1 + 4 + 24);
  const r = new DataView(record.buffer);
  r.setUint32(0, 0x02014b50, true);
  for (const at of [20, 24, 42]) r.setUint32(at, 0xffffffff, true);
  r.setUint16(28, 1, true);
  r.setUint16(30, 28, true);
  record.set(name, 46);
  r.setUint16(47, 1, true);
  r.setUint16(49, 24, true);
  r.setBigUint64(51, 5n, true);
  r.setBigUint64(59, 5n, true);
  const end = new Uint8Array(56 + 20 + 22);
  const e = new DataView(end.buffer);
  const directory = local.length + data.length;
  e.setUint32(0, 0x06064b50, true);
  e.setBigUint64(32, 1n, true);
  e.setBigUint64(40, BigInt(record.length), true);
  e.setBigUint64(48, BigInt(directory), true);
  e.setUint32(56, 0x07064b50, true);
  e.setBigUint64(64, BigInt(directory + record.length), true);
  e.setUint32(76, 0x06054b50, true);
  e.setUint16(86, 0xffff, true);
  e.setUint32(88, 0xffffffff, true);
  e.setUint32(92, 0xffffffff, true);
  const parts = [local, data, record, end];
  const bytes = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  const zip = await openZip(memoryFile('a.zip', bytes));
  assert.is(strFromU8(await zip.read(zip.entries.get('a')!, 1, 3)), 'ell');
});

test.run();
