/** Parts that a configuration may ask for and the engine does not have. */

import type { Config } from '../../weights/config.js';

/** The settings that ask for a part the engine does not have; empty where it runs the model. */
export function unsupported(config: Config): string[] {
  const wants: Partial<Record<keyof Config, boolean>> = {
    nKeyValueHeads: config.nKeyValueHeads !== config.nHeads,
    gatedMlp: config.gatedMlp,
    parallelAttnMlp: config.parallelAttnMlp,
    normPlaces: config.normPlaces !== 'before',
    normGain: config.normGain !== 'w',
    qkNorm: config.qkNorm !== 'none',
    positionEmbedding: !['standard', 'shortformer'].includes(config.positionEmbedding),
    windows: config.windows !== null,
    scoreScale: config.scoreScale !== null,
    attnScoresSoftCap: config.attnScoresSoftCap !== null,
    outputLogitsSoftCap: config.outputLogitsSoftCap !== null,
    embedScale: config.embedScale !== 1,
  };
  return Object.entries(wants).flatMap(([setting, wanted]) => (wanted ? [setting] : []));
}
