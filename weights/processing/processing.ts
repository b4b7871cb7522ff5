/**
 * The five ways in which TransformerLens rewrites weights on loading so that a model is easier to read and
 * computes the same log probabilities. Formulas and order are TransformerLens'
 * (`load_and_process_state_dict`); sums are taken in float64.
 *
 * 1. `foldLn`: a norm's gain and bias move into the weights that read from it (`foldNorm` in norm.ts).
 * 2. `centerWritingWeights`: every vector that is written to the residual stream has mean zero.
 * 3. `centerUnembed`: the logits have mean zero over the vocabulary.
 * 4. `foldValueBiases`: the value biases move into the attention's output bias.
 * 5. `refactorFactoredAttnMatrices`: W_Q·W_Kᵀ and W_V·W_O are factored again, by SVD.
 *
 * The functions return new weights and leave their arguments alone; what a step does not change is shared.
 */

import { boolean, type Kind } from '../checks/kinds.js';
import type { Config } from '../config.js';
import type { BlockWeights, EmbedWeights, FinalWeights, HostTensor } from '../formats/types.js';
import { canFold, foldNorm, hasNorms, ignoresMeans, type NormFacts, normAt } from '../norm.js';
import { refactorBlock } from './refactor.js';

/** Which of the five steps are taken; TransformerLens' flags in camelCase. */
export interface Processing {
  readonly foldLn: boolean;
  readonly centerWritingWeights: boolean;
  readonly centerUnembed: boolean;
  readonly foldValueBiases: boolean;
  readonly refactorFactoredAttnMatrices: boolean;
}

/** What these flags may be. */
export const PROCESSING = {
  foldLn: boolean,
  centerWritingWeights: boolean,
  centerUnembed: boolean,
  foldValueBiases: boolean,
  refactorFactoredAttnMatrices: boolean,
} satisfies Record<keyof Processing, Kind>;

/** TransformerLens' defaults: all but the refactoring. */
export const defaultProcessing: Processing = {
  foldLn: true,
  centerWritingWeights: true,
  centerUnembed: true,
  foldValueBiases: true,
  refactorFactoredAttnMatrices: false,
};

/** The checkpoint's weights as they are. */
export const noProcessing: Processing = {
  foldLn: false,
  centerWritingWeights: false,
  centerUnembed: false,
  foldValueBiases: false,
  refactorFactoredAttnMatrices: false,
};

/** The steps that were taken, and why others that were asked for were not, or not everywhere. */
export interface Processed extends Processing {
  /**
   * By step, why; empty where all that was asked for was done. Not listed among the flags (not enumerable).
   */
  readonly skipped: Readonly<Partial<Record<keyof Processing, string>>>;
}

/**
 * The steps that are taken of those that are asked for: those that leave what the model computes as it is, as
 * in TransformerLens' `from_pretrained`.
 *
 * - `foldLn`: without norms there is nothing to fold. Norms behind attention and MLP, and those of queries
 *   and keys, keep their gains: nothing linear reads them.
 * - `centerWritingWeights`: only where every norm that reads the residual stream takes the mean off.
 * - `centerUnembed`: not under a soft cap of the logits, which notices that they all move.
 * - `refactorFactoredAttnMatrices`: QK only with learned positions and without norms of queries and keys; OV
 *   only where every head has values of its own.
 *
 * Shortformer models add position embeddings behind the first norm: nothing is folded or centred.
 */
export function possibleSteps(config: Config, wanted: Processing): Processed {
  const { positionEmbedding, normPlaces, outputLogitsSoftCap } = config;
  const shortformer = positionEmbedding === 'shortformer';
  const between = 'positions are added between the first norm and attention (shortformer)';
  const why: Partial<Record<keyof Processing, string | null>> = {
    foldLn: shortformer
      ? between
      : hasNorms(config)
        ? normPlaces === 'before'
          ? null
          : normPlaces === 'behind'
            ? 'ln1 and ln2 stand behind attention and MLP, and nothing linear reads them; ln_final is folded'
            : 'ln1_post and ln2_post stand behind attention and MLP, and nothing linear reads them; the others are folded'
        : 'the model has no norms',
    centerWritingWeights: shortformer
      ? between
      : ignoresMeans(config)
        ? null
        : 'a norm that reads the residual stream does not take the mean off, so the mean counts',
    centerUnembed: shortformer
      ? between
      : outputLogitsSoftCap === null
        ? null
        : 'the soft cap of the logits is not the same for logits that are all moved',
    refactorFactoredAttnMatrices: refactorLimits(config),
  };
  const skipped: Partial<Record<keyof Processing, string>> = {};
  for (const [step, reason] of Object.entries(why) as [keyof Processing, string | null][])
    if (wanted[step] && reason !== null) skipped[step] = reason;
  const { queryKey, outputValue } = refactors(config);
  const taken = {
    foldLn: wanted.foldLn && hasNorms(config) && !shortformer,
    centerWritingWeights: wanted.centerWritingWeights && why.centerWritingWeights === null,
    centerUnembed: wanted.centerUnembed && why.centerUnembed === null,
    foldValueBiases: wanted.foldValueBiases,
    refactorFactoredAttnMatrices: wanted.refactorFactoredAttnMatrices && (queryKey || outputValue),
  };
  return Object.defineProperty(taken, 'skipped', { value: skipped }) as Processed;
}

/** No step taken of those that are asked for, for one reason. */
export function unprocessed(wanted: Processing, reason: string): Processed {
  const asked = Object.entries(wanted).flatMap(([step, on]) => (on ? [[step, reason]] : []));
  const skipped = Object.fromEntries(asked) as Processed['skipped'];
  return Object.defineProperty({ ...noProcessing }, 'skipped', { value: skipped }) as Processed;
}

/** Which products of a head may be factored again, and why others may not. */
function refactors({ positionEmbedding, qkNorm, nHeads, nKeyValueHeads }: Config) {
  const own = nHeads === nKeyValueHeads;
  const turn = positionEmbedding === 'rotary' || positionEmbedding === 'shortformer';
  const reasons = [
    ...(qkNorm !== 'none' ? ['norms stand between W_Q and W_K'] : []),
    ...(turn ? [`positions (${positionEmbedding}) stand between W_Q and W_K`] : []),
    ...(own ? [] : ['heads share W_K and W_V']),
  ];
  return { queryKey: own && !turn && qkNorm === 'none', outputValue: own, reasons };
}

function refactorLimits(config: Config): string | null {
  const { reasons } = refactors(config);
  return reasons.length ? reasons.join(', and ') : null;
}

/** The configuration of the processed model: folding turns `LN` into `LNPre`, and `RMS` into `RMSPre`. */
export function processedConfig(config: Config, processing: Processing): Config {
  const { foldLn } = possibleSteps(config, processing);
  const { normalization } = config;
  if (!foldLn || (normalization !== 'LN' && normalization !== 'RMS')) return config;
  return { ...config, normalization: `${normalization}Pre` };
}

/** The embedding, processed. */
export function processEmbed(embed: EmbedWeights, config: Config, processing: Processing): EmbedWeights {
  return possibleSteps(config, processing).centerWritingWeights ? centerEmbed(embed) : embed;
}

/** One block, processed: the steps in TransformerLens' order. */
export function processBlock(block: BlockWeights, config: Config, processing: Processing): BlockWeights {
  const steps = possibleSteps(config, processing);
  let out = block;
  if (steps.foldLn) out = foldLnBlock(out, config);
  if (steps.foldLn && config.actFn === 'solu_ln') out = foldMlpLn(out, config);
  if (steps.centerWritingWeights) out = centerWritingBlock(out);
  if (steps.foldValueBiases) out = foldValueBiasesBlock(out, config);
  if (steps.refactorFactoredAttnMatrices)
    out = refactorBlock(foldValueBiasesBlock(out, config), config, refactors(config));
  return out;
}

/** The final norm and unembedding, processed. Give W_U itself, not null, where `readsOwnUnembed`. */
export function processFinal(final: FinalWeights, config: Config, processing: Processing): FinalWeights {
  const steps = possibleSteps(config, processing);
  let out = final;
  if (steps.foldLn) out = foldLnFinal(out, normAt(config, 'ln_final'));
  if (steps.centerUnembed) out = centerUnembedFinal(out);
  return out;
}

/** Whether processing makes W_U differ from W_E, so that a tied model needs both. */
export function readsOwnUnembed(config: Config, processing: Processing): boolean {
  const { foldLn, centerWritingWeights, centerUnembed } = possibleSteps(config, processing);
  return foldLn || centerWritingWeights || centerUnembed;
}

// ---- 1. foldLn
// -------------------------------------------------------------------------------------------------

/** A block without weights of ln1 and ln2: their gains and biases are in the weights that read from them. */
export function foldLnBlock(block: BlockWeights, config: Config): BlockWeights {
  if (!canFold(config, 'ln1')) return block;
  const { mlp, ln1 } = block;
  const attn = foldNorm(normAt(config, 'ln1'), ln1, { W: block.W_QKV, b: block.b_QKV });
  const [facts, weights] = config.sharedNorm
    ? [normAt(config, 'ln1'), ln1]
    : [normAt(config, 'ln2'), block.ln2];
  const into = (W: HostTensor, b: HostTensor | null) => foldNorm(facts, weights, { W, b });
  const linear = mlp && into(mlp.W_in, mlp.b_in);
  const gate = mlp?.W_gate ? into(mlp.W_gate, mlp.b_gate ?? null) : null;
  return {
    ...block,
    ln1: null,
    W_QKV: attn.W,
    b_QKV: attn.b,
    ln2: null,
    mlp: mlp &&
      linear && {
        ...mlp,
        W_in: linear.W,
        b_in: linear.b,
        ...(gate && { W_gate: gate.W, b_gate: gate.b }),
      },
  };
}

/** A block whose MLP's own norm (SoLU models) is in W_out and b_out. */
export function foldMlpLn(block: BlockWeights, config: Config): BlockWeights {
  const { mlp } = block;
  if (!mlp) return block;
  const { W, b } = foldNorm(normAt(config, 'mlp.ln'), mlp.ln ?? null, { W: mlp.W_out, b: mlp.b_out });
  return { ...block, mlp: { ...mlp, ln: null, W_out: W, b_out: b } };
}

/**
 * The unembedding with the final norm folded in. Behind a final RMS norm no mean is taken off
 * (TransformerLens takes it off, which changes the predictions).
 */
export function foldLnFinal({ lnFinal, W_U, b_U }: FinalWeights, norm: NormFacts | null): FinalWeights {
  const { W, b } = foldNorm(norm, lnFinal, { W: ownUnembed(W_U), b: b_U, transposed: true });
  return { lnFinal: null, W_U: W, b_U: b };
}

// ---- 2. centerWritingWeights
// -----------------------------------------------------------------------------------

/** W_E and W_pos: each row − its mean over dModel. */
export function centerEmbed({ W_E, W_pos }: EmbedWeights): EmbedWeights {
  return { W_E: centerRows(W_E), W_pos: W_pos && centerRows(W_pos) };
}

/** W_O and W_out: each row − its mean over dModel; b_O and b_out − their mean. */
export function centerWritingBlock(block: BlockWeights): BlockWeights {
  const { mlp } = block;
  return {
    ...block,
    W_O: centerRows(block.W_O),
    b_O: block.b_O && centerRows(block.b_O),
    mlp: mlp && { ...mlp, W_out: centerRows(mlp.W_out), b_out: mlp.b_out && centerRows(mlp.b_out) },
  };
}

/** Takes the mean over the last axis off. */
function centerRows({ shape, data }: HostTensor): HostTensor {
  const width = shape[shape.length - 1];
  const out = new Float32Array(data.length);
  for (let row = 0; row < data.length; row += width) {
    let mean = 0;
    for (let i = 0; i < width; i++) mean += data[row + i];
    mean /= width;
    for (let i = 0; i < width; i++) out[row + i] = data[row + i] - mean;
  }
  return { shape, data: out };
}

// ---- 3. centerUnembed
// ------------------------------------------------------------------------------------------

/**
 * W_U[t,i] −= mean_t W_U[t,i] and b_U −= mean(b_U): all logits of a position move together, which softmax
 * ignores.
 */
export function centerUnembedFinal({ lnFinal, W_U, b_U }: FinalWeights): FinalWeights {
  const { shape, data } = ownUnembed(W_U);
  const [dVocab, dModel] = shape;
  const mean = new Float64Array(dModel);
  for (let at = 0; at < data.length; ) for (let i = 0; i < dModel; i++, at++) mean[i] += data[at];
  for (let i = 0; i < dModel; i++) mean[i] /= dVocab;
  const centred = new Float32Array(data.length);
  for (let at = 0; at < data.length; )
    for (let i = 0; i < dModel; i++, at++) centred[at] = data[at] - mean[i];
  return { lnFinal, W_U: { shape, data: centred }, b_U: b_U && centerRows(b_U) };
}

function ownUnembed(W_U: HostTensor | null): HostTensor {
  if (!W_U) throw new Error('processing the unembedding needs W_U itself; pass W_E for a tied model');
  return W_U;
}

// ---- 4. foldValueBiases
// ----------------------------------------------------------------------------------------

/**
 * b_O[i] += Σ_{h,k} b_V[h,k]·W_O[h,k,i], then b_V = 0; heads that share values have the same b_V. Valid
 * because each row of an attention pattern sums to one; a hook that changes patterns so that they do not will
 * see a difference.
 */
export function foldValueBiasesBlock(block: BlockWeights, config: Config): BlockWeights {
  const { W_O, b_QKV, b_O } = block;
  const { dHead, nHeads, nKeyValueHeads } = config;
  const [dAttn, dModel] = W_O.shape;
  if (!b_QKV) return block;
  const first = dAttn + nKeyValueHeads * dHead;
  const values = b_QKV.data.subarray(first);
  if (values.every((value) => value === 0)) return block;
  const sum = b_O ? Float64Array.from(b_O.data) : new Float64Array(dModel);
  const group = nHeads / nKeyValueHeads;
  for (let head = 0, at = 0; head < nHeads; head++)
    for (let k = 0; k < dHead; k++) {
      const value = values[Math.floor(head / group) * dHead + k];
      for (let i = 0; i < dModel; i++, at++) sum[i] += value * W_O.data[at];
    }
  const b = b_QKV.data.slice();
  b.fill(0, first);
  return {
    ...block,
    b_QKV: { shape: b_QKV.shape, data: b },
    b_O: { shape: [dModel], data: Float32Array.from(sum) },
  };
}
