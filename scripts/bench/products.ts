/** The matrix products of GPT-2, each against every peer. */

import type { Gpu } from '../../engine/gpu/gpu.js';
import { noise } from '../../kernels/core/kernel.js';
import { linear, unembed } from '../../kernels/index.js';
import { binding, type LaunchCandidate, launchCandidate, type OwnedCandidate } from './buffers.js';
import { geometricMean, ratio, type Sample } from './measure.js';
import type { Size } from './model.js';
import { contest } from './peers/peer.js';
import type { Bench, Entry, Section } from './section.js';

/** A matrix product: `linear` with bias, or (`unembed`) against W transposed, without. */
export interface Shape {
  readonly rows: number;
  readonly inner: number;
  readonly cols: number;
  readonly unembed: boolean;
}

/** A candidate with memory to give back and a result to compare. */
export interface ProductCandidate extends OwnedCandidate {
  result(): Promise<Float32Array>;
}

/** The products of one block, each of which a forward pass computes once a layer. */
export const blockShapes = ({ dModel, dMlp }: Size) => [
  { inner: dModel, cols: 3 * dModel },
  { inner: dModel, cols: dModel },
  { inner: dModel, cols: dMlp },
  { inner: dMlp, cols: dModel },
];

/** Columns of the vocabulary that fit one binding of this adapter. */
const vocabularyChunk = (gpu: Gpu, { dModel, dVocab }: Size): number =>
  Math.min(dVocab, Math.floor(gpu.adapter.maxBindingBytes / (4 * dModel)));

const shapeName = ({ rows, inner, cols, unembed }: Shape): string =>
  `${unembed ? 'unembed' : 'linear'} T=${rows} ${inner}×${cols}`;

/** A multiply-add counts as two. */
export const flops = ({ rows, inner, cols }: Shape): number => 2 * rows * inner * cols;

/** The same numbers for every contestant. */
export const operands = (s: Shape) => ({
  x: noise(s.rows * s.inner, 1, 0.5),
  w: noise(s.inner * s.cols, 2, 0.5),
  b: noise(s.cols, 3, 0.5),
});

/** Our kernel for a shape. */
export function ourProduct(
  gpu: Gpu,
  s: Shape,
  { x, w, b } = operands(s),
): ProductCandidate & LaunchCandidate {
  const y = binding(gpu, s.rows * s.cols);
  const bindings = [binding(gpu, x), binding(gpu, w), ...(s.unembed ? [] : [binding(gpu, b)]), y];
  const launch = s.unembed
    ? unembed({ ...s, col0: 0, stride: s.cols }, gpu.caps)
    : linear({ ...s, bias: true }, gpu.caps);
  const candidate = launchCandidate(gpu, launch, bindings);
  return {
    ...candidate,
    async result() {
      await candidate.run(1);
      return new Float32Array(await gpu.read(y));
    },
  };
}

/** All matrix products of a forward pass of `rows` tokens, and nothing else. */
export function productsAlone(gpu: Gpu, size: Size, rows: number): OwnedCandidate & { flops: number } {
  const chunk = vocabularyChunk(gpu, size);
  const parts: { shape: Shape; product: LaunchCandidate }[] = [];
  const add = (shape: Shape, times: number) => {
    const same = operands(shape);
    // Weights of its own for every layer: else they would stay in a cache, as a pass's do not.
    for (let i = 0; i < times; i++) parts.push({ shape, product: ourProduct(gpu, shape, same) });
  };
  for (const s of blockShapes(size)) add({ rows, ...s, unembed: false }, size.nLayers);
  for (let c = 0; c < size.dVocab; c += chunk)
    add({ rows, inner: size.dModel, cols: Math.min(chunk, size.dVocab - c), unembed: true }, 1);
  return {
    name: 'its matrix products',
    flops: parts.reduce((sum, { shape }) => sum + flops(shape), 0),
    async run(repeats) {
      for (let i = 0; i < repeats; i++) for (const { product } of parts) product.encode();
      await gpu.finish();
    },
    dispose() {
      for (const { product } of parts) product.dispose();
    },
  };
}

/** Matrix products. */
export const products: Section = {
  id: 'products',
  title: 'Matrix products with bias (linear) and against the embedding (unembed)',
  about: 'GFLOPS; behind each peer: how many times faster Glassbox is. Results are compared first',
  columns: (peers) => [
    { key: 'tile', label: 'kernel' },
    { key: 'ms', label: 'ms', digits: 2 },
    { key: 'gflops', label: 'GFLOPS', digits: 2 },
    { key: 'share', label: 'of peak', unit: ' %' },
    ...peers.flatMap(({ id, name }) => [
      { key: `${id}.gflops`, label: name, digits: 2 },
      { key: `${id}.times`, label: 'faster', digits: 2, unit: '×' },
    ]),
  ],
  async *run(b: Bench): AsyncGenerator<Entry> {
    const { size, tokens } = b.settings;
    for (const rows of tokens) {
      const own: Entry[] = [];
      for (const s of blockShapes(size)) {
        const entry = await product(b, { rows, ...s, unembed: false });
        own.push(entry);
        yield entry;
      }
      yield meanOf(b, `linear T=${rows}, geometric mean`, own);
      const cols = vocabularyChunk(b.gpu, size);
      yield product(b, { rows, inner: size.dModel, cols, unembed: true });
    }
  },
};

async function product(b: Bench, s: Shape): Promise<Entry> {
  const name = shapeName(s);
  const ours = ourProduct(b.gpu, s);
  const { candidates, failures, dispose } = await contest(
    name,
    ours,
    b.settings.peers,
    (peer) => peer.product(s),
    1e-5 * s.inner,
  );
  try {
    const [a, ...others] = await b.measure([ours, ...candidates.map((c) => c.candidate)]);
    const gflops = (samples: readonly Sample[]) => flops(s) / b.ms(samples) / 1e6;
    const figures: Record<string, number> = { ms: b.ms(a), gflops: gflops(a) };
    if (b.ceilings) figures.share = (100 * gflops(a)) / b.ceilings.gflops;
    const samples: Record<string, Sample[]> = { ours: a };
    candidates.forEach(({ peer: { id } }, i) => {
      figures[`${id}.gflops`] = gflops(others[i]);
      figures[`${id}.times`] = ratio(others[i], a, b.settings.clock);
      samples[id] = others[i];
    });
    const texts = { tile: ours.name.split('/')[1] };
    return { section: 'products', name, figures, texts, samples, failures };
  } finally {
    ours.dispose();
    dispose();
  }
}

function meanOf({ settings: { peers } }: Bench, name: string, entries: readonly Entry[]): Entry {
  const mean = (key: string) => geometricMean(entries.map((e) => e.figures[key]));
  const figures: Record<string, number> = { gflops: mean('gflops') };
  if (entries.every((e) => e.figures.share)) figures.share = mean('share');
  for (const { id } of peers)
    for (const key of [`${id}.gflops`, `${id}.times`])
      if (entries.every((e) => e.figures[key])) figures[key] = mean(key);
  return { section: 'products', name, figures };
}
