/** Which kernels a piece of work launches, with copies of their buffers: so that each can be timed alone. */

import type { Binding, Gpu } from '../../engine/gpu/gpu.js';
import type { Launch } from '../../kernels/core/kernel.js';
import { gatherStrided } from '../../kernels/index.js';

/** A launch of the work. */
export interface Recorded {
  readonly launch: Launch;
  /** Of its own memory, with what the buffers held when it was launched first. */
  readonly bindings: readonly Binding[];
  /** Of the buffers, those that were bound several times counted once. */
  readonly bytes: number;
  /** How often the work launches this kernel with these sizes. */
  times: number;
}

/** Runs f and gives its distinct launches. Whoever calls frees the bindings' buffers. */
export async function recordLaunches(gpu: Gpu, f: () => Promise<void>): Promise<Recorded[]> {
  const seen = new Map<string, Recorded>();
  const original = gpu.launch;
  const copied = ({ buffer, offset, bytes }: Binding): Binding => {
    const to = { buffer: gpu.alloc(bytes, 'bench', { exact: true }), offset: 0, bytes };
    const n = Math.ceil(bytes / 4);
    const launch = gatherStrided({ shape: [n], strides: [1], offset: 0 }, gpu.caps);
    original.call(gpu, launch, [{ buffer, offset, bytes }, to]);
    return to;
  };
  gpu.launch = (launch, bindings) => {
    const sizes = bindings.map((b) => b.bytes).join();
    const key = `${launch.kernel.name} ${launch.grid} ${sizes}`;
    const known = seen.get(key);
    if (known) known.times++;
    else seen.set(key, { launch, bindings: bindings.map(copied), bytes: bytesOf(bindings), times: 1 });
    original.call(gpu, launch, bindings);
  };
  try {
    await f();
    await gpu.finish();
  } finally {
    gpu.launch = original;
  }
  return [...seen.values()];
}

function bytesOf(bindings: readonly Binding[]): number {
  const most = new Map<number, number>();
  for (const { buffer, bytes } of bindings) most.set(buffer.id, Math.max(bytes, most.get(buffer.id) ?? 0));
  return [...most.values()].reduce((a, b) => a + b, 0);
}
