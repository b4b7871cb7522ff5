/**
 * All kernels: their launch functions for the engine, and their families for whoever checks them.
 */

import { attentionBackwardFamily } from './attention/attention-backward-examples.js';
import { attentionFamily } from './attention/attention-examples.js';
import { keySwapFamily } from './attention/key-swap.js';
import { rotaryFamily } from './attention/rotary.js';
import type { Family } from './core/kernel.js';
import { peakFamily } from './core/peak.js';
import { copyFamily } from './memory/copy.js';
import { editFamily } from './memory/edit.js';
import { embedFamily } from './memory/embed.js';
import { gatherFamily } from './memory/gather.js';
import { scatterAddFamily } from './memory/scatter-add.js';
import { activationFamily } from './pointwise/activation.js';
import { activationBackwardFamily } from './pointwise/activation-backward.js';
import { addStridedFamily } from './pointwise/add-strided.js';
import { columnSumsFamily } from './pointwise/column-sums.js';
import { elementwiseFamily } from './pointwise/elementwise.js';
import { gatedFamily } from './pointwise/gated.js';
import { layernormFamily } from './pointwise/layernorm.js';
import { layernormBackwardFamily } from './pointwise/layernorm-backward.js';
import { reduceFamily } from './pointwise/reduce.js';
import { reduceBackwardFamily } from './pointwise/reduce-backward.js';
import { scanFamily } from './pointwise/scan.js';
import { softCapFamily } from './pointwise/soft-cap.js';
import { softmaxFamily } from './pointwise/softmax.js';
import { headMatmulFamily } from './products/head-matmul.js';
import { linearBackwardFamily } from './products/linear-backward.js';
import { matmulFamily } from './products/matmul.js';
import { productsBackwardFamily } from './products/products-backward.js';
import { quantisedFamily } from './products/quantised.js';
import { stridedMatmulFamily } from './products/strided-matmul.js';
import { muonFamily } from './training/muon.js';
import { optimizerFamily } from './training/optimizer.js';
import { crossEntropyBackwardFamily } from './vocabulary/cross-entropy-backward.js';
import { divergenceFamily } from './vocabulary/divergence.js';
import { notFiniteFamily } from './vocabulary/not-finite.js';
import { pickFamily } from './vocabulary/pick.js';
import { sortFamily } from './vocabulary/sort.js';
import { topkFamily } from './vocabulary/topk.js';
import { vocabularyFamily } from './vocabulary/vocabulary.js';

export { attentionLayout, pattern, scores, storeKv, weightedValues } from './attention/attention.js';
export {
  keyGradient,
  patternGradient,
  queryGradient,
  scoresGradient,
  valueGradient,
} from './attention/attention-backward.js';
export { fusedAttention } from './attention/attention-fused.js';
export { fusedKeyGradient, fusedQueryGradient } from './attention/attention-fused-backward.js';
export { keySwap } from './attention/key-swap.js';
export { rotary } from './attention/rotary.js';
export { fill, gatherStrided, scatterStrided } from './memory/copy.js';
export { blendSegments, projectOutSegments } from './memory/edit.js';
export { embed, gatherRows } from './memory/embed.js';
export { gatherAxis, scatterAxis } from './memory/gather.js';
export { occurrences, scatterRowsAdd } from './memory/scatter-add.js';
export { activation, solu } from './pointwise/activation.js';
export { activationBackward, soluBackward } from './pointwise/activation-backward.js';
export { addStrided } from './pointwise/add-strided.js';
export { columnSumParts, columnSums } from './pointwise/column-sums.js';
export { pointwise } from './pointwise/elementwise.js';
export { gated, gatedBackward } from './pointwise/gated.js';
export { layernorm, normalize } from './pointwise/layernorm.js';
export {
  layernormBackward,
  layernormScaleBackward,
  normalizeBackward,
} from './pointwise/layernorm-backward.js';
export { reduceMiddle, reduceRows } from './pointwise/reduce.js';
export { extremeBackward, prodBackward, softmaxBackward } from './pointwise/reduce-backward.js';
export { cumulate, triangle } from './pointwise/scan.js';
export { softCap, softCapBackward } from './pointwise/soft-cap.js';
export { lseChunk, pickChunk, softmax } from './pointwise/softmax.js';
export { headInput, headResult } from './products/head-matmul.js';
export { inputGradient, weightGradient } from './products/linear-backward.js';
export { linear, unembed } from './products/matmul.js';
export {
  headInputGradient,
  headInputWeightGradient,
  headResultGradient,
  headResultWeightGradient,
} from './products/products-backward.js';
export { quantisedInputGradient, quantisedLinear } from './products/quantised.js';
export { combine, matrixUpdate, momentum, normalizeMatrix } from './training/muon.js';
export { adamW, checkStep, keepGood, sumSquares, sumSquaresParts } from './training/optimizer.js';
export { crossEntropyBackward } from './vocabulary/cross-entropy-backward.js';
export { divergenceChunk } from './vocabulary/divergence.js';
export { firstNotFinite } from './vocabulary/not-finite.js';
export { pickPairs } from './vocabulary/pick.js';
export { sortFinish, sortStart, sortStep } from './vocabulary/sort.js';
export { topk } from './vocabulary/topk.js';
export { dotRows, rankChunk, targetProbs } from './vocabulary/vocabulary.js';

/** Every kernel family, with its examples. */
export const families: readonly Family[] = [
  embedFamily,
  scatterAddFamily,
  layernormFamily,
  layernormBackwardFamily,
  matmulFamily,
  linearBackwardFamily,
  quantisedFamily,
  headMatmulFamily,
  stridedMatmulFamily,
  productsBackwardFamily,
  activationFamily,
  activationBackwardFamily,
  gatedFamily,
  attentionFamily,
  attentionBackwardFamily,
  rotaryFamily,
  keySwapFamily,
  softCapFamily,
  softmaxFamily,
  crossEntropyBackwardFamily,
  pickFamily,
  topkFamily,
  notFiniteFamily,
  vocabularyFamily,
  divergenceFamily,
  elementwiseFamily,
  reduceBackwardFamily,
  scanFamily,
  gatherFamily,
  sortFamily,
  copyFamily,
  addStridedFamily,
  editFamily,
  reduceFamily,
  columnSumsFamily,
  optimizerFamily,
  muonFamily,
  peakFamily,
];
