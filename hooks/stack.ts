/** Stacks of components of the residual stream: filled piece by piece, normalised on the way, and their sums checked. */

import { copyInto } from '../engine/launches.js';
import { layerNorm, normalizeBy } from '../engine/ops.js';
import { sameShape, showShape, sizeOf } from '../engine/shape.js';
import { Scope } from '../engine/storage.js';
import { Tensor } from '../engine/tensor.js';
import type { Config } from '../weights/config.js';
import type { ActivationCache } from './cache.js';
import { type Component, rowsAPiece } from './components.js';
import { Look } from './look.js';
import type { PosSlice } from './positions.js';

/** Rows of the residual stream, and what each is. */
export interface Stack {
  /** [component, batch, pos, dModel]; a single position drops its axis, rows of different length give [component, tokens, dModel]. */
  readonly stack: Tensor;
  /** One a row, as TransformerLens has them. */
  readonly labels: readonly string[];
  /** Gives the memory of `stack` back. */
  dispose(): void;
}

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
    /** What is decomposed: the hook point, and `, normalised` where a layer norm was applied. */
    readonly of: string;
    /** True when the rows alone add up to it. */
    readonly complete: boolean;
    /** The components that the rows lack, by label: with them they add up. `inclRemainder` makes rows of them. */
    readonly rest: readonly string[];
    /**
     * Adds up the rows and the rest, each made from its own activations, and compares with the cached sum. Reads two numbers
     * back. Needs the stack and the cache, both not disposed of. @throws when the cache lacks an activation of the rest.
     */
    check(): Promise<SumCheck>;
  };
}

/** `frozen`: divided by the scale that the model's layer norm had in the run; `recomputed`: by each row's own. */
export type LayerNormMode = 'frozen' | 'recomputed';

/** What a piece [k, tokens, width] of a stack becomes. */
export type Normalize = (piece: Tensor) => Tensor;

/** Tells what a layer norm reads: `[blocks.3.]ln1`, `ln2` or `ln_final`. */
export const normOf = (layer: number, mlpInput: boolean, nLayers: number): string =>
  layer === nLayers ? 'ln_final' : `blocks.${layer}.${mlpInput ? 'ln2' : 'ln1'}`;

/**
 * The layer norm `norm`, applied to vectors: their mean is taken off, and they are divided by a scale. Gain and bias are not
 * applied. In models without layer norms nothing happens.
 * @param look where; directions it projects onto must have been centred (`centred`)
 */
export function normalizer(
  look: Look,
  norm: string,
  mode: LayerNormMode | false,
  scope: Scope,
  what: string,
): Normalize {
  const { config } = look.cache;
  if (mode === 'recomputed' && hasNorm(config))
    return (piece) => layerNorm(piece, null, config.eps).normalized;
  const scale = mode && frozenScale(look, norm, scope, what);
  if (!scale) return (piece) => piece;
  if (look.projected) return (piece) => piece.div(scale);
  return (piece) => normalizeBy(piece, scale.expand([piece.shape[0], -1, -1]), null);
}

/** Whether the model has layer norms. */
export const hasNorm = ({ normalization }: Config): boolean => normalization !== 'none';

/** The scale that a layer norm had in the run: [1, tokens, 1]; null in models without layer norms. */
export function frozenScale(look: Look, norm: string, scope: Scope, what: string): Tensor | null {
  if (!hasNorm(look.cache.config)) return null;
  const scale = look.at(`${norm}.hook_scale`, scope);
  if (scale.size !== look.tokens)
    throw new Error(
      `${what}: "${norm}.hook_scale" is ${showShape(scale.shape)}, one scale a head, because the run set inputs of single heads: there is no scale of the whole stream`,
    );
  return scale.reshape([1, look.tokens, 1]);
}

/** Directions whose products with a vector are those with the vector less its mean: layer norm's first half, carried over. */
export const centred = (directions: Tensor): Tensor =>
  directions.sub(directions.mean(-1, { keepDims: true }));

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
    return out.reshape([shape[0], ...look.lead, ...look.last]);
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

/** Sum of the first n rows of a stack [rows, ...], some rows at a time: [1, tokens, width]; null when n is 0. */
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
  const [maxError, largest] = await Promise.all(
    [sum.sub(expected), expected].map((t) => t.map('abs').max().item()),
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

/** See `ActivationCache.applyLnToStack`. @param norm as `normOf` gives it */
export function normalizeStack(
  cache: ActivationCache,
  stack: Tensor,
  norm: string,
  { pos, mode = 'frozen' }: ApplyLnOptions,
): Tensor {
  const what = 'applyLnToStack';
  const scope = new Scope();
  try {
    const look = new Look(cache, { pos }, what, scope);
    const single = sameShape(stack.shape, [...look.lead, look.cache.config.dModel]);
    if (!single) checkStack(stack, look, what);
    const normalize = normalizer(look, norm, mode, scope, what);
    const rows = stack.alias(scope).reshape([single ? 1 : stack.shape[0], look.tokens, look.width]);
    const out = Tensor.result(stack.gpu, stack.shape, [], stack.label);
    const step = rowsAPiece(look);
    for (let at = 0; at < rows.shape[0]; at += step) {
      const piece = normalize(rows.window([[at, Math.min(at + step, rows.shape[0])]]));
      copyInto(piece, out, at * look.tokens * look.width);
      if (piece.scope === scope) piece.dispose();
    }
    return out;
  } finally {
    scope.close();
  }
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
    const scope = new Scope();
    try {
      for (const piece of component.rows(look, look.cache.model.gpuWeights, scope)) {
        const ready = normalize(piece);
        f(ready);
        ready.dispose();
        piece.dispose();
      }
    } finally {
      scope.close();
    }
  }
}
