/** A model of GPT-2 small's size with random weights, and the candidates that run it. */

import type { Gpu } from '../../engine/gpu.js';
import { HookedTransformer } from '../../hooks/model.js';
import { noise } from '../../kernels/kernel.js';
import {
  BLOCK_SHAPES,
  flops,
  ourProduct,
  type ProductCandidate,
  type Shape,
  SMALL,
  vocabularyChunk,
} from './kernels.js';
import type { Candidate } from './measure.js';

export interface RandomModel {
  readonly config: typeof SMALL & { nHeads: number; nCtx: number; eps: number };
  /** By Hugging Face's GPT-2 names. */
  readonly tensors: Record<string, { shape: number[]; data: Float32Array }>;
}

export function randomModel(): RandomModel {
  const config = { ...SMALL, nHeads: 12, nCtx: 1024, eps: 1e-5 };
  const { nLayers, dModel, dMlp, dVocab, nCtx } = config;
  const tensors: RandomModel['tensors'] = {};
  let seed = 0;
  const add = (name: string, shape: number[], scale: number, around = 0) => {
    const data = noise(
      shape.reduce((a, b) => a * b, 1),
      ++seed,
      scale,
    );
    if (around) for (let i = 0; i < data.length; i++) data[i] += around;
    tensors[name] = { shape, data };
  };
  const norm = (name: string) => {
    add(`${name}.weight`, [dModel], 0.1, 1);
    add(`${name}.bias`, [dModel], 0.1);
  };
  const layer = (name: string, inner: number, cols: number) => {
    add(`${name}.weight`, [inner, cols], 0.05);
    add(`${name}.bias`, [cols], 0.1);
  };
  add('wte.weight', [dVocab, dModel], 0.08);
  add('wpe.weight', [nCtx, dModel], 0.04);
  for (let l = 0; l < nLayers; l++) {
    norm(`h.${l}.ln_1`);
    layer(`h.${l}.attn.c_attn`, dModel, 3 * dModel);
    layer(`h.${l}.attn.c_proj`, dModel, dModel);
    norm(`h.${l}.ln_2`);
    layer(`h.${l}.mlp.c_fc`, dModel, dMlp);
    layer(`h.${l}.mlp.c_proj`, dMlp, dModel);
  }
  norm('ln_f');
  return { config, tensors };
}

/** Some tokens, all different. */
export const someTokens = (n: number): number[] =>
  Array.from({ length: n }, (_, i) => (i * 7919 + 464) % SMALL.dVocab);

/** The random model in Glassbox, unprocessed, so that it computes what jax-js does. */
export const load = ({ config, tensors }: RandomModel): Promise<HookedTransformer> =>
  HookedTransformer.fromWeights(config, tensors, {
    foldLn: false,
    centerWritingWeights: false,
    centerUnembed: false,
    foldValueBiases: false,
    hostWeights: false,
  });

/** `model.forward`, all logits, until the GPU is done; `result` reads them. */
export function ourForward(model: HookedTransformer, tokens: number[]): ProductCandidate {
  return {
    name: 'forward',
    async run(repeats) {
      for (let i = 0; i < repeats; i++) {
        const logits = await model.forward([tokens]);
        await model.gpu.finish();
        logits.dispose();
      }
    },
    async result() {
      using logits = await model.forward([tokens]);
      return (await logits.data()) as Float32Array;
    },
    dispose() {},
  };
}

/** `model.runWithCache`, every hook point that always exists, nothing read back. */
export function cachedForward(model: HookedTransformer, tokens: number[]): Candidate {
  return {
    name: 'runWithCache',
    async run(repeats) {
      for (let i = 0; i < repeats; i++) {
        const { logits, cache } = await model.runWithCache([tokens]);
        await model.gpu.finish();
        logits.dispose();
        cache.dispose();
      }
    },
  };
}

/** The matrix products of a forward pass, and nothing else. */
export function productsAlone(gpu: Gpu, rows: number): ProductCandidate & { flops: number } {
  const chunk = vocabularyChunk(gpu);
  const shapes: { shape: Shape; times: number }[] = BLOCK_SHAPES.map((s) => ({
    shape: { rows, ...s, unembed: false },
    times: SMALL.nLayers,
  }));
  for (let c = 0; c < SMALL.dVocab; c += chunk)
    shapes.push({
      shape: { rows, inner: SMALL.dModel, cols: Math.min(chunk, SMALL.dVocab - c), unembed: true },
      times: 1,
    });
  const parts = shapes.map(({ shape, times }) => ({ shape, times, product: ourProduct(gpu, shape) }));
  return {
    name: 'its matrix products',
    flops: parts.reduce((sum, { shape, times }) => sum + times * flops(shape), 0),
    async run(repeats) {
      for (let i = 0; i < repeats; i++)
        await Promise.all(parts.map(({ product, times }) => product.run(times)));
    },
    result: () => parts[0].product.result(),
    dispose() {
      for (const { product } of parts) product.dispose();
    },
  };
}
