/**
 * All kernels: their launch functions for the engine, and their families for whoever checks them.
 */

import { activationFamily } from './activation.js';
import { activationBackwardFamily } from './activation-backward.js';
import { addStridedFamily } from './add-strided.js';
import { attentionBackwardFamily } from './attention-backward-examples.js';
import { attentionFamily } from './attention-examples.js';
import { columnSumsFamily } from './column-sums.js';
import { copyFamily } from './copy.js';
import { crossEntropyBackwardFamily } from './cross-entropy-backward.js';
import { divergenceFamily } from './divergence.js';
import { editFamily } from './edit.js';
import { elementwiseFamily } from './elementwise.js';
import { elementwiseBackwardFamily } from './elementwise-backward.js';
import { embedFamily } from './embed.js';
import { headMatmulFamily } from './head-matmul.js';
import type { Family } from './kernel.js';
import { keySwapFamily } from './key-swap.js';
import { layernormFamily } from './layernorm.js';
import { layernormBackwardFamily } from './layernorm-backward.js';
import { linearBackwardFamily } from './linear-backward.js';
import { matmulFamily } from './matmul.js';
import { muonFamily } from './muon.js';
import { optimizerFamily } from './optimizer.js';
import { peakFamily } from './peak.js';
import { pickFamily } from './pick.js';
import { productsBackwardFamily } from './products-backward.js';
import { reduceFamily } from './reduce.js';
import { scatterAddFamily } from './scatter-add.js';
import { softmaxFamily } from './softmax.js';
import { stridedMatmulFamily } from './strided-matmul.js';
import { topkFamily } from './topk.js';
import { vocabularyFamily } from './vocabulary.js';

export { activation, solu } from './activation.js';
export { activationBackward, soluBackward } from './activation-backward.js';
export { addStrided } from './add-strided.js';
export { attentionLayout, pattern, scores, storeKv, weightedValues } from './attention.js';
export {
  keyGradient,
  patternGradient,
  queryGradient,
  scoresGradient,
  valueGradient,
} from './attention-backward.js';
export { fusedAttention } from './attention-fused.js';
export { fusedKeyGradient, fusedQueryGradient } from './attention-fused-backward.js';
export { columnSumParts, columnSums } from './column-sums.js';
export { fill, gatherStrided, scatterStrided } from './copy.js';
export { crossEntropyBackward } from './cross-entropy-backward.js';
export { divergenceChunk } from './divergence.js';
export { blendSegments, projectOutSegments } from './edit.js';
export { binary, binaryScalar, unary } from './elementwise.js';
export { divisorGradient, maxBackward, softmaxBackward, unaryBackward } from './elementwise-backward.js';
export { embed, gatherRows } from './embed.js';
export { headInput, headResult } from './head-matmul.js';
export { keySwap } from './key-swap.js';
export { layernorm, normalize } from './layernorm.js';
export { layernormBackward, layernormScaleBackward, normalizeBackward } from './layernorm-backward.js';
export { inputGradient, weightGradient } from './linear-backward.js';
export { batchMatmul, linear, unembed } from './matmul.js';
export { combine, matrixUpdate, momentum, normalizeMatrix } from './muon.js';
export { adamW, checkStep, keepGood, sumSquares, sumSquaresParts } from './optimizer.js';
export { pickPairs } from './pick.js';
export {
  batchMatmulGradientA,
  batchMatmulGradientB,
  headInputGradient,
  headInputWeightGradient,
  headResultGradient,
  headResultWeightGradient,
} from './products-backward.js';
export { reduceMiddle, reduceRows } from './reduce.js';
export { occurrences, scatterLastAdd, scatterRowsAdd } from './scatter-add.js';
export { lseChunk, pickChunk, softmax } from './softmax.js';
export { gatherLast, topk } from './topk.js';
export { dotRows, rankChunk, targetProbs } from './vocabulary.js';

/** Every kernel family, with its examples. */
export const families: readonly Family[] = [
  embedFamily,
  scatterAddFamily,
  layernormFamily,
  layernormBackwardFamily,
  matmulFamily,
  linearBackwardFamily,
  headMatmulFamily,
  stridedMatmulFamily,
  productsBackwardFamily,
  activationFamily,
  activationBackwardFamily,
  attentionFamily,
  attentionBackwardFamily,
  keySwapFamily,
  softmaxFamily,
  crossEntropyBackwardFamily,
  pickFamily,
  topkFamily,
  vocabularyFamily,
  divergenceFamily,
  elementwiseFamily,
  elementwiseBackwardFamily,
  copyFamily,
  addStridedFamily,
  editFamily,
  reduceFamily,
  columnSumsFamily,
  optimizerFamily,
  muonFamily,
  peakFamily,
];
