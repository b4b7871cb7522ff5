/** What is timed without a model: the adapter's ceilings, and the matrix products of GPT-2 small. */

import type { Binding, Gpu } from '../../engine/gpu.js';
import { gatherStrided, linear, unembed } from '../../kernels/index.js';
import { noise } from '../../kernels/kernel.js';
import { peak, peakFlops } from '../../kernels/peak.js';
import type { Candidate } from './measure.js';

/** A matrix product: `linear` with bias, or (`unembed`) against W transposed, without. */
export interface Shape {
  readonly rows: number;
  readonly inner: number;
  readonly cols: number;
  readonly unembed: boolean;
}

/** Sizes of GPT-2 small. */
export const SMALL = { nLayers: 12, dModel: 768, dMlp: 3072, dVocab: 50257 };

/** The products of one block of GPT-2 small, and how often a forward pass computes them. */
export const BLOCK_SHAPES = [
  { inner: 768, cols: 2304 },
  { inner: 768, cols: 768 },
  { inner: 768, cols: 3072 },
  { inner: 3072, cols: 768 },
] as const;

export const shapeName = ({ rows, inner, cols, unembed }: Shape): string =>
  `${unembed ? 'unembed' : 'linear'} T=${rows} ${inner}×${cols}`;

export const flops = ({ rows, inner, cols }: Shape): number => 2 * rows * inner * cols;

/** Columns of the vocabulary that fit one binding of this adapter. */
export const vocabularyChunk = (gpu: Gpu): number =>
  Math.min(SMALL.dVocab, Math.floor(gpu.adapter.maxBindingBytes / (4 * SMALL.dModel)));

/** The same numbers for every contestant. */
export const operands = (s: Shape) => ({
  x: noise(s.rows * s.inner, 1, 0.5),
  w: noise(s.inner * s.cols, 2, 0.5),
  b: noise(s.cols, 3, 0.5),
});

/** A candidate with memory to give back and a result to compare. */
export interface ProductCandidate extends Candidate {
  result(): Promise<Float32Array>;
  dispose(): void;
}

const binding = (gpu: Gpu, label: string, source: Float32Array | number): Binding => {
  const bytes = 4 * (typeof source === 'number' ? source : source.length);
  const buffer =
    typeof source === 'number'
      ? gpu.alloc(bytes, label, { exact: true })
      : gpu.upload(source, label, { exact: true });
  return { buffer, offset: 0, bytes };
};

/** Our kernel for a shape. */
export function ourProduct(gpu: Gpu, s: Shape): ProductCandidate {
  const { x, w, b } = operands(s);
  const bindings = [
    binding(gpu, 'bench X', x),
    binding(gpu, 'bench W', w),
    ...(s.unembed ? [] : [binding(gpu, 'bench b', b)]),
    binding(gpu, 'bench Y', s.rows * s.cols),
  ];
  const launch = s.unembed
    ? unembed({ ...s, col0: 0, stride: s.cols }, gpu.caps)
    : linear({ ...s, bias: true }, gpu.caps);
  return {
    name: launch.kernel.name,
    async run(repeats) {
      for (let i = 0; i < repeats; i++) gpu.launch(launch, bindings);
      await gpu.finish();
    },
    result: async () => new Float32Array(await gpu.read(bindings.at(-1)!)),
    dispose() {
      for (const { buffer } of bindings) gpu.free(buffer);
    },
  };
}

/** Multiply-adds in registers: `flops` operations a repeat. */
export function peakCandidate(gpu: Gpu): Candidate & { flops: number; dispose(): void } {
  const o =
    gpu.caps.adapterClass === 'software' ? { groups: 64, steps: 8192 } : { groups: 4096, steps: 8192 };
  const y = binding(gpu, 'bench Y', 64 * o.groups);
  return {
    name: 'multiply-adds in registers',
    flops: peakFlops(o),
    async run(repeats) {
      for (let i = 0; i < repeats; i++) gpu.launch(peak(o, gpu.caps), [y]);
      await gpu.finish();
    },
    dispose: () => gpu.free(y.buffer),
  };
}

/** A copy of 64 MiB, one element a thread: `bytes` read and written a repeat. */
export function copyCandidate(gpu: Gpu): Candidate & { bytes: number; dispose(): void } {
  const n = 2 ** 24;
  const launch = gatherStrided({ shape: [n], strides: [1], offset: 0 }, gpu.caps);
  const [from, to] = [binding(gpu, 'bench from', n), binding(gpu, 'bench to', n)];
  return {
    name: 'copy',
    bytes: 8 * n,
    async run(repeats) {
      for (let i = 0; i < repeats; i++) gpu.launch(launch, [from, to]);
      await gpu.finish();
    },
    dispose() {
      gpu.free(from.buffer);
      gpu.free(to.buffer);
    },
  };
}
