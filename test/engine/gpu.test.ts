/** What can go wrong with a GPU ends in an error with the remedy; what goes right leaves nothing running. */

import { spawnSync } from 'node:child_process';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Gpu, HookedTransformer } from '../../index.js';
import { define } from '../../kernels/core/kernel.js';
import { twoLayers as config, randomGpt2, throws } from '../helpers.js';

/** A device of our own: the shared one must outlive these tests. */
async function ownDevice(): Promise<GPUDevice> {
  const { gpuProvider, requestDevice } = await import('../../engine/gpu/adapter.js');
  return requestDevice(await gpuProvider().requestAdapter('auto'));
}

const binding = (buffer: ReturnType<Gpu['alloc']>, bytes: number) => ({ buffer, offset: 0, bytes });

test('a shader error names the kernel and its line, and the device works on', async () => {
  const gpu = await Gpu.open(await ownDevice());
  const wrong = define('test/wrong', () => ({
    access: ['write'],
    params: {},
    code: '@compute @workgroup_size(1) fn main() { let a: u32 = 1.5; }',
  }));
  const b = gpu.upload(Float32Array.of(1, 2), 'numbers');
  gpu.launch({ kernel: wrong, params: {}, grid: [1, 1, 1] }, [binding(b, 8)]);
  await throws(() => gpu.read(binding(b, 8)), /compiling kernel test\/wrong.*let a: u32 = 1\.5/s);
  assert.equal(new Float32Array(await gpu.read(binding(b, 8))), Float32Array.of(1, 2));
  gpu.destroy();
});

test('more memory than there is: an error that says how much was in use and what to do', async () => {
  const gpu = await Gpu.open(await ownDevice());
  const huge = 2 ** 50;
  await throws(
    () => gpu.alloc(huge, 'everything'),
    /everything needs a buffer of .* this adapter allows .*fewer or shorter rows/,
  );
  gpu.destroy();
});

test('a lost device rejects what waits for it, and every later call, and says what to do', async () => {
  const gpu = await Gpu.open(await ownDevice());
  const device = await ownDevice();
  const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 1), { adapter: device });
  const logits = await model.forward([1, 2, 3]);
  const reading = logits.data();
  device.destroy();
  await throws(reading, /device was lost.*load the model again/);
  await throws(() => model.forward([1, 2, 3]), /device was lost.*load the model again/);
  gpu.destroy();
});

test('a user may bring a GPUDevice', async () => {
  const device = await ownDevice();
  const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 1), { adapter: device });
  const shared = await HookedTransformer.fromWeights(config, randomGpt2(config, 1));
  assert.equal(await model.logProbs([[1, 2, 3]]), await shared.logProbs([[1, 2, 3]]));
  assert.ok(model.gpu !== shared.gpu);
  device.destroy();
  shared.dispose();
});

/** Runs a program in a fresh process, which must end by itself. */
function child(code: string, env: Record<string, string> = {}) {
  return spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
    cwd: new URL('../..', import.meta.url),
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: 60_000,
  });
}

const run = `
  const { HookedTransformer } = await import('./index.ts');
  const { randomGpt2 } = await import('./test/helpers.ts');
  const config = ${JSON.stringify(config)};
  const model = await HookedTransformer.fromWeights(config, randomGpt2(config, 1));
  console.log(await model.loss([[1, 2, 3, 4]]));`;

test('when the work is done the process exits by itself, and the library has printed nothing', () => {
  const { status, stdout, stderr } = child(run);
  assert.is(status, 0, stderr);
  assert.match(stdout, /^\d+\.\d+\n$/);
  const ofDawn = /^Warning: max\w+ artificially reduced from .*\n/gm; // it says so itself, of lavapipe's limits
  assert.is(stderr.replace(ofDawn, ''), '');
});

test('an adapter that is not there is an error of one sentence, with the remedy', () => {
  const { status, stdout, stderr } = child(run, { GLASSBOX_ADAPTER: 'hardware' });
  if (status === 0)
    assert.match(stdout, /\d/); // this machine has a GPU
  else assert.match(stderr, /adapter "hardware": .*npm install --save-dev @sparticuz\/chromium/);
});

test('a misspelt GLASSBOX_ADAPTER is an error that lists the GPUs and the words', () => {
  const { status, stderr } = child(run, { GLASSBOX_ADAPTER: 'fast' });
  assert.is(status, 1);
  assert.match(
    stderr,
    /GLASSBOX_ADAPTER="fast": adapter "fast": no GPU has that in its name: 0 .*; or one of auto, hardware, software, opengles/,
  );
});

test.run();
