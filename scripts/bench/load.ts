/** From nothing to the first logits: reading, uploading, compiling. */

import { gpuProvider, requestDevice } from '../../engine/gpu/adapter.js';
import { HookedTransformer } from '../../hooks/transformer/model.js';
import { median } from './measure.js';
import { loadRandom, someTokens } from './model.js';
import type { Bench, Entry, Section } from './section.js';

/** Loading and compiling. */
export const load: Section = {
  id: 'load',
  title: 'Loading, on a fresh device',
  about:
    'elapsed ms, medians. device: opening it; load: reading, processing and uploading; compile: what the first pass takes longer than the next',
  columns: () => [
    { key: 'device', label: 'device', digits: 0 },
    { key: 'load', label: 'load', digits: 0 },
    { key: 'mib', label: 'MiB', digits: 0 },
    { key: 'first', label: 'first pass', digits: 0 },
    { key: 'next', label: 'next pass', digits: 1 },
    { key: 'compile', label: 'compile', digits: 0 },
    { key: 'pipelines', label: 'pipelines', digits: 0 },
  ],
  async *run(b: Bench): AsyncGenerator<Entry> {
    const { rounds, size, quick } = b.settings;
    const random = b.random();
    const times = quick ? 1 : Math.min(rounds, 3);
    yield medianOf('the shipped model', times, (device) =>
      HookedTransformer.fromPretrained('tiny', { adapter: device }),
    );
    yield medianOf(`${size.name}, from arrays`, times, (device) => loadRandom(random, device));
  },
};

async function medianOf(
  name: string,
  times: number,
  open: (device: GPUDevice) => Promise<HookedTransformer>,
): Promise<Entry> {
  const all: Record<string, number>[] = [];
  for (let i = 0; i < times; i++) all.push(await once(open));
  const figures = Object.fromEntries(Object.keys(all[0]).map((key) => [key, median(all.map((a) => a[key]))]));
  return { section: 'load', name, figures };
}

async function once(
  open: (device: GPUDevice) => Promise<HookedTransformer>,
): Promise<Record<string, number>> {
  const timed = async <T>(f: () => Promise<T>): Promise<[T, number]> => {
    const start = performance.now();
    return [await f(), performance.now() - start];
  };
  const [gpuDevice, device] = await timed(async () =>
    requestDevice(await gpuProvider().requestAdapter('auto')),
  );
  try {
    const [model, load] = await timed(() => open(gpuDevice));
    const { gpu, config } = model;
    const mib = gpu.memory().bytes / 2 ** 20;
    const input = [someTokens(15, config.dVocab)];
    const pass = async () => {
      using _logits = await model.forward(input);
      await gpu.finish();
    };
    const [, first] = await timed(pass);
    const { pipelines } = gpu.stats;
    const next: number[] = [];
    for (let i = 0; i < 3; i++) next.push((await timed(pass))[1]);
    model.dispose();
    return { device, load, mib, first, next: median(next), compile: first - median(next), pipelines };
  } finally {
    gpuDevice.destroy();
  }
}
