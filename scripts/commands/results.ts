/** Labelled results as the commands give them away. */

import type { Figure } from '../../interp/figures/draw/drawing.js';
import { warningsOf } from '../../interp/results/ends.js';
import { toCsv, toJson } from '../../interp/results/export.js';
import type { Labelled } from '../../interp/results/result.js';
import type { Outcome } from './command.js';

/** A result as JSON, which `fromJson` reads, with what its method adds. */
export const plain = (result: Labelled, more: object = {}): object => ({
  ...JSON.parse(toJson(result)),
  ...more,
});

/** The outcome of a command with one result and one figure of it. `title`: of the page. */
export const shown = (result: Labelled, picture: Figure, title = picture.title): Outcome => ({
  title,
  lines: (screen) => picture.lines(screen),
  json: () => plain(result),
  csv: () => toCsv(result),
  sections: () => [picture.section()],
  svg: (theme) => picture.svg(theme),
  warnings: warningsOf(result.meta),
});
