/** Which tensors a model has, in the names by which models are read. */

import type { Config } from '../config.js';
import { type NormPlace, normWeightsAt } from '../norm.js';

/**
 * Every tensor of a model with its shape, by its name without prefix; lm_head excepted.
 * @param optional also those that may be there: biases of RMS norms, and of linear maps that the
 * configuration says have none
 */
export function expectedShapes(config: Config, { optional = false } = {}): Map<string, readonly number[]> {
  const { nLayers, dModel, dMlp, nCtx, dVocab, attnOnly, dHead, qkNorm, positionEmbedding } = config;
  const [dQuery, dKey] = [config.nHeads * dHead, config.nKeyValueHeads * dHead];
  const shapes = new Map<string, readonly number[]>();
  const linear = (key: string, dIn: number, dOut: number, bias: boolean) => {
    shapes.set(`${key}.weight`, [dIn, dOut]);
    if (bias || optional) shapes.set(`${key}.bias`, [dOut]);
  };
  const norm = (key: string, place: NormPlace, width = dModel) => {
    const { gain, bias } = normWeightsAt(config, place);
    if (gain) shapes.set(`${key}.weight`, [width]);
    if (gain && (bias || optional)) shapes.set(`${key}.bias`, [width]);
  };
  shapes.set('wte.weight', [dVocab, dModel]);
  if (positionEmbedding === 'standard' || positionEmbedding === 'shortformer')
    shapes.set('wpe.weight', [nCtx, dModel]);
  for (let layer = 0; layer < nLayers; layer++) {
    const at = `h.${layer}`;
    norm(`${at}.ln_1`, 'ln1');
    linear(`${at}.attn.c_attn`, dModel, dQuery + 2 * dKey, config.qkvBias);
    norm(`${at}.attn.q_norm`, 'attn.q_norm', qkNorm === 'head' ? dHead : dQuery);
    norm(`${at}.attn.k_norm`, 'attn.k_norm', qkNorm === 'head' ? dHead : dKey);
    linear(`${at}.attn.c_proj`, dQuery, dModel, config.outBias);
    norm(`${at}.ln_1_post`, 'ln1_post');
    if (attnOnly) continue;
    norm(`${at}.ln_2`, 'ln2');
    if (config.gatedMlp) linear(`${at}.mlp.c_gate`, dModel, dMlp, config.mlpBias);
    linear(`${at}.mlp.c_fc`, dModel, dMlp, config.mlpBias);
    if (config.actFn === 'solu_ln') norm(`${at}.mlp.ln`, 'mlp.ln', dMlp);
    linear(`${at}.mlp.c_proj`, dMlp, dModel, config.mlpBias);
    norm(`${at}.ln_2_post`, 'ln2_post');
  }
  norm('ln_f', 'ln_final');
  return shapes;
}
