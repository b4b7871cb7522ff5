import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { memoryFile } from '../../weights/files/files.js';
import { blobFolder } from '../../weights/files/files-blob.js';
import { openCheckpoint } from '../../weights/formats/open.js';
import { openSafetensors } from '../../weights/formats/safetensors.js';
import { writeSafetensors } from '../../weights/formats/safetensors-write.js';
import { throws } from '../helpers.js';

const encode = (text: string) => new TextEncoder().encode(text);
const open = (bytes: Uint8Array) => openSafetensors(memoryFile('m.safetensors', bytes));

/** A file from its header, written down as it is, and so many data bytes. */
function file(header: unknown, dataBytes: number, { length }: { length?: bigint } = {}): Uint8Array {
  const json = encode(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}
const f32 = (shape: unknown, begin: unknown, end: unknown) => ({
  dtype: 'F32',
  shape,
  data_offsets: [begin, end],
});

test('what Python wrote is read: float64, float32, float16 and bfloat16, metadata', async () => {
  const path = new URL('../fixtures/weights/python.safetensors', import.meta.url);
  const tensors = await open(new Uint8Array(readFileSync(path)));
  assert.equal(tensors.metadata, { format: 'pt', 'made by': 'make.py' });
  assert.equal(tensors.names().sort(), ['bf16', 'f16', 'f32', 'f64']);
  assert.equal(tensors.shape('f16'), [2, 3]);
  const third = Math.fround(1 / 3);
  const tiny = Math.fround(6e-8);
  assert.equal([...(await tensors.read('f64'))], [0, -0, 1, third, -65504, tiny]);
  assert.equal([...(await tensors.read('f32'))], [0, -0, 1, third, -65504, tiny]);
  assert.equal([...(await tensors.read('f16'))], [0, -0, 1, 1365 / 4096, -65504, 2 ** -24]);
  assert.equal([...(await tensors.read('bf16'))], [0, -0, 1, 171 / 512, -65536, 129 * 2 ** -31]);
});

test('a written file is, byte for byte: length, JSON padded to 8, data', () => {
  const bytes = writeSafetensors(
    { a: { shape: [2], data: Float32Array.of(1, -2) }, 'b"': { shape: [], data: Int32Array.of(7) } },
    { metadata: { k: 'v' } },
  );
  const json =
    '{"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},' +
    '"b\\"":{"dtype":"I32","shape":[],"data_offsets":[8,12]}}';
  const padded = json.padEnd(Math.ceil(json.length / 8) * 8);
  const expected = [
    padded.length,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    ...encode(padded),
    0,
    0,
    128,
    63,
    0,
    0,
    0,
    192,
    7,
    0,
    0,
    0,
  ];
  assert.equal([...bytes], expected);
});

test('every dtype that is written is read back, aligned for its type', async () => {
  const tensors = {
    bytes: { shape: [3], data: Uint8Array.of(1, 2, 3) },
    '0': { shape: [1, 2], data: Float32Array.of(1.5, Number.NEGATIVE_INFINITY) },
    double: { shape: [1], data: Float64Array.of(0.1) },
    ids: { shape: [2], data: BigInt64Array.of(-1n, 5n) },
    none: { shape: [0, 4], data: new Float32Array(0) },
  };
  const read = await open(writeSafetensors(tensors));
  for (const [name, { dtype, offset, shape }] of read.tensors) {
    assert.equal(shape, tensors[name as keyof typeof tensors].shape);
    assert.is(offset % ({ F32: 4, F64: 8, I64: 8, U8: 1 } as Record<string, number>)[dtype], 0);
  }
  assert.equal(await read.read('0'), tensors['0'].data);
  assert.equal(await read.read('double'), Float32Array.of(0.1));
  assert.equal(new BigInt64Array((await read.readBytes('ids')).slice().buffer), tensors.ids.data);
  assert.equal((await read.read('none')).length, 0);
  await throws(read.read('bytes'), /m\.safetensors: tensor "bytes": U8 numbers; weights are read from F32/);
  await throws(read.read('x'), /no tensor "x"/);
});

test('float32 arrays can be stored as halves', async () => {
  const data = Float32Array.of(1 / 3, 3e-8, 70000, -1);
  for (const [dtype, expected] of [
    ['F16', [1365 / 4096, 2 ** -24, Infinity, -1]],
    ['BF16', [171 / 512, 129 * 2 ** -32, 70144, -1]],
  ] as const) {
    const read = await open(writeSafetensors({ x: { shape: [4], data } }, { dtype }));
    assert.equal([...(await read.read('x'))], expected);
  }
  assert.throws(
    () => writeSafetensors({ x: { shape: [3], data } }),
    /tensor "x": shape \[3\] needs 3 values, data has 4/,
  );
});

const good = { x: f32([2], 0, 8), y: f32([1], 8, 12) };
const malformed: [what: string, bytes: Uint8Array, error: RegExp][] = [
  ['an empty file', new Uint8Array(0), /0 bytes is too short/],
  [
    'a file cut inside its header',
    file(good, 12).slice(0, 40),
    /header needs \d+ bytes, the file has 40.*truncated/,
  ],
  [
    'a file cut inside its data',
    file(good, 12).slice(0, -1),
    /tensor "y": its data ends at byte \d+.*truncated/,
  ],
  [
    'an absurd header length',
    file(good, 12, { length: 2n ** 63n }),
    /header length 9223372036854775808 is impossible/,
  ],
  ['a header length of zero', file(good, 12, { length: 0n }), /header length 0 is impossible/],
  ['a header length beyond the file', file(good, 12, { length: 5000n }), /header needs 5008 bytes/],
  ['a header length one too long', file(good, 12, { length: 106n }), /the header is not JSON/],
  ['a header that is not JSON', file('{"x": hello}', 0), /m\.safetensors: the header is not JSON/],
  [
    'a header that is not UTF-8',
    file('{"x":"?"}', 0).map((b) => (b === 63 ? 0xff : b)),
    /the header is not JSON/,
  ],
  ['a header that is a list', file([1], 0), /not a JSON object/],
  ['an entry that is no object', file({ x: 3 }, 0), /tensor "x": its header entry is not an object/],
  [
    'an unknown dtype',
    file({ x: { ...good.x, dtype: 'F31' } }, 8),
    /tensor "x": unknown dtype "F31"; known are/,
  ],
  ['no dtype', file({ x: { shape: [2], data_offsets: [0, 8] } }, 8), /tensor "x": unknown dtype nothing/],
  ['a negative size', file({ x: f32([-2], 0, 8) }, 8), /tensor "x": shape \[-2\] is not a list of sizes/],
  ['a fractional size', file({ x: f32([0.5], 0, 2) }, 2), /tensor "x": shape \[0\.5\]/],
  ['a shape that is text', file({ x: f32('2', 0, 8) }, 8), /tensor "x": shape "2"/],
  [
    'shape and bytes that disagree',
    file({ x: f32([3], 0, 8) }, 8),
    /tensor "x": F32 \[3\] needs 12 bytes.*give 8/,
  ],
  ['a shape too large for any file', file({ x: f32([2 ** 40, 2 ** 40], 0, 8) }, 8), /tensor "x".*needs 4\.8/],
  ['offsets in reverse', file({ x: f32([2], 8, 0) }, 8), /tensor "x": data_offsets \[8, 0\]/],
  [
    'one offset',
    file({ x: { dtype: 'F32', shape: [2], data_offsets: [0] } }, 8),
    /tensor "x": data_offsets \[0\]/,
  ],
  ['offsets out of the file', file({ x: f32([2], 400, 408) }, 8), /tensor "x": its data ends at byte/],
  ['two tensors that overlap', file({ x: f32([2], 0, 8), y: f32([2], 4, 12) }, 12), /"x" and "y" overlap/],
  ['two tensors in the same place', file({ x: f32([2], 0, 8), y: f32([2], 0, 8) }, 8), /"x" and "y" overlap/],
  [
    'a hole',
    file({ x: f32([2], 0, 8), y: f32([1], 12, 16) }, 16),
    /4 bytes before tensor "y" belong to no tensor/,
  ],
  ['bytes after the last tensor', file(good, 13), /1 bytes after the last tensor/],
  [
    'the same name twice',
    file(`{"x":${JSON.stringify(good.x)},"\\u0078":${JSON.stringify(good.y)}}`, 12),
    /"x" appears twice/,
  ],
  [
    'metadata that is not text',
    file({ __metadata__: { a: 1 }, ...good }, 12),
    /__metadata__ must map names to texts/,
  ],
  [
    'a Git LFS pointer',
    encode(`version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}`),
    /git lfs pull/,
  ],
  [
    'a web page',
    encode('<!DOCTYPE html><html><body>Not found, sorry, nothing here.</body></html>'),
    /a web page/,
  ],
  ['a PyTorch file', encode(`PK\x03\x04${'x'.repeat(80)}`), /a PyTorch pickle: name it \.pth/],
];
for (const [what, bytes, error] of malformed) {
  test(`refused with the file's name: ${what}`, async () => {
    await throws(open(bytes), error);
    await throws(open(bytes), /^m\.safetensors: /);
  });
}

test('no single flipped bit in a header changes a dtype or a shape', async () => {
  const bytes = writeSafetensors({ w: { shape: [2, 3], data: new Float32Array(6) } });
  const headerEnd = bytes.length - 24;
  for (let bit = 0; bit < headerEnd * 8; bit++) {
    const flipped = bytes.slice();
    flipped[bit >> 3] ^= 1 << (bit & 7);
    const read = await open(flipped).catch((error: Error) => error.message);
    if (typeof read === 'string') assert.match(read, /^m\.safetensors: /);
    else for (const { shape, dtype } of read.tensors.values()) assert.equal([dtype, ...shape], ['F32', 2, 3]);
  }
});

const blobs = (files: Record<string, Uint8Array<ArrayBuffer> | string>) =>
  blobFolder(new Map(Object.entries(files).map(([name, data]) => [name, new Blob([data])])), 'folder');
const one = (name: string, value: number) =>
  writeSafetensors({ [name]: { shape: [1], data: Float32Array.of(value) } });
const INDEX = 'model.safetensors.index.json';

test('a checkpoint in shards is one set of tensors', async () => {
  const weight_map = { a: '1.safetensors', b: '2.safetensors' };
  const folder = blobs({
    '1.safetensors': one('a', 1),
    '2.safetensors': one('b', 2),
    [INDEX]: JSON.stringify({ metadata: { total_size: 8 }, weight_map }),
  });
  const tensors = await openCheckpoint(folder);
  assert.equal(tensors.names(), ['a', 'b']);
  assert.equal([...(await tensors.read('a')), ...(await tensors.read('b'))], [1, 2]);
  assert.is(tensors.file('b'), '2.safetensors');
  assert.is(tensors.shape('c'), undefined);
});

test('tensors of a shard that the index does not name are there too', async () => {
  const two = writeSafetensors({
    b: { shape: [1], data: Float32Array.of(2) },
    head: { shape: [1], data: Float32Array.of(3) },
  });
  const index = (map: object) => JSON.stringify({ weight_map: map });
  const shards = { '1.safetensors': one('a', 1), '2.safetensors': two, '3.safetensors': one('head', 4) };
  const all = { a: '1.safetensors', b: '2.safetensors' };
  const tensors = await openCheckpoint(blobs({ ...shards, [INDEX]: index(all) }));
  assert.equal(tensors.names(), ['a', 'b', 'head']);
  assert.equal([...(await tensors.read('head'))], [3]);
  const third = {
    '3.safetensors': writeSafetensors({
      c: { shape: [1], data: Float32Array.of(5) },
      head: { shape: [1], data: Float32Array.of(4) },
    }),
  };
  await throws(
    openCheckpoint(blobs({ ...shards, ...third, [INDEX]: index({ ...all, c: '3.safetensors' }) })),
    /tensor "head" is in 2\.safetensors and in 3\.safetensors, and the index names neither/,
  );
});

test('shards that do not fit their index are refused by name', async () => {
  const index = (weight_map: unknown) => JSON.stringify({ weight_map });
  const shard = { '1.safetensors': one('a', 1) };
  await throws(openCheckpoint(blobs({ ...shard, [INDEX]: '{' })), /index\.json: not JSON/);
  await throws(openCheckpoint(blobs({ ...shard, [INDEX]: '{}' })), /no "weight_map"/);
  await throws(
    openCheckpoint(blobs({ ...shard, [INDEX]: index({ a: '../x.safetensors' }) })),
    /tensor "a": "\.\.\/x\.safetensors" is not the name/,
  );
  await throws(
    openCheckpoint(blobs({ ...shard, [INDEX]: index({ a: '1.safetensors', b: '2.safetensors' }) })),
    /shard "2\.safetensors" is missing/,
  );
  await throws(
    openCheckpoint(blobs({ ...shard, [INDEX]: index({ a: '1.safetensors', b: '1.safetensors' }) })),
    /1\.safetensors: no tensor "b", which .*index\.json says is here/,
  );
});

test('a folder without weights says what was looked for', async () => {
  await throws(
    openCheckpoint(blobs({ 'config.json': '{}' })),
    /neither model\.safetensors nor model\.safetensors\.index/,
  );
});

test.run();
