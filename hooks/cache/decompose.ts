/**
 * The residual stream taken apart, as TransformerLens' ActivationCache does it: the same order, the same
 * labels, the same meaning of `layer`. What TransformerLens leaves out of a sum is told in `sum.rest`, and
 * added by `inclRemainder`.
 */

import { inScope, type Scope } from '../../engine/gpu/storage.js';
import { axesOf } from '../../engine/shape/axes.js';
import { sameShape } from '../../engine/shape/shape.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import { shownJson } from '../../weights/checks/messages.js';
import { owning } from '../input/owning.js';
import type { ActivationCache } from './cache.js';
import { activation } from './components.js';
import { Look } from './look.js';
import {
  type AccumulatedOptions,
  accumulated,
  type DecomposeOptions,
  decomposed,
  type FullOptions,
  full,
  type HeadOptions,
  headStack,
  type Incomplete,
  labelsOf,
  type NeuronOptions,
  namesOf,
  neuronStack,
  type Projected,
  type Recipe,
  resolve,
  type StreamLayer,
  scaleOf,
} from './recipes.js';
import {
  compare,
  type Decomposition,
  fill,
  type LayerNormMode,
  metaOf,
  type Normalize,
  normalizer,
  normIn,
  type Stack,
  type StackMeta,
  sumOfRows,
  total,
} from './stack.js';

/** See `ActivationCache.accumulatedResid`. */
export function accumulatedResid(
  cache: ActivationCache,
  layer: StreamLayer,
  options: AccumulatedOptions,
): Stack {
  const recipe = accumulated(cache.config, layer, options);
  const { applyLn = false, pos } = options;
  need(cache, recipe.what, [...namesOf(recipe.rows), ...scaleOf(recipe, applyLn === 'frozen')]);
  return inScope((scope) => {
    const look = new Look(cache, { pos }, recipe.what, scope);
    const mode = checkMode(recipe.what, applyLn, true);
    const normalize = normalizer(look, recipe.norm, mode, scope, recipe.what);
    const stack = fill(look, recipe.rows, normalize, recipe.what);
    return asStack(stack, labelsOf(recipe.rows), metaOf(recipe.norm, mode));
  });
}

/** See `ActivationCache.decomposeResid`. */
export const decomposeResid = (cache: ActivationCache, layer: StreamLayer, o: DecomposeOptions) =>
  cook(cache, decomposed(cache.config, layer, o, cache), o);

/** See `ActivationCache.stackHeadResults`. */
export const stackHeadResults = (cache: ActivationCache, layer: StreamLayer, o: HeadOptions) =>
  cook(cache, headStack(cache.config, layer, cache), o);

/** See `ActivationCache.stackNeuronResults`. */
export const stackNeuronResults = (cache: ActivationCache, layer: StreamLayer, o: NeuronOptions) =>
  cook(cache, neuronStack(cache.config, layer, o, cache), o);

/** See `ActivationCache.fullResidDecomposition`. */
export const fullResidDecomposition = (cache: ActivationCache, layer: StreamLayer, o: FullOptions) =>
  cook(cache, full(cache.config, layer, o, cache), o);

/** See `ActivationCache.stackActivation`. */
export function stackActivation(
  cache: ActivationCache,
  name: string,
  layer: StreamLayer,
  layerType?: string | null,
): Stack {
  const what = 'stackActivation';
  const layers = Array.from({ length: resolve(what, cache.config, layer).l }, (_, l) => l);
  if (!layers.length) throw new Error(`${what}: there is nothing to stack before the first block`);
  return inScope((scope) => {
    const all = layers.map((l) => cache.get(name, l, layerType).alias(scope));
    if (all.some((t) => !sameShape(t.shape, all[0].shape)))
      throw new Error(`${what}: "${name}" has another shape in some of the layers`);
    const rows = all.map((t) => t.reshape([1, ...t.shape]));
    const stack = Tensor.concat(rows).keep();
    stack.named = axesOf([
      'layer',
      ...(all[0].named?.packed ? all[0].shape.map(() => null) : (all[0].axes ?? [])),
    ]);
    return asStack(
      stack,
      layers.map((l) => `L${l}`),
      metaOf('', false),
    );
  });
}

// ---- inside
// --------------------------------------------------------------------------------------------------------

/** Carries a recipe out. */
function cook(
  cache: ActivationCache,
  recipe: Recipe,
  { pos, projectOnto, inclRemainder = false, applyLn = false }: Incomplete & Projected,
): Decomposition {
  const { what, target, norm, rest } = recipe;
  const mode = checkMode(what, applyLn, false);
  const scale = scaleOf(recipe, mode);
  const lumped = inclRemainder === true && rest.length > 0;
  const rows = [...recipe.rows, ...(inclRemainder === 'each' ? rest : [])];
  const lacking = inclRemainder === 'each' ? [] : rest;
  need(cache, what, [...namesOf(rows), ...(lumped ? [target] : []), ...scale]);
  const look = (scope: Scope): [Look, Normalize] => {
    const passed =
      projectOnto && mode && normIn(cache, norm)?.pullBack(projectOnto.alias(scope), { gain: false });
    const onto = passed || projectOnto;
    const seen = new Look(cache, { pos, projectOnto: onto }, what, scope);
    return [seen, normalizer(seen, norm, mode, scope, what)];
  };
  const whole = activation('remainder', target);
  const stack = inScope((scope) => {
    const [seen, normalize] = look(scope);
    return fill(seen, rows, normalize, what, lumped ? whole : null);
  });
  const labels = [...labelsOf(rows), ...(lumped ? whole.labels : [])];
  // What the run had: what its norm gave where the cache has that, else the state that the norm read.
  const normalized = `${norm}.hook_normalized`;
  const expected = norm && scale.length && cache.has(normalized) ? normalized : target;
  const check = async () => {
    need(cache, `${what}'s sum`, [...namesOf(lacking), expected, ...scale]);
    return inScope(async (scope) => {
      const [seen, normalize] = look(scope);
      // A remainder that is a difference proves nothing: the check has the components that it stands for
      // instead.
      const own = sumOfRows(stack, labelsOf(rows).length, seen, scope);
      const missing = total(seen, lacking, normalize, scope);
      const sum = own && missing ? own.add(missing) : (own ?? missing)!;
      if (expected === target) return await compare(sum, total(seen, [whole], normalize, scope)!);
      const plain = new Look(cache, { pos, projectOnto }, what, scope);
      return await compare(sum, total(plain, [activation('run', expected)], (piece) => piece, scope)!);
    });
  };
  const of = scale.length ? `${target}, normalised` : target;
  const complete = lumped || !lacking.length;
  const sum = { of, complete, rest: labelsOf(lacking), check };
  return owning({ stack, labels, meta: metaOf(norm, mode), sum }, stack);
}

const asStack = (stack: Tensor, labels: readonly string[], meta: StackMeta): Stack =>
  owning({ stack, labels, meta }, stack);

function checkMode<M extends false | LayerNormMode>(what: string, mode: M, recomputed: boolean): M {
  const modes = recomputed ? [false, 'frozen', 'recomputed'] : [false, 'frozen'];
  if (modes.includes(mode)) return mode;
  const why =
    mode === 'recomputed' ? ': parts that are each divided by a scale of their own do not add up' : '';
  throw new Error(
    `${what}: applyLn ${shownJson(mode)}${why}; ${modes.map((m) => JSON.stringify(m)).join(' or ')} is needed`,
  );
}

/** @throws an Error that says what the run should have kept. */
function need(cache: ActivationCache, what: string, names: readonly string[]): void {
  const missing = [...new Set(names)].filter((n) => !cache.has(n));
  if (!missing.length) return;
  if (!cache.size) throw new Error(`${what}: the cache was disposed of`);
  const shown = missing.slice(0, 4).map((n) => `"${n}"`);
  throw new Error(
    `${what} needs ${shown.join(', ')}${missing.length > 4 ? `, … (${missing.length} in all)` : ''}, not in this cache: give runWithCache these \`names\`, or decompositionNames(model, '${what.replace(/'s sum$/, '')}')`,
  );
}
