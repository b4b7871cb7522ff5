/** Where results of sweeps go: files, and the terminal. */

import { mkdirSync } from 'node:fs';
import path from 'node:path';
import type { LabelledData } from '../../index.js';
import { figure } from '../../interp/figures/figure.js';
import { toCsv, toJson } from '../../interp/results/export.js';
import { exact } from '../../interp/results/text.js';
import { printable } from '../../weights/checks/shown.js';
import type { terminal } from '../cli.js';
import { writeWhole } from '../write.js';

/** Files that are wanted. */
export type Files = Readonly<Partial<Record<'csv' | 'json' | 'svg' | 'html', string>>>;

/** The files among other options. */
export const filesOf = ({ csv, json, svg, html }: Files): Files => ({ csv, json, svg, html });

/** Makes the folder of a file that will be written. */
export const makeFolder = (file: string): void => void mkdirSync(path.dirname(file), { recursive: true });

/** More cells than this are told by the largest ones. */
const MOST_CELLS = 1500;
const LARGEST = 8;

/**
 * Says the result in lines, then writes the files: the same result, the same bytes, because what it took to
 * compute it is left out. A file that cannot be written takes nothing from the terminal.
 */
export function deliver(
  { meta, ...result }: LabelledData,
  files: Files,
  screen: ReturnType<typeof terminal>,
  say: (...lines: readonly string[]) => void,
): void {
  const { work: _, ...lasting } = meta;
  const labelled: LabelledData = { ...result, meta: lasting };
  const write = (file: string | undefined, text: () => string) => {
    if (file === undefined) return;
    writeWhole(file, text());
  };
  const drawn = labelled.axes.length <= 3 ? figure(labelled) : null;
  const shown = drawn && labelled.values.length <= MOST_CELLS ? drawn.lines(screen) : largest(labelled);
  say(...['', ...shown, '', ...endsOf(labelled)].map((line) => printable(line, { colours: true })));
  write(files.csv, () => toCsv(labelled));
  write(files.json, () => toJson(labelled));
  if ((files.svg ?? files.html) !== undefined && !drawn)
    throw new Error(
      `a picture has at most three axes, this result ${labelled.axes.length}: --svg and --html are not written`,
    );
  write(files.svg, () => drawn!.svg());
  write(files.html, () => drawn!.html());
  const written = Object.values(files).filter((file) => file !== undefined);
  if (written.length) say(`Written: ${written.join(', ')}`);
}

/** The cells furthest from zero. */
function largest({ values, axes, shape }: LabelledData): string[] {
  const order = Array.from(values.keys())
    .filter((i) => Number.isFinite(values[i]))
    .sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]) || a - b);
  const label = (index: number) => {
    let rest = index;
    return axes
      .map((axis, i) => {
        const size = shape.slice(i + 1).reduce((n, d) => n * d, 1);
        const at = Math.floor(rest / size);
        rest %= size;
        return axis.labels[at];
      })
      .join('  ');
  };
  const lines = order
    .slice(0, LARGEST)
    .map((i) => `  ${exact(values[i], { sign: true }).padStart(9)}  ${label(i)}`);
  return [`${values.length} cells (${shape.join(' × ')}); the largest:`, ...lines];
}

/** The metric of the runs that cells lie between. */
function endsOf({ meta }: LabelledData): string[] {
  const number = (name: string) =>
    typeof meta[name] === 'number' ? `${name} ${exact(meta[name], { sign: true })}` : '';
  const ends = ['clean', 'corrupted', 'base'].map(number).filter(Boolean);
  return ends.length ? [`${meta.metric}: ${ends.join(', ')}`] : [];
}
