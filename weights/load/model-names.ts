/** A checkpoint of any family, or of TransformerLens, in the names by which models are read: GPT-2's. */

import type { Config } from '../config.js';
import { familyNamed } from '../families/index.js';
import { nearestPrefix } from '../formats/prefix.js';
import type { TensorSource } from '../formats/tensors.js';
import { type FamilySource, inFamilyNames } from './family-names.js';
import { inGpt2Names } from './transformer-lens.js';

/** Names that only GPT-2's layout has; and those of models without blocks. */
const FUSED = /(^|\.)h\.\d+\.attn\.c_attn\.weight$/;
const BLOCKS = /(^|\.)(h|layers)\.\d+\./;

/** Whether a checkpoint has GPT-2's names, be its model a GPT-2 or another that was saved so. */
export function hasGpt2Names(source: TensorSource): boolean {
  const names = source.names();
  if (names.some((name) => FUSED.test(name))) return true;
  return (
    !names.some((name) => BLOCKS.test(name)) && nearestPrefix(source, ['wte.weight', 'wpe.weight']) !== null
  );
}

/**
 * The checkpoint in GPT-2's names.
 * @throws when it is not of the configuration's family, nor in TransformerLens' names or GPT-2's
 */
export function inModelNames(checkpoint: TensorSource, config: Config): FamilySource {
  const { source } = inGpt2Names(checkpoint);
  const family = familyNamed(config.family)!;
  const itself = source !== checkpoint || family.tensors.matrices === 'in,out' || hasGpt2Names(source);
  return itself ? { source, foreign: [] } : inFamilyNames(source, family, config);
}
