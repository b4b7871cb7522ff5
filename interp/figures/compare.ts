/** Published numbers against computed ones, as a table. */

import { is, needed, options, signatures } from '../../hooks/input/check.js';
import { displayWidth, fit, visibleLabel } from '../results/text.js';
import { paint, TERMINAL_SPEC, type TerminalOptions } from './draw/terminal.js';

/** A number, or a text such as a token, that is known, and what came out. */
export interface Comparison {
  readonly name: string;
  readonly expected: number | string;
  readonly got: number | string;
  /** Largest |got − expected| that agrees; of texts, which must be equal, nothing. Default 0. */
  readonly tolerance?: number;
}

const VALUE = is.either(is.text, { what: 'a number', is: (v) => typeof v === 'number' });
const COMPARISON = options<Comparison>({
  name: needed(is.text),
  expected: needed(VALUE),
  got: needed(VALUE),
  tolerance: is.notNegative,
});

const takes = signatures({
  agrees: { comparison: COMPARISON },
  comparisonTable: {
    rows: is.listOf(COMPARISON, 'a list of { name, expected, got }'),
    options: options<ComparisonOptions>({ ...TERMINAL_SPEC, markdown: is.boolean }),
  },
});

/** Whether both agree. NaN agrees with nothing. */
export const agrees = takes.agrees(function agrees({ expected, got, tolerance = 0 }: Comparison): boolean {
  if (typeof expected !== 'number' || typeof got !== 'number' || expected === got) return expected === got;
  return Math.abs(got - expected) <= tolerance;
});

/** How a comparison is laid out. */
export interface ComparisonOptions extends TerminalOptions {
  /** A Markdown table, without colours. Default false. */
  readonly markdown?: boolean;
}

const HEADS = ['', 'expected', 'got', 'difference', 'tolerance', ''] as const;

/** A table of expected, got, difference, tolerance and ✓ or ✗, a line each, and how many agree. */
export const comparisonTable = takes.comparisonTable(function comparisonTable(
  rows: readonly Comparison[],
  options: ComparisonOptions = {},
): string[] {
  const { width = 100, depth = 1, markdown = false } = options;
  const table = rows.map((row) => {
    const { name, expected, got, tolerance = 0 } = row;
    const numbers = typeof expected === 'number' && typeof got === 'number';
    return [
      visibleLabel(name),
      show(expected),
      show(got),
      numbers ? difference(got - expected) : '',
      numbers ? `${tolerance}` : '',
      agrees(row) ? '✓' : '✗',
    ];
  });
  const passed = rows.filter(agrees).length;
  const summary = `${passed} of ${rows.length} agree`;
  if (markdown) {
    const line = (cells: readonly string[]) =>
      `| ${cells.map((c) => c.replaceAll('|', '\\|')).join(' | ')} |`;
    return [line(HEADS), '| :-- | --: | --: | --: | --: | :-: |', ...table.map(line), '', `${summary}.`];
  }
  const widths = HEADS.map((head, c) => Math.max(...[head, ...table.map((r) => r[c])].map(displayWidth)));
  const others = widths.slice(1).reduce((sum, w) => sum + w + 2, 0);
  widths[0] = Math.max(8, Math.min(widths[0], width - others));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, c) => fit(cell, widths[c], c === 0 ? 'left' : 'right'))
      .join('  ')
      .trimEnd();
  const colour = (ok: boolean) => (ok ? {} : ({ ink: [224, 90, 80], bold: true } as const));
  return [
    paint(line(HEADS), { dim: true }, depth),
    ...table.map((cells, i) => paint(line(cells), colour(agrees(rows[i])), depth)),
    paint(summary, { bold: true, ...colour(passed === rows.length) }, depth),
  ];
});

/** Seven digits: what an f32 holds. */
const show = (value: number | string): string =>
  typeof value === 'string'
    ? visibleLabel(value)
    : String(Number(value.toPrecision(7)) + 0).replace('-', '−');

const difference = (value: number): string => {
  if (!Number.isFinite(value)) return String(value).replace('-', '−');
  return value === 0 ? '0' : `${value < 0 ? '−' : '+'}${Math.abs(value).toExponential(1)}`;
};
