/** A model with random weights, of GPT-2 small's size or another, and the candidates that run it. */

import type { AdapterChoice } from '../../engine/gpu/adapter.js';
import { HookedTransformer } from '../../hooks/transformer/model.js';
import { noise } from '../../kernels/core/kernel.js';
import type { Candidate } from './measure.js';
import type { ProductCandidate } from './products.js';

/** Sizes of a model. */
export interface Size {
  readonly name: string;
  readonly nLayers: number;
  readonly dModel: number;
  readonly nHeads: number;
  readonly dMlp: number;
  readonly dVocab: number;
  readonly nCtx: number;
}

/** GPT-2 small. */
export const SMALL: Size = {
  name: 'GPT-2 small',
  nLayers: 12,
  dModel: 768,
  nHeads: 12,
  dMlp: 3072,
  dVocab: 50257,
  nCtx: 1024,
};

/** A model on the host. */
export interface RandomModel {
  readonly config: Size & { readonly eps: number };
  /** By Hugging Face's GPT-2 names. */
  readonly tensors: Readonly<Record<string, { readonly shape: number[]; readonly data: Float32Array }>>;
}

/** Random weights of that size. */
export function randomModel(size: Size): RandomModel {
  const { nLayers, dModel, dMlp, dVocab, nCtx } = size;
  const tensors: Record<string, { shape: number[]; data: Float32Array }> = {};
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
  return { config: { ...size, eps: 1e-5 }, tensors };
}

/** Some tokens, all different where the vocabulary allows it. */
export const someTokens = (n: number, dVocab: number): number[] =>
  Array.from({ length: n }, (_, i) => (i * 7919 + 464) % dVocab);

/** The random model in Glassbox, unprocessed, so that it computes what the peers do. */
export const loadRandom = (
  { config, tensors }: RandomModel,
  adapter: AdapterChoice | GPUDevice = 'auto',
): Promise<HookedTransformer> =>
  HookedTransformer.fromWeights(config, tensors, {
    adapter,
    foldLn: false,
    centerWritingWeights: false,
    centerUnembed: false,
    foldValueBiases: false,
    hostWeights: false,
  });

/** `model.forward`, all logits, until the GPU is done; `result` reads them. */
export function ourForward(model: HookedTransformer, tokens: number[]): ProductCandidate {
  return {
    name: 'Glassbox',
    async run(repeats) {
      for (let i = 0; i < repeats; i++) {
        using _logits = await model.forward([tokens]);
        await model.gpu.finish();
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
