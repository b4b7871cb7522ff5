/** What components of the residual stream say: the notebooks' `residual_stack_to_logit_diff`. */

import { pointName } from '../../engine/transformer/points.js';
import type { ActivationCache } from '../../hooks/cache/cache.js';
import type { AttrTokens } from '../../hooks/cache/logit-attrs.js';
import { decompositionNames } from '../../hooks/cache/recipes.js';
import type { Stack } from '../../hooks/cache/stack.js';
import { is, needed, options, signatures } from '../../hooks/input/check.js';
import type { PosSlice } from '../../hooks/run/positions.js';
import type { HookedTransformer } from '../../hooks/transformer/model.js';
import { provenance } from '../results/provenance.js';
import { type Labelled, labelled } from '../results/result.js';
import { averaged, byLayerAndHead } from './select.js';

const ANSWERS = is.having("answers' tokens, { correct, wrong }", 'correct', 'wrong');
const takes = signatures({
  stackLogitDiff: {
    cache: is.cache,
    stack: is.having('a stack, as cache.decomposeResid gives it', 'stack', 'labels'),
    options: options<StackLogitDiffOptions>({
      correct: needed(is.answers),
      wrong: needed(is.answers),
      pos: is.pos,
      axis: is.text,
    }),
  },
  residualAttribution: { cache: is.cache, answers: ANSWERS },
  residualAttributionNames: { model: is.model },
  finalProjection: { model: is.model, cache: is.cache, answers: ANSWERS },
});

/** Options of `stackLogitDiff`. */
export interface StackLogitDiffOptions {
  /** One token, or one a prompt. */
  readonly correct: AttrTokens;
  readonly wrong: AttrTokens;
  /** The position that the stack was made of. Default −1, the last one. */
  readonly pos?: PosSlice;
  /** What the first axis is called. Default `component`. */
  readonly axis?: string;
}

/**
 * The logit difference that each row of a stack says: through the last layer norm with its scale in the run, times the difference of
 * two columns of W_U. Biases of the unembedding belong to no row. The stack is disposed of.
 * @param stack as `accumulatedResid`, `decomposeResid` or `stackHeadResults` give it, of one position
 * @returns axes component × prompt; `averaged(result, 'prompt')` is what the notebooks plot
 * @throws what `cache.logitAttrs` throws
 */
export const stackLogitDiff = takes.stackLogitDiff(async function stackLogitDiff(
  cache: ActivationCache,
  stack: Stack,
  { correct, wrong, pos = -1, axis = 'component' }: StackLogitDiffOptions,
): Promise<Labelled> {
  const attrs = cache.logitAttrs(stack.stack, { tokens: correct, incorrectTokens: wrong, pos }); // [component, batch]
  stack.dispose();
  const values = await attrs.data();
  attrs.dispose();
  const prompts = Array.from({ length: cache.batch }, (_, i) => String(i));
  const about = {
    method: 'direct logit attribution',
    layerNorm: 'frozen',
    metric: 'logit(correct) − logit(wrong)',
  };
  return labelled(
    values,
    [
      { name: axis, labels: [...stack.labels] },
      { name: 'prompt', labels: prompts },
    ],
    provenance(cache.model as HookedTransformer, about),
  );
});

/** What the residual stream, its layers and its heads say: means over the prompts. */
export interface ResidualAttribution {
  /** Every state so far: `0_pre`, `0_mid` (not in parallel blocks, which have none), …, `final_post`. Axis layer. */
  readonly lens: Labelled;
  /** What each component adds: `embed`, `pos_embed`, `0_attn_out`, `0_mlp_out`, … Axis component. */
  readonly layers: Labelled;
  /** layer × head */
  readonly heads: Labelled;
  /** The last norm's scale at the last position of each prompt, with which all is read; empty where there is no norm. */
  readonly scales: readonly number[];
}

/** The hook points that a cache must hold for `residualAttribution`. */
export const residualAttributionNames = takes.residualAttributionNames(
  (model: HookedTransformer): string[] => [
    ...new Set([
      ...(model.config.normalization === 'none' ? [] : ['ln_final.hook_scale']),
      pointName('hook_resid_post', model.config.nLayers - 1),
      ...decompositionNames(model, 'accumulatedResid', -1, { inclMid: !model.config.parallelAttnMlp }),
      ...decompositionNames(model, 'decomposeResid', -1),
      ...decompositionNames(model, 'stackHeadResults', -1),
    ]),
  ],
);

/** The notebooks' three plots of direct logit attribution at the last position, from the cache of a run. */
export const residualAttribution = takes.residualAttribution(async function residualAttribution(
  cache: ActivationCache,
  answers: Pick<StackLogitDiffOptions, 'correct' | 'wrong'>,
): Promise<ResidualAttribution> {
  const each = async (axis: string, stack: Stack) =>
    averaged(await stackLogitDiff(cache, stack, { correct, wrong, axis }), 'prompt');
  const { correct, wrong } = answers;
  const pos = -1;
  const lens = await each(
    'layer',
    cache.accumulatedResid(-1, { inclMid: !cache.config.parallelAttnMlp, pos }),
  );
  const layers = await each('component', cache.decomposeResid(-1, { pos }));
  const heads = byLayerAndHead(await each('head', cache.stackHeadResults(-1, { pos })));
  if (!cache.has('ln_final.hook_scale')) return { lens, layers, heads, scales: [] };
  const last = cache.get('ln_final.hook_scale').slice({ pos });
  const scales = [...(await last.data())];
  last.dispose();
  return { lens, layers, heads, scales };
});

/** The last state of the residual stream, projected onto the answers' directions by hand. */
export interface FinalProjection {
  /** Sum over prompts and d_model, divided by the prompts: what W_U reads off the stream. */
  readonly average: number;
  /** Mean of b_U of the correct answers less that of the others: what no component writes. */
  readonly bias: number;
  /** Shapes, as the notebooks print them. */
  readonly shapes: Readonly<Record<'directions' | 'difference' | 'final' | 'last', readonly number[]>>;
}

/**
 * The notebooks' check of direct logit attribution: `apply_ln_to_stack` of the final residual stream at the last position, times
 * `tokens_to_residual_directions` of the answers, summed. With b_U it is the logit difference.
 */
export const finalProjection = takes.finalProjection(async function finalProjection(
  model: HookedTransformer,
  cache: ActivationCache,
  answers: { readonly correct: readonly number[]; readonly wrong: readonly number[] },
): Promise<FinalProjection> {
  const { correct, wrong } = answers;
  const directions = model.tokensToResidualDirections(correct.map((id, i) => [id, wrong[i]])); // [batch, 2, d_model]
  const difference = directions.slice([null, 0]).sub(directions.slice([null, 1])); // [batch, d_model]
  const final = cache.get('resid_post', -1);
  const states = cache.accumulatedResid(-1, { pos: -1 }); // rows may differ in length
  const last = states.stack.slice([states.stack.shape[0] - 1]); // [batch, d_model]
  const scaled = cache.applyLnToStack(last, -1, { pos: -1 });
  const products = scaled.mul(difference);
  try {
    const sum = (await products.data()).reduce((a, b) => a + b, 0);
    const { data } = model.weights.b_U;
    const bias = correct.reduce((s, id, i) => s + data[id] - data[wrong[i]], 0) / correct.length;
    const shapes = {
      directions: directions.shape,
      difference: difference.shape,
      final: final.shape,
      last: last.shape,
    };
    return { average: sum / correct.length, bias, shapes };
  } finally {
    states.dispose();
    for (const t of [directions, difference, last, scaled, products]) t.dispose();
  }
});
