/** What the adapter can do at best: the measures of everything else. */

import type { Gpu } from '../../engine/gpu/gpu.js';
import { copyPeak, peak, peakFlops } from '../../kernels/core/peak.js';
import { fill } from '../../kernels/index.js';
import { binding, launchCandidate, type OwnedCandidate } from './buffers.js';
import type { Candidate } from './measure.js';
import type { Bench, Entry, Section } from './section.js';

/** Elements of the copy: 64 MiB, far more than any cache. */
const COPIED = 2 ** 24;
const DISPATCHES = 200;

/** The adapter's ceilings. */
export const ceilings: Section = {
  id: 'ceilings',
  title: "The adapter's ceilings",
  about: 'kernels that do nothing but multiply and add in registers, or copy 64 MiB; and what a launch costs',
  columns: () => [
    { key: 'gflops', label: 'GFLOPS' },
    { key: 'gbs', label: 'GB/s', digits: 2 },
    { key: 'us', label: 'µs' },
  ],
  async *run(b: Bench): AsyncGenerator<Entry> {
    const { gpu } = b;
    const fma = peakCandidate(gpu);
    const copy = copyCandidate(gpu);
    const little = binding(gpu, 4);
    const nothing = fill({ shape: [4], strides: [1], offset: 0, value: 0 }, gpu.caps);
    const dispatch = launchCandidate(gpu, nothing, [little]);
    const many: Candidate = { name: 'dispatches', run: (n) => dispatch.run(n * DISPATCHES) };
    const submit = repeated('submit and wait', () => dispatch.run(1));
    const read = repeated('read back', async () => void (await gpu.read(little)));
    const own: OwnedCandidate[] = [fma, copy, dispatch];
    try {
      const [f, c, d, s, r] = await b.measure([fma, copy, many, submit, read]);
      const gflops = fma.flops / b.ms(f) / 1e6;
      const gbs = copy.bytes / b.ms(c) / 1e6;
      b.ceilings = { gflops, gbs };
      const entry = (name: string, figures: Entry['figures'], samples: typeof f): Entry => ({
        section: 'ceilings',
        name,
        figures,
        samples: { ours: samples },
      });
      yield entry('multiply-add in registers', { gflops }, f);
      yield entry('copy, bytes read and written', { gbs }, c);
      yield entry('a dispatch of one workgroup, in a pass', { us: (1000 * b.ms(d)) / DISPATCHES }, d);
      yield entry('submit one dispatch and wait', { us: 1000 * b.ms(s) }, s);
      yield entry('read 16 bytes back', { us: 1000 * b.ms(r) }, r);
    } finally {
      for (const c of own) c.dispose();
    }
  },
};

/** Multiply-adds in registers: `flops` operations a repeat. */
export function peakCandidate(gpu: Gpu): OwnedCandidate & { flops: number } {
  const software = gpu.caps.adapterClass === 'software';
  const o = { groups: software ? 64 : 4096, steps: 8192 };
  const launch = peak(o, gpu.caps);
  return { ...launchCandidate(gpu, launch, [binding(gpu, 64 * o.groups)]), flops: peakFlops(o) };
}

/** A copy of 64 MiB: `bytes` read and written a repeat. */
export function copyCandidate(gpu: Gpu): OwnedCandidate & { bytes: number } {
  const buffers = [binding(gpu, COPIED), binding(gpu, COPIED)];
  return { ...launchCandidate(gpu, copyPeak({ n: COPIED }, gpu.caps), buffers), bytes: 8 * COPIED };
}

const repeated = (name: string, f: () => Promise<void>): Candidate => ({
  name,
  async run(repeats) {
    for (let i = 0; i < repeats; i++) await f();
  },
});
