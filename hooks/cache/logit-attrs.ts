/**
 * Direct logit attribution: how much vectors of the residual stream add to logits, once the last norm is a
 * fixed scale.
 */

import { inScope } from '../../engine/gpu/storage.js';
import { axesOf } from '../../engine/shape/axes.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import { toSingleToken } from '../../engine/tokens/text.js';
import { Norm } from '../../engine/transformer/parts/norm.js';
import { alongDirections, logitDirections } from '../../engine/transformer/vocabulary/vocabulary.js';
import { is, needed, options } from '../input/check.js';
import { checkOutputs } from '../input/input.js';
import type { PosSlice } from '../run/positions.js';
import { difference } from '../run/readout.js';
import type { ActivationCache } from './cache.js';
import { Look } from './look.js';
import { checkStack, frozenScale } from './stack.js';

/**
 * A token for all positions, one for each row of the batch, or a list with one for each position. Texts or
 * ids.
 */
export type AttrTokens = string | number | readonly (string | number | readonly (string | number)[])[];

/** Options of `logitAttrs`. */
export interface LogitAttrOptions {
  readonly tokens: AttrTokens;
  /** Attribute logit differences, to `tokens` from these. */
  readonly incorrectTokens?: AttrTokens | null;
  /** The positions that the stack was made of. */
  readonly pos?: PosSlice | null;
  /**
   * Multiply by the last norm's gain, where it has not been folded into W_U: without, rows do not add up to
   * logits there. Default true; TransformerLens never does. Makes no difference in models that were
   * processed.
   */
  readonly gain?: boolean;
}

/** What its options may be. */
export const LOGIT_ATTRS = options<LogitAttrOptions>({
  tokens: needed(is.tokensAt),
  incorrectTokens: is.orNull(is.tokensAt),
  pos: is.orNull(is.pos),
  gain: is.boolean,
});

/**
 * See `ActivationCache.logitAttrs`. The stack is that of a decomposition without a norm; the last one's scale
 * in the run is applied here. b_U, and the norm's bias if it has not been folded, belong to no row: rows of a
 * complete decomposition add up to the logit without them. `directLogitAttribution` has them.
 */
export function logitAttrs(
  cache: ActivationCache,
  stack: Tensor,
  { tokens, incorrectTokens = null, pos, gain = true }: LogitAttrOptions,
): Tensor {
  const what = 'logitAttrs';
  const { config } = cache;
  const { gpuWeights } = cache.model;
  return inScope((scope) => {
    const look = new Look(cache, { pos }, what, scope);
    checkStack(stack, look, what);
    const right = tokensAt(tokens, look, `${what}: tokens`);
    const wrong =
      incorrectTokens === null ? null : tokensAt(incorrectTokens, look, `${what}: incorrectTokens`);
    const { sums, which } = distinct(right, wrong);
    const { D, b } = logitDirections(sums, gpuWeights.W_U, null);
    scope.add(D);
    scope.add(b); // zeros: there is no bias
    const directions = gpuWeights.lnFinal?.pullBack(D, { gain }) ?? D;
    const rows = stack.shape[0];
    const everywhere = Array.from({ length: rows * look.tokens }, (_, i) => which[i % look.tokens]);
    const x = stack.alias(scope).reshape([-1, config.dModel]);
    const scale = frozenScale(look, 'ln_final', scope, what);
    const along = alongDirections(x, everywhere, { D: directions, b });
    const shaped = along.reshape([rows, look.tokens, 1]);
    const attrs = (scale ? Norm.divided(shaped, scale) : shaped).reshape([rows, ...look.lead]);
    attrs.named = axesOf(['component', ...look.names]);
    return attrs.keep();
  });
}

/** Ids at every position of the look. */
function tokensAt(tokens: AttrTokens, { cache, counts, tokens: positions }: Look, what: string): number[] {
  const { config } = cache;
  const id = (t: string | number): number => {
    const token = typeof t === 'string' ? toSingleToken(cache.model.tokenizer ?? null, t) : t;
    checkOutputs([token], config, what);
    return token;
  };
  if (typeof tokens === 'string' || typeof tokens === 'number') return new Array(positions).fill(id(tokens));
  if (tokens.length !== counts.length)
    throw new Error(
      `${what}: ${tokens.length} for ${counts.length} rows: give one token, one a row, or a list of lists with one a position`,
    );
  return tokens.flatMap((entry, row) => {
    if (typeof entry === 'string' || typeof entry === 'number') return new Array(counts[row]).fill(id(entry));
    if (entry.length !== counts[row])
      throw new Error(`${what}: row ${row} has ${entry.length} for ${counts[row]} positions`);
    return entry.map(id);
  });
}

/** The logit sums that occur, and which of them each position takes. */
function distinct(right: readonly number[], wrong: readonly number[] | null) {
  const sums: Map<number, number>[] = [];
  const places = new Map<string, number>();
  const which = right.map((token, i) => {
    const other = wrong?.[i] ?? null;
    const key = `${token} ${other}`;
    if (!places.has(key)) places.set(key, sums.push(difference([token], other === null ? [] : [other])) - 1);
    return places.get(key)!;
  });
  return { sums, which };
}
