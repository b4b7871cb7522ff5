/** Every array that the demo on attribution patching plotted of GPT-2 small, and what it printed. */

import { readFileSync } from 'node:fs';
import { type AttributionMaps, type Labelled, slices } from '../../index.js';
import type { Comparison } from '../../interp/plots/compare.js';
import { byHead } from './attribution-draw.js';
import type { Exact } from './attribution-exact.js';
import type { Paths } from './attribution-paths.js';
import type { Start } from './attribution-setup.js';
import type { Experiment } from './experiment.js';
import { type Grid, gridRows } from './published-rows.js';

/** See `source` in the file. */
export const published = JSON.parse(
  readFileSync(new URL('./published/attribution-patching.json', import.meta.url), 'utf8'),
) as {
  /** Mean logit difference of the clean run. */
  readonly value: number;
  /** How many activations, and gradients, it kept. */
  readonly caches: number;
  readonly names: readonly string[];
  readonly answers: Grid;
  readonly residual: Grid;
  readonly layerOutputs: Grid;
  readonly vectors: Readonly<Record<'k' | 'q' | 'v' | 'z', Grid>>;
  readonly patternsByPos: Grid;
  /** resid_pre, attn_out, mlp_out. */
  readonly blocks: { readonly exact: readonly Grid[]; readonly attributed: readonly Grid[] };
  /** z, q, k, v, pattern. */
  readonly heads: { readonly exact: readonly Grid[]; readonly attributed: readonly Grid[] };
  readonly byPos: readonly Grid[];
  readonly topHeads: readonly string[];
  readonly paths: readonly (readonly [
    receiver: number,
    senders: readonly number[],
    values: readonly number[],
  ])[];
  /** [head][prompt][query][key up to the query]. */
  readonly attention: { readonly heads: readonly string[]; readonly patterns: readonly (readonly Grid[])[] };
  readonly factual: {
    readonly tests: readonly {
      readonly prompt: string;
      readonly answer: string;
      readonly logit: number;
      readonly percent: number;
      readonly top: readonly (readonly [text: string, logit?: number, percent?: number])[];
    }[];
    readonly residual: Grid;
    readonly clean: number;
    readonly corrupted: number;
  };
};

/** Everything that is compared. */
export interface Computed {
  readonly start: Start;
  readonly attributed: AttributionMaps;
  readonly exact: Exact;
  readonly paths: Paths;
}

const TOLERANCE = 1e-3;
const SITES = ['z', 'q', 'k', 'v', 'pattern'] as const;
const BLOCKS = ['resid_pre', 'attn_out', 'mlp_out'] as const;

/** The first position that differs; before it the arrays are 0, and are left out of the file. */
const FROM = 10;

/** Compares all of them. */
export function comparePublished(x: Experiment, { start, attributed, exact, paths }: Computed): void {
  const near = (name: string, expected: number, got: number, tolerance: number): Comparison => ({
    name,
    expected,
    got,
    tolerance,
  });
  x.compare('what it printed', [
    near('clean logit difference', published.value, start.clean, 5e-4),
    near('corrupted logit difference', -published.value, start.corrupted, 5e-4),
    near('activations', published.caches, start.activations, 0),
    near('gradients', published.caches, start.gradients, 0),
    { name: 'heads', expected: published.names.join(), got: start.names.join() },
    ...published.answers.flatMap((pair, i) =>
      pair.map((token, k) => near(`answer ${i}.${k}`, token, start.answers[i][k], 0)),
    ),
  ]);
  const late = (title: string, expected: Grid, got: Labelled) =>
    x.compare(title, lateRows(title, expected, got));
  const grid = (title: string, expected: Grid, got: Labelled) =>
    x.compare(
      title,
      gridRows(title, expected, got, () => TOLERANCE),
    );
  late('residual stream: attributed', published.residual, attributed.residual);
  late('layers: attributed', published.layerOutputs, attributed.layerOutputs);
  late('heads’ outputs: attributed', published.vectors.z, attributed.headOutputs);
  const vectors = slices(attributed.headVectors, 0);
  for (const [i, name] of (['k', 'q', 'v', 'z'] as const).entries()) {
    late(`${name} by position: attributed`, published.vectors[name], vectors[i]);
    const sums = byHead(vectors[i], x.model.config);
    grid(`${name} in all: attributed`, published.heads.attributed[SITES.indexOf(name)], sums);
  }
  for (const [i, at] of BLOCKS.entries()) {
    late(`${at}: patched`, published.blocks.exact[i], slices(exact.blocks, 0)[i]);
    late(`${at}: attributed`, published.blocks.attributed[i], slices(attributed.blocks, 0)[i]);
  }
  const byPos = { k: 1, q: 1, v: 1, z: 1 };
  for (const [i, at] of SITES.entries()) {
    grid(`${at} of heads: patched`, published.heads.exact[i], slices(exact.heads, 0)[i]);
    grid(`${at} of heads: attributed`, published.heads.attributed[i], slices(attributed.heads, 0)[i]);
    const expected = at in byPos ? published.vectors[at as keyof typeof byPos] : published.patternsByPos;
    late(`${at} by head and position: attributed`, expected, headRows(slices(attributed.headsByPos, 0)[i]));
    if (exact.byPos)
      late(`${at} by head and position: patched`, published.byPos[i], headRows(slices(exact.byPos, 0)[i]));
  }
  comparePaths(x, paths);
  for (const [h, name] of published.attention.heads.entries())
    x.compare(
      `attention of ${name}`,
      published.attention.patterns[h].flatMap((pattern, prompt) =>
        pattern.flatMap((row, query) =>
          row.map((value, key) =>
            near(
              `${name}, prompt ${prompt}, ${query} → ${key}`,
              value,
              exact.patterns.get(name)?.[prompt]?.[query * pattern.length + key] ?? Number.NaN,
              TOLERANCE,
            ),
          ),
        ),
      ),
    );
}

/** The paths as the notebook computed them, 0 where it has none. */
function comparePaths(x: Experiment, { notebook, top }: Paths): void {
  const width = notebook.shape[1];
  const expected = new Float64Array(notebook.values.length);
  for (const [receiver, senders, values] of published.paths)
    senders.forEach((sender, i) => {
      expected[receiver * width + sender] = values[i];
    });
  const [receivers, senders] = notebook.axes.map((a) => a.labels);
  x.compare('strongest heads', [
    { name: 'between which it drew paths', expected: published.topHeads.join(), got: top.join() },
  ]);
  x.compare(
    'paths with the layer norm as the notebook had it',
    published.paths.flatMap(([receiver, list, values]) =>
      list.map((sender, i) => ({
        name: `${senders[sender] ?? sender} → ${receivers[receiver] ?? receiver}`,
        expected: values[i],
        got: notebook.values[receiver * width + sender] ?? Number.NaN,
        tolerance: 1e-4,
      })),
    ),
  );
  let others = 0;
  notebook.values.forEach((v, i) => {
    if (!expected[i]) others = Math.max(others, Math.abs(v));
  });
  x.compare('paths that are none', [{ name: 'largest', expected: 0, got: others, tolerance: 1e-4 }]);
}

/** Rows of a map [row, pos], from the position on that differs; what lies before is one row: the largest of it. */
function lateRows(title: string, expected: Grid, { values, shape, axes }: Labelled): Comparison[] {
  let before = 0;
  values.forEach((v, i) => {
    if (i % shape[1] < FROM) before = Math.max(before, Math.abs(v));
  });
  return [
    { name: `${title}, before position ${FROM}`, expected: 0, got: before, tolerance: 1e-5 },
    ...expected.flatMap((row, r) =>
      row.map((value, c) => ({
        name: `${axes[0].labels[r] ?? r} ${axes[1].labels[FROM + c] ?? FROM + c}`,
        expected: value,
        got: r < shape[0] && FROM + c < shape[1] ? values[r * shape[1] + FROM + c] : Number.NaN,
        tolerance: TOLERANCE,
      })),
    ),
  ];
}

/** [layer, pos, head] as [head of all layers, pos]. */
function headRows({ values, shape, axes, meta }: Labelled): Labelled {
  const [layers, positions, heads] = shape;
  const labels = axes[0].labels.flatMap((l) => axes[2].labels.map((h) => `${l}${h}`));
  const out = Float32Array.from({ length: values.length }, (_, i) => {
    const [row, pos] = [Math.floor(i / positions), i % positions];
    return values[(Math.floor(row / heads) * positions + pos) * heads + (row % heads)];
  });
  return { values: out, shape: [layers * heads, positions], axes: [{ name: 'head', labels }, axes[1]], meta };
}
