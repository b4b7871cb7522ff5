/** Published lists and grids against labelled results, entry by entry. */

import type { Labelled } from '../../index.js';
import type { Comparison } from '../../interp/figures/compare.js';

/** By layer and position, or layer and head. */
export type Grid = readonly (readonly number[])[];

/** What the notebooks plotted of direct logit attribution: see `Attribution`. */
export interface PublishedAttribution {
  /** Of twelve layers: `0_pre`, `0_mid`, …, `final_post`. */
  readonly lens: readonly number[];
  /** `embed`, `pos_embed`, `0_attn_out`, `0_mlp_out`, … */
  readonly layers: readonly number[];
  readonly heads: Grid;
}

/** A grid by layer and something else. A cell that the result lacks is off. */
export const gridRows = (
  name: string,
  expected: Grid,
  { values, shape, axes }: Labelled,
  tolerance: (expected: number) => number,
): Comparison[] =>
  expected.flatMap((row, l) =>
    row.map((value, c) => ({
      name: `${name} L${l} ${axes[1].labels[c] ?? c}`,
      expected: value,
      got: l < shape[0] && c < shape[1] ? values[l * shape[1] + c] : Number.NaN,
      tolerance: tolerance(value),
    })),
  );

/** Tolerance of what the notebooks plotted: they ran on other hardware, in f32. */
const PLOTTED = 2e-3;

/** The three plots of direct logit attribution. */
export function attributionRows(
  published: PublishedAttribution,
  got: Readonly<Record<keyof PublishedAttribution, Labelled>>,
): [title: string, rows: Comparison[]][] {
  const list = (name: string, expected: readonly number[], labels: readonly string[], from: Labelled) =>
    expected.map((value, i) => ({
      name: `${name} ${labels[i]}`,
      expected: value,
      got: from.values[from.axes[0].labels.indexOf(labels[i])] ?? Number.NaN,
      tolerance: PLOTTED,
    }));
  const { lens, layers, heads } = published;
  const blocks = heads.map((_, l) => l);
  const states = [...blocks.flatMap((l) => [`${l}_pre`, `${l}_mid`]), 'final_post'];
  const parts = ['embed', 'pos_embed', ...blocks.flatMap((l) => [`${l}_attn_out`, `${l}_mlp_out`])];
  return [
    ['logit lens', list('lens', lens, states, got.lens)],
    ['layers', list('layer', layers, parts, got.layers)],
    ['heads', gridRows('head', heads, got.heads, () => PLOTTED)],
  ];
}
