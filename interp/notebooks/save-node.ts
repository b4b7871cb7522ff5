/** A report as files: the page, CSV and text, and figures as SVG and other forms (Node). */

import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { is, options, signatures } from '../../hooks/input/check.js';
import { writeAtomically } from '../../weights/files/disk-node.js';
import type { Figure } from '../figures/draw/drawing.js';
import type { Report, ReportPage } from './report.js';

const takes = signatures({
  saveReport: {
    report: is.having('a report, as runNotebook gives it', 'page', 'texts', 'figures'),
    folder: is.text,
    options: options<SaveReportOptions>({ footer: is.text, height: is.notNegative, forms: is.plainObject }),
  },
});

/** What is written besides the page, texts and SVG. */
export interface SaveReportOptions extends ReportPage {
  /** Makes further forms of a figure, by ending: `{ png: (figure) => bytes }`. */
  readonly forms?: Readonly<Record<string, (figure: Figure) => Promise<Uint8Array>>>;
}

/**
 * Writes a report into a folder, which is made if it is missing: `index.html`, its texts, and its figures.
 * Each file is written whole or not at all.
 * @returns paths of the files
 */
export const saveReport = takes.saveReport(async function saveReport(
  report: Report,
  folder: string,
  { forms = {}, ...how }: SaveReportOptions = {},
): Promise<string[]> {
  const files: string[] = [];
  const write = async (name: string, data: string | Uint8Array) => {
    const file = path.join(folder, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeAtomically(file, (into) =>
      into(typeof data === 'string' ? new TextEncoder().encode(data) : data),
    );
    files.push(file);
  };
  for (const [name, text] of report.texts) await write(name, text);
  for (const [name, figure] of report.figures) {
    await write(`${name}.svg`, figure.svg());
    for (const [ending, make] of Object.entries(forms)) await write(`${name}.${ending}`, await make(figure));
  }
  await write('index.html', report.page(how));
  return files;
});
