/** Every array that the demo on attribution patching plotted of GPT-2 small, and what it printed. */

import { readFileSync } from 'node:fs';
import {
  type AttributionMaps,
  byLayerAndHead,
  type FittedPairs,
  type Labelled,
  labelled,
  oneAxisOfHeads,
  type PromptTest,
  slices,
  summed,
} from '../../index.js';
import type { Comparison } from '../../interp/figures/compare.js';
import { type Comparing, near, type PublishedTest, testRows } from './comparison.js';
import { attentionAddsUp } from './exactness.js';
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

/** What the notebook gives back. */
export interface AttributionComputed {
  /** Null for gpt2-xl. */
  readonly objects: {
    readonly fitted: FittedPairs;
    readonly high: number;
    readonly low: number;
    /** Activations and gradients of both runs. */
    readonly sizes: readonly number[];
    readonly names: readonly string[];
    readonly maps: AttributionMaps;
    /** Paths as the demo computes them, receiver × sender, and between which it drew them; null where norms are behind. */
    readonly paths: { readonly demo: Labelled; readonly top: readonly string[] } | null;
    readonly blocks: Labelled;
    readonly heads: Labelled;
    /** Null where only the top was verified. */
    readonly byPos: Labelled | null;
    /** Of each prompt, layer × head × query × key. */
    readonly patterns: readonly Labelled[];
  } | null;
  readonly fact?: {
    readonly tests: readonly PromptTest[];
    readonly exact?: Labelled;
    readonly attributed?: Labelled;
  };
}

const TOLERANCE = 1e-3;
const SITES = ['z', 'q', 'k', 'v', 'pattern'] as const;
const BLOCKS = ['resid_pre', 'attn_out', 'mlp_out'] as const;

/** The first position that differs; before it the arrays are 0, and are left out of the file. */
const FROM = 10;

/** What must hold for any model, and every published number of GPT-2 small, or of GPT-2 XL. */
export function compare(x: Comparing, { objects, fact }: AttributionComputed): void {
  if (objects) exactness(x, objects);
  if (fact?.attributed) {
    const { values, shape, meta } = fact.attributed;
    const before = [...values].filter((_, i) => i % shape[1] < (meta.unchanged as number)).map(Math.abs);
    x.compare('the fact', [near('attributed before the first difference', 0, Math.max(0, ...before), 0)]);
  }
  if (x.published === 'gpt2' && objects) comparePublished(x, objects);
  if (x.published === 'gpt2-xl' && fact) compareFact(x, fact);
}

/** Where attribution cannot be wrong: what is the same in both runs has no part in it, and parts add up. */
function exactness(
  x: Comparing,
  { fitted, high, low, maps, blocks, patterns }: NonNullable<AttributionComputed['objects']>,
): void {
  const { residual, layerOutputs, headOutputs, heads, headsByPos } = maps;
  const [first, positions] = [residual.meta.unchanged as number, residual.shape[1]];
  const apart = (a: ArrayLike<number>, b: ArrayLike<number>) =>
    Array.from(a).reduce((m, v, i) => Math.max(m, Math.abs(v - b[i])), 0);
  const before = [residual, layerOutputs, headOutputs].flatMap((m) =>
    [...m.values].filter((_, i) => i % positions < first),
  );
  const row = (map: Labelled, r: number) => map.values.subarray(r * positions, (r + 1) * positions);
  const learned = layerOutputs.axes[0].labels.indexOf('pos_embed'); // rotary models have none
  const embeddings = Array.from(row(layerOutputs, 0), (v, i) =>
    learned < 0 ? v : v + row(layerOutputs, learned)[i],
  );
  const z = slices(headsByPos, 0)[0];
  x.compare('exactness', [
    near(
      'attributed before the first difference',
      0,
      before.reduce((m, v) => Math.max(m, Math.abs(v)), 0),
      0,
    ),
    attentionAddsUp(patterns),
    near('embed + pos_embed − 0_pre', 0, apart(embeddings, row(residual, 0)), 1e-4),
    near('z by position, summed − z', 0, apart(summed(z, 'pos').values, slices(heads, 0)[0].values), 1e-4),
    ...(Array.from(row(residual, 0)).filter((v) => v !== 0).length === 1
      ? [near('patched resid_pre of layer 0, where prompts differ', 1, blocks.values[first], 1e-4)]
      : []),
    ...(exchanged(fitted) ? [near('clean + corrupted logit difference', 0, high + low, 1e-4)] : []),
  ]);
}

/** Whether each corrupted prompt is another's clean one, with the answers exchanged: the metric is then as much below 0. */
const exchanged = ({ pairs }: FittedPairs): boolean =>
  pairs.every((p) =>
    pairs.some(
      (q) => p.corrupted === q.clean && p.answerToken === q.wrongToken && p.wrongToken === q.answerToken,
    ),
  );

function compareFact(x: Comparing, { tests, exact }: NonNullable<AttributionComputed['fact']>): void {
  published.factual.tests.forEach((fact, i) => {
    const test = { ...fact, rank: 0 } as PublishedTest;
    x.compare(`test prompt “${fact.prompt}”`, testRows(test, tests[i]));
  });
  if (!exact) return;
  const { clean, corrupted } = exact.meta as { clean: number; corrupted: number };
  x.compare('logit differences of the fact', [
    near('clean', published.factual.clean, clean, 2e-3),
    near('corrupted', published.factual.corrupted, corrupted, 2e-3),
  ]);
  x.compare(
    'the fact: patched',
    gridRows('resid_pre', published.factual.residual, exact, () => 2e-3),
  );
}

/** The part on indirect objects, of GPT-2 small. */
function comparePublished(x: Comparing, o: NonNullable<AttributionComputed['objects']>): void {
  const { maps: attributed, fitted } = o;
  x.compare('what it printed', [
    near('clean logit difference', published.value, o.high, 5e-4),
    near('corrupted logit difference', -published.value, o.low, 5e-4),
    near('activations', published.caches, o.sizes[0], 0),
    near('gradients', published.caches, o.sizes[1], 0),
    { name: 'heads', expected: published.names.join(), got: o.names.slice(0, 5).join() },
    ...published.answers.flatMap(([good, bad], i) => [
      near(`answer ${i}.0`, good, fitted.correct[i], 0),
      near(`answer ${i}.1`, bad, fitted.wrong[i], 0),
    ]),
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
    const sums = byLayerAndHead(summed(vectors[i], 'pos'));
    grid(`${name} in all: attributed`, published.heads.attributed[SITES.indexOf(name)], sums);
  }
  for (const [i, at] of BLOCKS.entries()) {
    late(`${at}: patched`, published.blocks.exact[i], slices(o.blocks, 0)[i]);
    late(`${at}: attributed`, published.blocks.attributed[i], slices(attributed.blocks, 0)[i]);
  }
  const byPos = { k: 1, q: 1, v: 1, z: 1 };
  for (const [i, at] of SITES.entries()) {
    grid(`${at} of heads: patched`, published.heads.exact[i], slices(o.heads, 0)[i]);
    grid(`${at} of heads: attributed`, published.heads.attributed[i], slices(attributed.heads, 0)[i]);
    const expected = at in byPos ? published.vectors[at as keyof typeof byPos] : published.patternsByPos;
    late(`${at} by head and position: attributed`, expected, headRows(slices(attributed.headsByPos, 0)[i]));
    if (o.byPos)
      late(`${at} by head and position: patched`, published.byPos[i], headRows(slices(o.byPos, 0)[i]));
  }
  if (o.paths) comparePaths(x, o.paths.demo, o.paths.top);
  for (const [h, name] of published.attention.heads.entries())
    x.compare(
      `attention of ${name}`,
      published.attention.patterns[h].flatMap((pattern, prompt) =>
        pattern.flatMap((row, query) =>
          row.map((value, key) =>
            near(
              `${name}, prompt ${prompt}, ${query} → ${key}`,
              value,
              patternOf(o.patterns[prompt], name, query, key),
              TOLERANCE,
            ),
          ),
        ),
      ),
    );
}

/** The paths as the notebook computed them, 0 where it has none. */
function comparePaths(x: Comparing, notebook: Labelled, top: readonly string[]): void {
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

/** A number of a head's pattern; NaN where there is no such head. */
function patternOf(patterns: Labelled | undefined, head: string, query: number, key: number): number {
  if (!patterns) return Number.NaN;
  const { values, axes, shape } = oneAxisOfHeads(patterns);
  const h = axes[0].labels.indexOf(head);
  return h < 0 ? Number.NaN : values[(h * shape[1] + query) * shape[2] + key];
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
  const [, positions, heads] = shape;
  const labels = axes[0].labels.flatMap((l) => axes[2].labels.map((h) => `${l}${h}`));
  const out = Float32Array.from({ length: values.length }, (_, i) => {
    const [row, pos] = [Math.floor(i / positions), i % positions];
    return values[(Math.floor(row / heads) * positions + pos) * heads + (row % heads)];
  });
  return labelled(out, [{ name: 'head', labels }, axes[1]], meta);
}
