/**
 * A model back to a checkpoint: tensors in the names and layout of its family, and the `config.json` beside
 * them.
 */

import type { Config } from '../config.js';
import type { Family } from '../families/family.js';
import { familyNamed } from '../families/index.js';
import type { FinalWeights, HostTensor, ModelWeights, NormWeights } from '../formats/types.js';
import { type NormPlace, normAt } from '../norm.js';
import type { Processing } from '../processing/processing.js';
import { blockTensors } from './save-block.js';

/** What to write: `model.safetensors` (`tensors`, `metadata`) and `config.json` (`config`). */
export interface Saveable {
  readonly tensors: Record<string, HostTensor>;
  /** For the header of the safetensors file; tells which processing the weights have gone through. */
  readonly metadata: Record<string, string>;
  readonly config: Record<string, unknown>;
}

/**
 * The checkpoint of a model. Where its family's architecture allows, Hugging Face's class loads it and
 * computes the same logits, of processed models too: folded norms get gain 1 and bias 0 (for the final one
 * see `unembedding`). A model that the family has no place for is saved in GPT-2's names with a `config.json`
 * in ours, which only Glassbox reads: toys (attention only, without norms, with SoLU or shortformer
 * positions), and processed models with biases where the family has none.
 */
export function saveable(weights: ModelWeights, config: Config, processing?: Processing): Saveable {
  const family = familyNamed(config.family)!;
  const fits = fitsFamily(weights, config, family);
  const named = fits ? family : familyNamed('gpt2')!;
  const { embed, blocks, final } = weights;
  const { tensors: names } = named;
  const tensors: Record<string, HostTensor> = {};
  const put = (name: string, tensor: HostTensor | null | undefined) => {
    if (tensor) tensors[name] = tensor;
  };
  put(`${names.prefix}${names.embed}.weight`, embed.W_E);
  put(`${names.prefix}${names.positions}.weight`, embed.W_pos);
  /** A norm as the family has it: with gain 1 and bias 0 where it was folded away. */
  const whole = (place: NormPlace, held: NormWeights | null, bias = 0): NormWeights | null => {
    const facts = normAt(config, place);
    if (held || !facts || !fits) return held;
    const { dModel } = config;
    return {
      w: constant(dModel, facts.gain === '1+w' ? 0 : 1),
      b: facts.kind === 'layer' ? constant(dModel, bias) : null,
    };
  };
  blocks.forEach((block, layer) => {
    const at = `${names.prefix}${names.block.replace('{}', String(layer))}`;
    const full = { ...block, ln1: whole('ln1', block.ln1), ln2: block.mlp && whole('ln2', block.ln2) };
    for (const [name, tensor] of blockTensors(full, config, names, fits)) put(`${at}${name}`, tensor);
  });

  const ownBias = headBias(named);
  const biasInNorm = fits && !ownBias && config.normalization === 'LNPre' && final.b_U !== null;
  const lnFinal = whole('ln_final', final.lnFinal, biasInNorm ? 1 : 0);
  put(`${names.prefix}${names.final}.weight`, lnFinal?.w);
  put(`${names.prefix}${names.final}.bias`, lnFinal?.b);
  const [head] = names.head;
  if (biasInNorm) put(`${head}.weight`, unembedding(final, embed.W_E));
  else {
    put(`${head}.weight`, final.W_U);
    put(`${head}.bias`, final.b_U ?? (fits && ownBias ? constant(config.dVocabOut, 0) : null));
  }

  const tied = !(`${head}.weight` in tensors);
  const steps = processing && Object.entries(processing).filter(([, done]) => done);
  return {
    tensors,
    // Hugging Face refuses files that do not say which framework's layout they have.
    metadata: {
      format: 'pt',
      ...(steps && { processing: steps.map(([step]) => step).join(', ') || 'none' }),
    },
    config: fits
      ? writtenConfig(config, family, tied)
      : { ...config, ...('tieWordEmbeddings' in config && { tieWordEmbeddings: tied }) },
  };
}

/** Whether a family's unembedding has a bias. */
const headBias = ({ headBias: has = false }: Family): boolean => has;

/** Whether the family's architecture can hold the model: its facts, and its biases. */
function fitsFamily({ blocks, final }: ModelWeights, config: Config, family: Family): boolean {
  const { normalization, finalRms, positionEmbedding, dModel, nHeads, dHead } = config;
  const { facts } = family;
  const special = config.attnOnly || finalRms || config.actFn.startsWith('solu') || normalization === 'none';
  const own = config.attentionDir === 'bidirectional' || config.dVocabOut !== config.dVocab;
  const kind = normalization.replace('Pre', '') === facts.normalization;
  if (special || own || !kind || positionEmbedding !== facts.positionEmbedding) return false;
  // Hugging Face's GPT-2 has heads that add up to the width, and none of the newer parts.
  const newer: readonly (keyof Config)[] = ['gatedMlp', 'sharedNorm', 'normPlaces', 'qkNorm', 'normGain'];
  const usual: Partial<Config> = { normPlaces: 'before', normGain: 'w' };
  if (family.name === 'gpt2') {
    const extended =
      config.windows || config.scoreScale || config.nKeyValueHeads !== nHeads || config.parallelAttnMlp;
    if (extended || nHeads * dHead !== dModel) return false;
    const given = { gatedMlp: false, sharedNorm: false, qkNorm: 'none', ...usual };
    if (newer.some((key) => config[key] !== given[key as keyof typeof given])) return false;
  }
  const zero = (b: HostTensor | null | undefined) => !b?.data.some((x) => x !== 0);
  const placed = blocks.every(
    ({ b_QKV, b_O, mlp }) =>
      (config.qkvBias || zero(b_QKV)) &&
      (config.outBias || zero(b_O)) &&
      (config.mlpBias || [mlp?.b_in, mlp?.b_gate, mlp?.b_out].every(zero)),
  );
  // With its own final norm there is no place for a bias of the unembedding, but where the head has one.
  const unbiased = headBias(family) || zero(final.b_U) || (!final.lnFinal && normalization === 'LNPre');
  return placed && unbiased;
}

/**
 * Most classes have no bias at its unembedding, so b_U goes into W_U. The final norm's output x has mean zero
 * before its own bias. With ones as that bias,
 *
 *     (x + 1)·W = x·W + Σ_i W[i]        and for  W = W_U − mean_i(W_U) + b_U / dModel  that is  x·W_U + b_U.
 *
 * Folding the norm on loading gives W_U (centred) and b_U back.
 */
function unembedding({ W_U, b_U }: FinalWeights, W_E: HostTensor): HostTensor {
  const { shape, data } = W_U ?? W_E;
  const [dVocab, dModel] = shape;
  const out = new Float32Array(data.length);
  for (let token = 0; token < dVocab; token++) {
    const row = token * dModel;
    let mean = 0;
    for (let i = 0; i < dModel; i++) mean += data[row + i];
    const shift = (b_U!.data[token] - mean) / dModel;
    for (let i = 0; i < dModel; i++) out[row + i] = data[row + i] + shift;
  }
  return { shape, data: out };
}

function writtenConfig(config: Config, family: Family, tied: boolean): Record<string, unknown> {
  return {
    architectures: [family.architectures[0]],
    model_type: family.name,
    ...family.write(config),
    bos_token_id: config.bosTokenId,
    eos_token_id: config.eosTokenIds.length > 1 ? config.eosTokenIds : config.eosTokenId,
    tie_word_embeddings: tied,
    torch_dtype: 'float32',
  };
}

function constant(size: number, value: number): HostTensor {
  return { shape: [size], data: new Float32Array(size).fill(value) };
}
