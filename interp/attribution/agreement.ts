/**
 * How good is an approximation? `agreement` holds two results of the same axes against each other;
 * `compareWithPatching` runs attribution patching and the exact sweep (hooks/sweep/counterfactuals.ts), for
 * all cells, or only for those that the attribution says matter most: "attribute everything, verify the top".
 */

import { is, options, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import type { SweepOptions } from '../../hooks/sweep/counterfactuals.js';
import { cellsOf, usualAxes } from '../patching/cells.js';
import { patch, patchCells } from '../patching/patching.js';
import { pearson, spearman } from '../results/correlation.js';
import { cellName, type Labelled, labelled } from '../results/result.js';
import { type AttributionPatchOptions, attributionPatch } from './attribution-patching.js';
import { ALIGNED_PAIR, attributionPair } from './attribution-runs.js';

/** A cell of both results. */
export interface Miss {
  /** Of the cell: `L9H9`, `L0 · 10:␣Mary`. */
  readonly name: string;
  readonly index: number;
  readonly attributed: number;
  readonly exact: number;
}

/** How far two results agree. */
export interface Agreement {
  /** Cells that have a finite value in both. */
  readonly cells: number;
  /** Pearson's correlation, and that of the ranks (Spearman's). NaN when one side is constant. */
  readonly pearson: number;
  readonly spearman: number;
  /**
   * Of the cells whose exact value is at least 1 % of the largest, the share whose attribution has the same
   * sign.
   */
  readonly signs: number;
  /** Mean |attributed − exact|, and the largest. */
  readonly meanError: number;
  readonly maxError: number;
  /** The cells that are off the most, the worst first. */
  readonly worst: readonly Miss[];
  /** The same in lines of text. */
  lines(): string[];
}

/** Below this part of the largest value a sign says nothing. */
const NOTHING = 0.01;

const COMPARE = options<ComparePatchingOptions>({
  ...ALIGNED_PAIR,
  record: is.record,
  maxTokens: is.count,
  rank: is.callback,
  at: is.text,
  by: is.texts,
  only: is.plainObject,
  verify: is.count,
  worst: is.whole,
});

const takes = signatures({
  agreement: {
    attributed: is.labelled,
    exact: is.labelled,
    options: options<{ worst?: number }>({ worst: is.whole }),
  },
  compareWithPatching: { model: is.model, options: COMPARE },
});

/**
 * Holds an approximation against what is exact.
 * @param options `worst`: how many misses are named. Default 8
 * @throws when the axes differ, or no cell has two values.
 */
export const agreement = takes.agreement(function agreement(
  attributed: Labelled,
  exact: Labelled,
  { worst = 8 }: { worst?: number } = {},
): Agreement {
  const shape = ({ axes }: Labelled) => axes.map((a) => `${a.name} (${a.labels.length})`).join(' × ');
  if (shape(attributed) !== shape(exact))
    throw new Error(
      `agreement: attributed is ${shape(attributed)}, exact is ${shape(exact)}: give two results of the same axes`,
    );
  const cells = [...exact.values.keys()].filter(
    (i) => Number.isFinite(attributed.values[i]) && Number.isFinite(exact.values[i]),
  );
  if (!cells.length) throw new Error('agreement: no cell has a finite value in both results');
  const [x, y] = [exact, attributed].map(({ values }) => Float64Array.from(cells, (i) => values[i]));
  const most = x.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
  const telling = [...x.keys()].filter((i) => Math.abs(x[i]) >= NOTHING * most && x[i] !== 0);
  const errors = x.map((v, i) => Math.abs(y[i] - v));
  const misses = [...errors.keys()].sort((a, b) => errors[b] - errors[a]).filter((i) => errors[i] > 0);
  const found = {
    cells: cells.length,
    pearson: pearson(x, y),
    spearman: spearman(x, y),
    signs: telling.filter((i) => Math.sign(x[i]) === Math.sign(y[i])).length / telling.length,
    meanError: errors.reduce((a, b) => a + b, 0) / errors.length,
    maxError: errors.reduce((a, b) => Math.max(a, b), 0),
    worst: misses.slice(0, worst).map(
      (i): Miss => ({
        name: cellName(exact.axes, cells[i]),
        index: cells[i],
        attributed: y[i],
        exact: x[i],
      }),
    ),
  };
  return { ...found, lines: () => report(found) };
});

/** Options of `compareWithPatching`. */
export interface ComparePatchingOptions extends AttributionPatchOptions, Omit<SweepOptions, 'shard'> {
  /** Patch only so many cells: those with the largest |attribution|. Default: all. */
  readonly verify?: number;
  /** How many misses are named. Default 8. */
  readonly worst?: number;
}

/** Both answers to one question. */
export interface PatchingComparison {
  /** The whole map. */
  readonly attributed: Labelled;
  /** Of the cells that were patched: the whole map, or with `verify` a list, axis `cell`. */
  readonly exact: Labelled;
  /** The attributions of the same cells, with the axes of `exact`. */
  readonly checked: Labelled;
  readonly agreement: Agreement;
}

/** Attribution patching, and the patches themselves. `onProgress`, `record` … are those of the sweep. */
export const compareWithPatching = takes.compareWithPatching(async function compareWithPatching(
  model: Model,
  options: ComparePatchingOptions,
): Promise<PatchingComparison> {
  const { verify, worst, onProgress, record, maxTokens, signal, ...o } = options;
  if (verify !== undefined && !(Number.isInteger(verify) && verify > 0))
    throw new Error(`compareWithPatching: verify ${verify}: a whole number from 1 is needed`);
  const { at = 'resid_pre', only = {}, clean, corrupted, metric, prependBos, align } = o;
  const by = o.by ?? usualAxes(model, at, 'compareWithPatching');
  const attributed = await attributionPatch(model, { ...o, signal });
  const pair = { clean, corrupted, metric, prependBos, align, onProgress, record, maxTokens, signal };
  if (verify === undefined) {
    const exact = await patch(model, { ...pair, at, by, only });
    return { attributed, exact, checked: attributed, agreement: agreement(attributed, exact, { worst }) };
  }
  const { changed, from, partners } = attributionPair(model, o);
  const { axes, parts } = cellsOf(model, at, by, only, changed, 'compareWithPatching', from, partners);
  const prompts = attributed.values.length / parts.length;
  const size = (cell: number) => {
    let sum = 0;
    for (let i = 0; i < prompts; i++) sum += Math.abs(attributed.values[cell * prompts + i]);
    return sum;
  };
  const top = [...parts.keys()].sort((a, b) => size(b) - size(a)).slice(0, verify);
  const axis = { name: 'cell', labels: top.map((i) => cellName(axes, i)) };
  const exact = await patchCells(
    model,
    pair,
    at,
    [axis],
    top.map((i) => parts[i]),
  );
  const values = top.flatMap((i) => [...attributed.values.subarray(i * prompts, (i + 1) * prompts)]);
  const checked = labelled(Float32Array.from(values), exact.axes, { ...attributed.meta }, 'allowed');
  return { attributed, exact, checked, agreement: agreement(checked, exact, { worst }) };
});

function report(a: Omit<Agreement, 'lines'>): string[] {
  const number = (x: number) => (Number.isFinite(x) ? x.toFixed(4) : 'none');
  return [
    `${a.cells} cells: correlation ${number(a.pearson)}, of the ranks ${number(a.spearman)}; ${Number.isFinite(a.signs) ? `${(100 * a.signs).toFixed(0)} % of the signs agree; ` : ''}mean error ${number(a.meanError)}, largest ${number(a.maxError)}`,
    ...a.worst.map((m) => `${m.name}: attributed ${number(m.attributed)}, exact ${number(m.exact)}`),
  ];
}
