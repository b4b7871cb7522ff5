/** A figure in all its forms: SVG, part of a page, a page of its own, lines of a terminal. */

import { is, optional, options, signatures } from '../../../hooks/input/check.js';
import { warningsOf } from '../../results/ends.js';
import type { LabelledData } from '../../results/result.js';
import { displayWidth, escapeHtml, exact, modelName, shorten, wrapped } from '../../results/text.js';
import { page, type Section } from '../page/page.js';
import { type PdfOptions, pdfOf } from './pdf.js';
import type { FrameOptions, SvgTheme } from './svg-parts.js';
import { paint, TERMINAL, type TerminalOptions } from './terminal.js';

/** A picture, not yet drawn. Nothing is written or printed here. */
export interface Figure {
  readonly title: string;
  /** A file of its own. Default 'auto': it follows the reader's theme. */
  svg(theme?: SvgTheme): string;
  /** A PDF with vectors and text, of the light theme. @throws when jsPDF or a font is missing */
  pdf(options?: PdfOptions): Promise<Uint8Array>;
  /** Of a page with several figures, see `page`. */
  section(): Section;
  /** A page of its own, which loads nothing. */
  html(): string;
  /** For a terminal. */
  lines(options?: TerminalOptions): string[];
}

const takes = signatures({
  svg: { theme: optional(is.oneOf('auto', 'light', 'dark')) },
  pdf: {
    options: options<PdfOptions>({
      fonts: is.having('{ regular, bold }: font files', 'regular'),
      jsPDF: is.callback,
    }),
  },
  section: {},
  html: {},
  lines: { options: TERMINAL },
});

/** Room for a picture on a page, in pixels. */
const PAGE = 1000;

/** What a figure is made of. */
export interface Drawing {
  readonly title: string;
  /** How to read it, a sentence or two of plain text. */
  readonly about?: string;
  /** Said first, on the picture, on the page and in the terminal. Default: those of the result. */
  readonly warnings?: readonly string[];
  /** Small text below the picture in a file of its own: prompts, model, adapter. A page has the facts below it. */
  readonly notes?: readonly string[];
  /** Of the result: where the numbers come from. */
  readonly meta: LabelledData['meta'];
  svg(frame: FrameOptions): string;
  lines(options: TerminalOptions): string[];
}

/** The figure of a drawing. */
export function drawnFigure({ title, about = '', meta, svg, lines, ...more }: Drawing): Figure {
  const { warnings = warningsOf(meta), notes } = more;
  const alone = (theme: SvgTheme) =>
    svg({ standalone: true, theme, warnings, ...(notes?.length && { notes }) });
  const lead = [
    ...warnings.map((text) => `<strong class="warning">${escapeHtml(text)}</strong>`),
    escapeHtml(about),
  ];
  const section = (): Section => ({
    title,
    about: lead.filter(Boolean).join(' '),
    figure: `<div class="scroll">${svg({ width: PAGE })}</div>`,
    source: facts(meta),
  });
  return {
    title,
    svg: takes.svg((theme: SvgTheme = 'auto') => alone(theme)),
    pdf: takes.pdf(async (options?: PdfOptions) => pdfOf(alone('light'), title, options)),
    section: takes.section(section),
    html: takes.html(() =>
      page({
        title,
        lead: lead.filter(Boolean).join(' '),
        sections: [{ ...section(), title: '', about: '' }],
      }),
    ),
    lines: takes.lines((options: TerminalOptions = {}) => [
      ...warnings.flatMap((text) => warningLines(text, options)),
      ...lines(options),
    ]),
  };
}

function warningLines(text: string, { width = 80, depth = 1 }: TerminalOptions): string[] {
  const lines = wrapped(text, (line) => displayWidth(line) <= width);
  return lines.map((line) => paint(shorten(line, width), { bold: true }, depth));
}

/** What of a result's provenance is short enough for a line below its figure. */
function facts(meta: LabelledData['meta']): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [name, value] of Object.entries(meta)) {
    if (name === 'warnings') continue; // said above
    if (name === 'model' && typeof value === 'string') out[name] = modelName(value);
    else if (typeof value === 'number') out[name] = exact(value);
    else if (typeof value === 'boolean') out[name] = value ? 'yes' : 'no';
    else if (typeof value === 'string') out[name] = value;
    else if (Array.isArray(value) && value.length && value.every((v) => typeof v === 'string'))
      out[name] = value.join(', ');
  }
  return out;
}
