/** Groups of known numbers against what came out: shortened for a terminal, and in full for files. */

import type { HookedTransformer, PromptTest } from '../../index.js';
import { agrees, type Comparison } from '../../interp/figures/compare.js';
import { csvText, htmlTable } from '../../interp/notebooks/tables.js';
import { escapeHtml, visible } from '../../interp/results/text.js';

/** Numbers of one kind. */
export interface Group {
  readonly title: string;
  readonly rows: Comparison[];
}

/** Gathers known numbers and what came out. */
export class Comparing {
  readonly model: HookedTransformer;
  /** Of which published model numbers are compared; null: only what must hold for any. */
  readonly published: string | null;
  readonly groups: Group[] = [];

  constructor(model: HookedTransformer, published: string | null) {
    this.model = model;
    this.published = published;
  }

  /** Notes numbers that are known, and what came out. */
  compare(title: string, rows: readonly Comparison[]): void {
    const group = this.groups.find((g) => g.title === title);
    if (group) group.rows.push(...rows);
    else this.groups.push({ title, rows: [...rows] });
  }
}

/** Two decimals were printed. */
export const PRINTED = 0.0051;

/** What TransformerLens' `test_prompt` printed: logits and probabilities in percent, two decimals. */
export interface PublishedTest {
  readonly prompt: string;
  readonly answer: string;
  readonly rank: number;
  readonly logit: number;
  readonly percent: number;
  readonly top: readonly (readonly [text: string, logit?: number, percent?: number])[];
}

/** A tested prompt against what was printed: logits too, so that the centred unembedding counts. */
export function testRows(published: PublishedTest, { steps: [{ top, answers }] }: PromptTest): Comparison[] {
  const [found] = answers;
  const numbers = (
    name: string,
    [logit, percent]: readonly [number?, number?],
    got = { logit: Number.NaN, prob: Number.NaN },
  ): Comparison[] => [
    ...(logit === undefined
      ? []
      : [{ name: `${name}: logit`, expected: logit, got: got.logit, tolerance: PRINTED }]),
    ...(percent === undefined
      ? []
      : [{ name: `${name}: percent`, expected: percent, got: 100 * got.prob, tolerance: PRINTED }]),
  ];
  return [
    { name: `rank of “${published.answer}”`, expected: published.rank, got: found.rank },
    ...numbers(`“${published.answer}”`, [published.logit, published.percent], found),
    ...published.top.flatMap(([text, logit, percent], i): Comparison[] => [
      { name: `top ${i}`, expected: visible(text.trim()), got: visible((top[i]?.text ?? '').trim()) },
      ...numbers(`top ${i}`, [logit, percent], top[i]),
    ]),
  ];
}

/** A number that is known within a tolerance. */
export const near = (name: string, expected: number, got: number, tolerance: number): Comparison => ({
  ...{ name, expected, got, tolerance },
});

/** The number furthest from zero. */
export const furthest = (values: Iterable<number>): number => {
  let far = 0;
  for (const v of values) if (Math.abs(v) > Math.abs(far)) far = v;
  return far;
};

/** More rows than this are told by their worst one, and by those that differ. */
const SHORT = 24;
/** Of a long group, so many differing rows are told. */
const MOST_DIFFERING = 8;

/** Small groups as they are; of large ones the worst row that agrees and the first that do not. */
export function condensed(groups: readonly Group[]): Comparison[] {
  return groups.flatMap(({ rows }) => {
    if (rows.length <= SHORT) return rows;
    const off = ({ got, expected, tolerance = 0 }: Comparison) =>
      Math.abs(Number(got) - Number(expected)) / (tolerance || 1);
    const good = rows.filter(agrees).sort((a, b) => off(b) - off(a));
    const bad = rows.filter((row) => !agrees(row));
    const rest = bad.length - MOST_DIFFERING;
    return [
      ...good.slice(0, 1).map((row) => ({ ...row, name: `worst of ${good.length}: ${row.name}` })),
      ...bad.slice(0, MOST_DIFFERING).map((row, i) => {
        const more = rest > 0 && i === MOST_DIFFERING - 1 ? ` (and ${rest} more)` : '';
        return { ...row, name: `${row.name}${more}` };
      }),
    ];
  });
}

/** All of them as CSV. */
export const comparisonCsv = (groups: readonly Group[]): string =>
  csvText(
    ['group', 'name', 'expected', 'got', 'difference', 'tolerance', 'ok'],
    groups.flatMap(({ title, rows }) =>
      rows.map((row) => {
        const { name, expected, got, tolerance = 0 } = row;
        return [title, name, expected, got, difference(row) ?? '', tolerance, agrees(row) ? 'yes' : 'no'];
      }),
    ),
  );

/** All of them as tables of a page; long ones are folded. */
export const comparisonHtml = (groups: readonly Group[]): string =>
  groups
    .map(({ title, rows }) => {
      const cells = rows.map((row) => {
        const { name, expected, got, tolerance } = row;
        const apart = difference(row)?.toExponential(1) ?? '';
        return [agrees(row) ? '✓' : '✗', name, show(expected), show(got), apart, String(tolerance ?? '')];
      });
      const table = htmlTable(['', title, 'expected', 'got', 'difference', 'tolerance'], cells);
      if (rows.length <= SHORT) return table;
      const summary = `${title}: ${rows.filter(agrees).length} of ${rows.length} agree`;
      return `<details><summary>${escapeHtml(summary)}</summary>${table}</details>`;
    })
    .join('\n');

/** Seven digits: what an f32 holds. */
const show = (value: number | string): string =>
  typeof value === 'string' ? value : String(Number(value.toPrecision(7)));

const difference = ({ expected, got }: Comparison): number | null =>
  typeof expected === 'number' && typeof got === 'number' ? got - expected : null;
