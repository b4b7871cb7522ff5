/** GPU memory for launches that are timed without a model. */

import type { Binding, Gpu } from '../../engine/gpu/gpu.js';
import type { Launch } from '../../kernels/core/kernel.js';
import type { Candidate } from './measure.js';

/** A candidate with memory to give back. */
export interface OwnedCandidate extends Candidate {
  dispose(): void;
}

/** A buffer with the given contents, or of so many elements. */
export function binding(gpu: Gpu, source: Float32Array | Uint32Array | number): Binding {
  const bytes = 4 * (typeof source === 'number' ? source : source.length);
  const buffer =
    typeof source === 'number'
      ? gpu.alloc(bytes, 'bench', { exact: true })
      : gpu.upload(source, 'bench', { exact: true });
  return { buffer, offset: 0, bytes };
}

/** A candidate that is one launch. */
export interface LaunchCandidate extends OwnedCandidate {
  /** Encodes it once, among others. */
  encode(): void;
}

/** One launch, again and again, on bindings that go with it. */
export const launchCandidate = (
  gpu: Gpu,
  launch: Launch,
  bindings: readonly Binding[],
  name = launch.kernel.name,
): LaunchCandidate => {
  const encode = () => gpu.launch(launch, bindings);
  return {
    name,
    encode,
    async run(repeats) {
      for (let i = 0; i < repeats; i++) encode();
      await gpu.finish();
    },
    dispose() {
      for (const { buffer } of bindings) gpu.free(buffer);
    },
  };
};
