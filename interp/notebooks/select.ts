/**
 * Parts and sums of labelled results: means over prompts, the largest entries, chosen labels, lists as grids.
 */

import { is, optional, options, signatures } from '../../hooks/input/check.js';
import { cellName, type Labelled, labelled } from '../results/result.js';

const reduces = { result: is.labelled, axis: is.text };
const takes = signatures({
  averaged: reduces,
  summed: reduces,
  picked: { result: is.labelled, axis: is.text, labels: is.texts },
  byLayerAndHead: { result: is.labelled, axis: optional(is.text) },
  oneAxisOfHeads: { result: is.labelled },
  bySize: { result: is.labelled },
  strongest: {
    result: is.labelled,
    n: is.whole,
    options: options<{ readonly sign?: 1 | -1 | 0 }>({ sign: is.oneOf(1, -1, 0) }),
  },
});

/** The axis of a name. @throws when there is none */
function axisOf({ axes }: Labelled, name: string, what: string): number {
  const at = axes.findIndex((a) => a.name === name);
  if (at >= 0) return at;
  throw new Error(`${what}: no axis "${name}"; there are ${axes.map((a) => a.name).join(', ')}`);
}

function reduced(result: Labelled, name: string, divide: boolean, what: string): Labelled {
  const axis = axisOf(result, name, what);
  const { values, shape, axes, meta } = result;
  const n = shape[axis];
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const sums = new Float64Array(values.length / n);
  values.forEach((v, i) => {
    sums[Math.floor(i / inner / n) * inner + (i % inner)] += v;
  });
  const out = Float32Array.from(sums, (s) => (divide ? s / n : s));
  const rest = axes.filter((_, a) => a !== axis);
  return labelled(out, rest, { ...meta, over: `${divide ? 'mean' : 'sum'} over ${n} ${name}s` });
}

/** Means over an axis, which goes away. @throws when there is no such axis */
export const averaged = takes.averaged(
  (result: Labelled, axis: string): Labelled => reduced(result, axis, true, 'averaged'),
);

/** Sums over an axis, which goes away. @throws when there is no such axis */
export const summed = takes.summed(
  (result: Labelled, axis: string): Labelled => reduced(result, axis, false, 'summed'),
);

/** Entries of an axis by their labels, in the order given. @throws when a label is not there */
export const picked = takes.picked(function picked(
  result: Labelled,
  axis: string,
  labels: readonly string[],
): Labelled {
  const a = axisOf(result, axis, 'picked');
  const { values, shape, axes, meta } = result;
  const places = labels.map((label) => {
    const at = axes[a].labels.indexOf(label);
    if (at < 0) throw new Error(`picked: axis "${axis}" has no "${label}"`);
    return at;
  });
  const inner = shape.slice(a + 1).reduce((x, y) => x * y, 1);
  const outer = values.length / inner / shape[a];
  const out = new Float32Array(outer * places.length * inner);
  for (let o = 0; o < outer; o++)
    places.forEach((p, i) => {
      const from = (o * shape[a] + p) * inner;
      out.set(values.subarray(from, from + inner), (o * places.length + i) * inner);
    });
  return labelled(
    out,
    axes.map((axis, i) => (i === a ? { name: axis.name, labels } : axis)),
    meta,
  );
});

/**
 * An axis of labels such as `L0H0`, `L0H1`, … as two, layer × head. Labels of one axis that are no such pair
 * are refused.
 * @throws when the labels do not fill a grid
 */
export const byLayerAndHead = takes.byLayerAndHead(function byLayerAndHead(
  result: Labelled,
  axis = result.axes[0]?.name ?? '',
): Labelled {
  const a = axisOf(result, axis, 'byLayerAndHead');
  const { values, axes, meta } = result;
  const parts = axes[a].labels.map((label) => /^(L\d+)(H\d+)$/.exec(label));
  const [layers, heads] = [1, 2].map((i) => [...new Set(parts.map((p) => p?.[i] ?? ''))]);
  const grid = layers.flatMap((l) => heads.map((h) => l + h));
  if (grid.join() !== axes[a].labels.join())
    throw new Error(`byLayerAndHead: the labels of "${axis}" are not L0H0, L0H1, … of every layer and head`);
  const two = [
    { name: 'layer', labels: layers },
    { name: 'head', labels: heads },
  ];
  return labelled(values, [...axes.slice(0, a), ...two, ...axes.slice(a + 1)], meta);
});

/**
 * layer × head as one axis, `head`, with labels `L0H0`, `L0H1`, …: the other way round. @throws when the
 * first axes are others
 */
export const oneAxisOfHeads = takes.oneAxisOfHeads(function oneAxisOfHeads({
  values,
  axes,
  meta,
}: Labelled): Labelled {
  const [layer, head, ...rest] = axes;
  if (layer?.name !== 'layer' || head?.name !== 'head')
    throw new Error(`oneAxisOfHeads: layer × head come first, not ${axes.map((a) => a.name).join(' × ')}`);
  const labels = layer.labels.flatMap((l) => head.labels.map((h) => l + h));
  return labelled(values, [{ name: 'head', labels }, ...rest], { ...meta });
});

/** One entry of a result. */
export interface Entry {
  /** `L9H9`, `L0 · 10:␣Mary`. */
  readonly name: string;
  readonly value: number;
  /** Row-major. */
  readonly index: number;
  /** Along each axis. */
  readonly at: readonly number[];
}

/**
 * The n largest entries, by size unless `sign` is 1 (the most positive) or −1 (the most negative).
 * NaN comes last.
 */
export const strongest = takes.strongest(function strongest(
  result: Labelled,
  n: number,
  { sign = 0 }: { readonly sign?: 1 | -1 | 0 } = {},
): Entry[] {
  const { values, shape, axes } = result;
  const size = (v: number) => (Number.isNaN(v) ? -Infinity : sign ? sign * v : Math.abs(v));
  const order = Array.from(values, (_, i) => i).sort((a, b) => size(values[b]) - size(values[a]) || a - b);
  return order.slice(0, n).map((index) => {
    const at: number[] = [];
    let rest = index;
    for (const d of [...shape].reverse()) {
      at.unshift(rest % d);
      rest = Math.floor(rest / d);
    }
    return { name: cellName(axes, index), value: values[index], index, at };
  });
});

/**
 * The sizes of all entries, the largest first: axis `rank`, a curve that says how few entries there are that
 * count.
 */
export const bySize = takes.bySize(function bySize({ values, meta }: Labelled): Labelled {
  const sizes = values.map(Math.abs).sort().reverse();
  return labelled(sizes, [{ name: 'rank', labels: Array.from(sizes, (_, i) => String(i)) }], { ...meta });
});
