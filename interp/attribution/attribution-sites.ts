/**
 * Attributions laid out as maps: sums of products at a hook point of every block, along the axes that are
 * asked for.
 */

import type { Point } from '../../engine/transformer/model-points.js';
import { actName } from '../../hooks/input/names.js';
import { all, indices } from '../../hooks/input/selection.js';
import { cellsOf, type PartOf, type PatchAxis } from '../patching/cells.js';
import type { Axis } from '../results/result.js';
import type { AttributionRuns } from './attribution-runs.js';
import { stacked } from './products.js';

/** Values of a map with its axes; where the metric is `per: 'prompt'` the last axis is `prompt`. */
export interface SiteMap {
  readonly axes: readonly Axis[];
  readonly values: Float32Array;
}

/** The hook points that a map at a site needs. */
export function siteNames(
  { nLayers }: { readonly nLayers: number },
  at: string,
  only: PartOf = {},
): string[] {
  return indices(only.layer, nLayers, 'layer').map((l) => actName(at, l));
}

/**
 * Σ gradient · (clean − corrupted), normalised, along the axes `by`; what is not named is summed, as it would
 * be patched as a whole.
 * @param at hook point of every block
 * @throws when it does not have an axis, or prompts of different lengths no common positions.
 */
export async function siteMap(
  runs: AttributionRuns,
  at: string,
  by: readonly PatchAxis[],
  { only = {}, what }: { only?: PartOf; what: string },
): Promise<SiteMap> {
  const { model, pair } = runs;
  const { axes, entries } = cellsOf(model, at, by, only, pair.changed, what, pair.from, pair.partners);
  const layers = indices(only.layer, model.config.nLayers, 'layer');
  const values = await sumsAlong(
    runs,
    layers.map((l) => actName(at, l)),
    {
      order: by.map((axis) => (axis === 'layer' ? 'point' : axis)),
      narrowed: Object.keys(only),
      chosen: (axis, length, row) => {
        if (axis === 'point') return (entries[by.indexOf('layer')] ?? layers).map((l) => layers.indexOf(l));
        const positions = ['pos', 'query', 'key'].includes(axis);
        if (!pair.partners || !positions) return indices(only[axis as PatchAxis], length, axis);
        const own = entries[by.indexOf(axis as PatchAxis)];
        const paired = pair.partners[row].flatMap((f, p) => (f >= 0 ? [p] : []));
        const of = own ?? indices(only[axis as PatchAxis], pair.changed[row].length, axis);
        return of.map((p) => paired.indexOf(p)).filter((i) => i >= 0);
      },
    },
  );
  return { axes: withPrompts(runs, axes), values };
}

/** How sums are laid out. */
interface Along {
  /** Axes of the result, `point` (the hook point, of those given) among them. */
  readonly order: readonly string[];
  /** Other axes of which not all is summed. */
  readonly narrowed?: readonly string[];
  /** The indices along an axis that count. Default: all. */
  readonly chosen?: (axis: string, length: number, row: number) => readonly number[];
}

/**
 * Σ gradient · (clean − corrupted) at hook points whose activations have the same axes (batch, pos, head,
 * neuron, or batch, head, query, key), normalised. Where the metric is `per: 'prompt'`, prompts are the last
 * axis of the result.
 */
export async function sumsAlong(
  runs: AttributionRuns,
  names: readonly string[],
  { order, narrowed = [], chosen = (_, length) => all(length) }: Along,
): Promise<Float32Array> {
  const { model, pair, metric } = runs;
  const point = model.points.get(names[0])!;
  const perPrompt = metric.per === 'prompt';
  const axes = [...order, ...(perPrompt ? ['prompt'] : [])];
  const prompts = perPrompt ? pair.changed.length : 1;
  // Prompts of several lengths, or aligned with others, are taken one by one.
  const ragged = !runs.grads.layout.equal || pair.partners !== null;
  let sums: Float64Array | null = null;
  for (const [row, tokens] of pair.changed.entries()) {
    if (row && !ragged) break;
    const length = pair.partners ? pair.partners[row].filter((f) => f >= 0).length : tokens.length;
    const dims = dimsOf(point, ragged ? 1 : pair.changed.length, length);
    const kept = dims.flatMap(({ name }, i) => (axes.includes(name) || narrowed.includes(name) ? [i] : []));
    const stack = stacked(names.map((name) => runs.sums(name, kept, ragged ? row : null)));
    const data = await stack.data();
    stack.dispose();
    const lying = [{ name: 'point', length: names.length }, ...kept.map((i) => dims[i])];
    const part = gather(data, lying, axes, (axis, n) => (axis === 'prompt' ? all(n) : chosen(axis, n, row)));
    const width = ragged ? 1 : prompts;
    const first = ragged && perPrompt ? row : 0;
    sums ??= new Float64Array((part.length / width) * prompts);
    for (let i = 0; i < part.length; i++)
      sums[Math.floor(i / width) * prompts + first + (i % width)] += part[i];
  }
  return Float32Array.from(sums!, (x, i) => x / runs.gap(i % prompts));
}

/** The axes, and prompts behind them where the metric has a number for each. */
export const withPrompts = ({ metric, pair }: AttributionRuns, axes: readonly Axis[]): Axis[] => [
  ...axes,
  ...(metric.per === 'prompt' ? [{ name: 'prompt', labels: pair.changed.map((_, i) => String(i)) }] : []),
];

/** Axes of an activation as it is seen. */
function dimsOf({ pattern, heads, width }: Point, prompts: number, length: number) {
  const dim = (name: string, n: number) => ({ name, length: n });
  const prompt = dim('prompt', prompts);
  if (pattern) return [prompt, dim('head', heads!), dim('query', length), dim('key', length)];
  return [prompt, dim('pos', length), ...(heads ? [dim('head', heads)] : []), dim('neuron', width)];
}

/**
 * Numbers in another order of axes; axes that the order lacks are summed.
 * @param chosen the indices along an axis that count
 */
export function gather(
  data: ArrayLike<number>,
  lying: readonly { readonly name: string; readonly length: number }[],
  order: readonly string[],
  chosen: (name: string, length: number) => readonly number[],
): Float64Array {
  const places = new Map<string, number[]>();
  let stride = 1;
  for (const { name, length } of [...lying].reverse()) {
    const by = stride;
    places.set(
      name,
      chosen(name, length).map((i) => i * by),
    );
    stride *= length;
  }
  const sumsOf = (names: readonly string[]) =>
    names.reduce((at, name) => at.flatMap((a) => places.get(name)!.map((b) => a + b)), [0]);
  const inside = sumsOf(lying.map((d) => d.name).filter((name) => !order.includes(name)));
  return Float64Array.from(sumsOf(order), (at) => inside.reduce((sum, i) => sum + data[at + i], 0));
}
