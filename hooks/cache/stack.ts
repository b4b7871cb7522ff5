/**
 * Stacks of components of the residual stream: filled piece by piece, normalised on the way, and their sums
 * checked.
 */

import { inScope, type Scope } from '../../engine/gpu/storage.js';
import { axesOf } from '../../engine/shape/axes.js';
import { sameShape, showShape, sizeOf } from '../../engine/shape/shape.js';
import { copyInto } from '../../engine/tensor/launches.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import { Norm } from '../../engine/transformer/parts/norm.js';
import { normNamed } from '../../engine/transformer/weights.js';
import type { Config } from '../../weights/config.js';
import { normBefore } from '../../weights/facts.js';
import { normAt } from '../../weights/norm.js';
import { is, options } from '../input/check.js';
import type { Holder } from '../input/owning.js';
import type { PosSlice } from '../run/positions.js';
import type { ActivationCache } from './cache.js';
import { type Component, rowsAPiece } from './components.js';
import { Look } from './look.js';

/** Rows of the residual stream, and what each is. */
export interface Stack extends Holder {
  /**
   * [component, batch, pos, dModel]; a single position drops its axis, rows of different length give
   * [component, tokens, dModel].
   */
  readonly stack: Tensor;
  /** One a row, as TransformerLens has them. */
  readonly labels: readonly string[];
  /** The norm that was applied, if any. */
  readonly meta: StackMeta;
}

/** Which norm a stack has passed. */
export interface StackMeta {
  readonly applyLn: false | LayerNormMode;
  /** `ln_final`, `blocks.3.ln1` …; null where none was applied. */
  readonly norm: string | null;
  /** Whether its gain and bias were applied too (where the model still has them). */
  readonly gainAndBias: boolean;
}

/** What is known of a stack that has passed a norm in this mode. */
export const metaOf = (norm: string | null, applyLn: false | LayerNormMode): StackMeta => ({
  applyLn,
  norm: applyLn ? norm || null : null,
  gainAndBias: wholeNorm(norm, applyLn),
});

/** At the final norm a scale of each row's own means the whole norm, as in TransformerLens. */
const wholeNorm = (norm: string | null, mode: false | LayerNormMode) =>
  mode === 'recomputed' && norm === 'ln_final';

/** How far what adds up is off. */
export interface SumCheck {
  /** Largest |sum − expected| over all positions and dimensions. */
  readonly maxError: number;
  /** Largest |expected|. */
  readonly largest: number;
  /** maxError ≤ 1e-4 · max(1, largest) */
  readonly ok: boolean;
}

/** A stack whose rows are parts of something. */
export interface Decomposition extends Stack {
  readonly sum: {
    /** What is decomposed: the hook point, and `, normalised` where a norm was applied. */
    readonly of: string;
    /** True when the rows alone add up to it. */
    readonly complete: boolean;
    /**
     * The components that the rows lack, by label: with them they add up. `inclRemainder` makes rows of them.
     */
    readonly rest: readonly string[];
    /**
     * Adds up the rows and the rest, each made from its own activations, and compares with the cached sum.
     * Reads two numbers back. Needs the stack and the cache, both not disposed of. @throws when the cache
     * lacks an activation of the rest.
     */
    check(): Promise<SumCheck>;
  };
}

/** `frozen`: divided by the scale that the model's norm had in the run; `recomputed`: by each row's own. */
export type LayerNormMode = 'frozen' | 'recomputed';

/** What a piece [k, tokens, width] of a stack becomes. */
export type Normalize = (piece: Tensor) => Tensor;

/**
 * The norm that reads a state of the residual stream: `blocks.3.ln1`, `ln2` or `ln_final`; null where none
 * does.
 */
export function normOf(config: Config, layer: number, mlpInput: boolean): string | null {
  if (layer === config.nLayers) return normAt(config, 'ln_final') && 'ln_final';
  const name = normBefore(config, layer, mlpInput ? 'mlp' : 'attn');
  return name && `blocks.${layer}.${name}`;
}

/** The norm of that name in the model of a cache; null for none. */
export const normIn = ({ model }: ActivationCache, name: string | null): Norm | null =>
  name ? normNamed(model.gpuWeights, name) : null;

/**
 * A norm applied to vectors. `frozen`: with its scale in the run, without gain and bias, so that parts of a
 * sum stay parts of one. `recomputed`: each vector with a scale of its own; at the final norm with gain and
 * bias, as TransformerLens has it. In models without norms nothing happens.
 * @param look where; directions that it projects onto must have passed the norm (`Norm.pullBack`)
 */
export function normalizer(
  look: Look,
  name: string | null,
  mode: LayerNormMode | false,
  scope: Scope,
  what: string,
): Normalize {
  const norm = normIn(look.cache, name);
  if (!norm || !name || !mode) return (piece) => piece;
  if (mode === 'recomputed') return (piece) => norm.apply(piece, wholeNorm(name, mode) ? 'whole' : 'plain');
  const scale = frozenScale(look, name, scope, what)!;
  if (look.projected) return (piece) => Norm.divided(piece, scale);
  return (piece) => norm.divideBy(piece, scale.expand([piece.shape[0], -1, -1]), 'plain');
}

/** The scale that a norm had in the run: [1, tokens, 1]; null where there is none. */
export function frozenScale(look: Look, norm: string, scope: Scope, what: string): Tensor | null {
  if (!normIn(look.cache, norm)) return null;
  const scale = look.at(`${norm}.hook_scale`, scope);
  if (scale.size !== look.tokens)
    throw new Error(
      `${what}: "${norm}.hook_scale" is ${showShape(scale.shape)}, one scale a head, because the run set inputs of single heads: there is no scale of the whole stream`,
    );
  return scale.reshape([1, look.tokens, 1]);
}

/**
 * All rows of some components, one after another: [rows, ...lead, ...last], owned by the caller.
 * @param whole what they are parts of: what they lack of it becomes the last row
 */
export function fill(
  look: Look,
  components: readonly Component[],
  normalize: Normalize,
  what: string,
  whole: Component | null = null,
): Tensor {
  const { gpu } = look.cache.model;
  const own = components.reduce((n, c) => n + c.labels.length, 0);
  const shape = [own + (whole ? 1 : 0), look.tokens, look.width];
  const bytes = 4 * sizeOf(shape);
  if (!shape[0]) throw new Error(`${what}: there is nothing to stack before the first block`);
  if (bytes > gpu.adapter.maxBufferBytes)
    throw new Error(
      `${what}: ${shape.join(' × ')} numbers are ${Math.ceil(bytes / 2 ** 20)} MiB, this adapter's buffers hold ${Math.floor(gpu.adapter.maxBufferBytes / 2 ** 20)}: choose positions (pos) or neurons, or project onto directions (projectOnto)`,
    );
  const out = Tensor.result(gpu, shape, [], what);
  try {
    let at = 0;
    forPieces(look, components, normalize, (piece) => {
      copyInto(piece, out, at);
      at += piece.size;
    });
    if (whole)
      forPieces(look, [whole], normalize, (piece) => {
        const sum = sumOfRows(out, own, look, piece.scope);
        copyInto(sum ? piece.sub(sum) : piece, out, at);
      });
    const shaped = out.reshape([shape[0], ...look.lead, ...look.last]);
    shaped.named = axesOf([
      'component',
      ...look.names,
      ...look.last.map(() => (look.projected ? null : 'd_model')),
    ]);
    return shaped;
  } finally {
    out.dispose();
  }
}

/** Sum of all rows of some components: [1, tokens, width] in `scope`; null of none. */
export function total(
  look: Look,
  components: readonly Component[],
  normalize: Normalize,
  scope: Scope,
): Tensor | null {
  let sum: Tensor | null = null;
  forPieces(look, components, normalize, (piece) => {
    const part = piece.sum(0, { keepDims: true });
    const next: Tensor = sum ? part.add(sum) : part;
    sum?.dispose();
    sum = next.alias(scope);
  });
  return sum;
}

/**
 * Sum of the first n rows of a stack [rows, ...], some rows at a time: [1, tokens, width]; null when n is 0.
 */
export function sumOfRows(stack: Tensor, n: number, look: Look, scope: Scope | null): Tensor | null {
  const rows = stack.alias(scope).reshape([stack.shape[0], look.tokens, look.width]);
  const step = rowsAPiece(look);
  let sum: Tensor | null = null;
  for (let at = 0; at < n; at += step) {
    const part = rows.window([[at, Math.min(at + step, n)]]).sum(0, { keepDims: true });
    sum = sum ? sum.add(part) : part;
  }
  return sum;
}

/** Largest distance of two tensors, and the largest of the second. */
export async function compare(sum: Tensor, expected: Tensor): Promise<SumCheck> {
  const error = sum.sub(expected);
  // A maximum may pass over NaN: 0 · x adds it.
  const [maxError, largest] = await Promise.all(
    [error, expected].map((t) => t.map('abs').max().add(t.mul(0).sum()).item()),
  );
  return { maxError, largest, ok: maxError <= 1e-4 * Math.max(1, largest) };
}

/** What `applyLnToStack` is told beside the stack and the layer. */
export interface ApplyLnOptions {
  /** Of a layer, the norm before its MLP instead of the one before its attention. */
  readonly mlpInput?: boolean;
  /** The positions that the stack was made of. */
  readonly pos?: PosSlice | null;
  /** Default `'frozen'`. */
  readonly mode?: LayerNormMode;
}

/** What its options may be. */
export const APPLY_LN = options<ApplyLnOptions>({
  mlpInput: is.boolean,
  pos: is.orNull(is.pos),
  mode: is.oneOf('frozen', 'recomputed'),
});

/** See `ActivationCache.applyLnToStack`. @param norm as `normOf` gives it */
export function normalizeStack(
  cache: ActivationCache,
  stack: Tensor,
  norm: string | null,
  { pos, mode = 'frozen' }: ApplyLnOptions,
): Tensor {
  const what = 'applyLnToStack';
  return inScope((scope) => {
    const look = new Look(cache, { pos }, what, scope);
    const single = sameShape(stack.shape, [...look.lead, look.cache.config.dModel]);
    if (!single) checkStack(stack, look, what);
    const normalize = normalizer(look, norm, mode, scope, what);
    const rows = stack.alias(scope).reshape([single ? 1 : stack.shape[0], look.tokens, look.width]);
    const out = Tensor.result(stack.gpu, stack.shape, [], stack.label);
    out.named = stack.named;
    const step = rowsAPiece(look);
    for (let at = 0; at < rows.shape[0]; at += step) {
      const piece = normalize(rows.window([[at, Math.min(at + step, rows.shape[0])]]));
      copyInto(piece, out, at * look.tokens * look.width);
      if (piece.scope === scope) piece.dispose();
    }
    return out;
  });
}

/** @throws unless a stack is [component, ...positions of the look, dModel]. */
export function checkStack(stack: Tensor, look: Look, what: string): void {
  const { dModel } = look.cache.config;
  if (!sameShape(stack.shape.slice(1), [...look.lead, dModel]))
    throw new Error(
      `${what}: a stack of shape ${showShape(stack.shape)}, but this cache has [component, ${[...look.lead, dModel].join(', ')}] there: give the \`pos\` that the stack was made with`,
    );
}

/** Calls f with every piece of the components, normalised; what was made is freed. */
function forPieces(
  look: Look,
  components: readonly Component[],
  normalize: Normalize,
  f: (piece: Tensor) => void,
): void {
  for (const component of components) {
    inScope((scope) => {
      for (const piece of component.rows(look, look.cache.model.gpuWeights, scope)) {
        const ready = normalize(piece);
        f(ready);
        ready.dispose();
        piece.dispose();
      }
    });
  }
}
