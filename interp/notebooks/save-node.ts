/** A report as files: the page, CSV and text, and figures as SVG and other forms (Node). */

import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Figure } from '../plots/drawing.js';
import type { Report, ReportPage } from './report.js';

/** What is written besides the page, texts and SVG. */
export interface SaveReportOptions extends ReportPage {
  /** Makes further forms of a figure, by ending: `{ png: (figure) => bytes }`. */
  readonly forms?: Readonly<Record<string, (figure: Figure) => Promise<Uint8Array>>>;
}

/**
 * Writes a report into a folder, which is made if it is missing: `index.html`, its texts, and its figures.
 * @returns paths of the files
 */
export async function saveReport(
  report: Report,
  folder: string,
  { forms = {}, ...how }: SaveReportOptions = {},
): Promise<string[]> {
  const files: string[] = [];
  const write = (name: string, data: string | Uint8Array) => {
    const file = path.join(folder, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, data);
    files.push(file);
  };
  for (const [name, text] of report.texts) write(name, text);
  for (const [name, figure] of report.figures) {
    write(`${name}.svg`, figure.svg());
    for (const [ending, make] of Object.entries(forms)) write(`${name}.${ending}`, await make(figure));
  }
  write('index.html', report.page(how));
  return files;
}
