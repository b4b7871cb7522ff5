/** The names of our own settings: a configuration that is written by hand has these and no others. */

import { fileError } from './checks/messages.js';
import { unknownOption } from './checks/options.js';
import type { Config } from './config.js';

const SETTINGS: Readonly<Record<keyof Config, true>> = {
  nLayers: true,
  nHeads: true,
  dModel: true,
  dHead: true,
  dMlp: true,
  nCtx: true,
  dVocab: true,
  dVocabOut: true,
  eps: true,
  actFn: true,
  attnOnly: true,
  attentionDir: true,
  normalization: true,
  finalRms: true,
  positionEmbedding: true,
  scaleAttn: true,
  scaleAttnByInverseLayerIdx: true,
  bosTokenId: true,
  eosTokenId: true,
  eosTokenIds: true,
  tieWordEmbeddings: true,
  name: true,
  family: true,
  nKeyValueHeads: true,
  gatedMlp: true,
  parallelAttnMlp: true,
  sharedNorm: true,
  normPlaces: true,
  normGain: true,
  qkNorm: true,
  rotary: true,
  windows: true,
  scoreScale: true,
  attnScoresSoftCap: true,
  outputLogitsSoftCap: true,
  embedScale: true,
  qkvBias: true,
  outBias: true,
  mlpBias: true,
  defaultPrependBos: true,
};

/** @throws when a configuration in our names has a setting that there is not: it says which is meant. */
export function checkSettings(given: Readonly<Record<string, unknown>>, where: string): void {
  const names = Object.keys(SETTINGS);
  for (const key of Object.keys(given))
    if (!Object.hasOwn(SETTINGS, key)) throw fileError(where, unknownOption(key, key, names));
}
