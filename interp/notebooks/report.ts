/**
 * What a notebook says: sections of text, tables and figures, with findings at the head. Nothing is written or printed here: a report
 * gives lines for a terminal (a summary, or everything), a page that loads nothing, and files by name.
 */

import type { Figure } from '../figures/draw/drawing.js';
import { paint, type TerminalOptions } from '../figures/draw/terminal.js';
import { page as pageHtml, type Section } from '../figures/page/page.js';
import { displayWidth, escapeHtml } from '../results/text.js';
import { BESIDE, type Part, partHeight, partHtml, widthOf } from './sections.js';
import { columns } from './tables.js';

/** What a report is told at its beginning. */
export interface ReportHead {
  readonly title: string;
  readonly about: string;
  /** Model, processing, adapter and prompts, by name. */
  readonly facts: Readonly<Record<string, string>>;
}

/** How a report is drawn. */
export interface ReportPage {
  /** HTML at the end: how the page is made again. */
  readonly footer?: string;
  /** Pixels, at 1280 wide, that sections may take as the page opens; those that do not fit are folded. Default 9000. */
  readonly height?: number;
}

/** Pixels of a section that is folded. */
const FOLDED = 114;

/** Sections of a terminal's summary show this many lines of text at most. */
const FEW = 2;

/** Gathers what a notebook says. */
export class Report {
  head: ReportHead;
  readonly findings: string[] = [];
  /** What is left out, or differs from the published notebook, and why. */
  readonly notes: string[] = [];
  readonly #parts: Part[] = [];
  readonly #texts = new Map<string, string>();
  readonly #figures = new Map<string, Figure>();

  constructor(head: ReportHead) {
    this.head = head;
  }

  /** Adds to what the head of the page says by name. */
  fact(name: string, value: string): void {
    this.head = { ...this.head, facts: { ...this.head.facts, [name]: value } };
  }

  /** Begins a section. */
  section(title: string, about = ''): void {
    this.#parts.push({ title, about, blocks: [], files: [] });
  }

  /** Text as it is, in a fixed-width type. */
  text(lines: readonly string[]): void {
    this.#part.blocks.push({ kind: 'text', lines });
  }

  /** A table; the first column is numbers or names, the second text. */
  table(heads: readonly string[], rows: readonly (readonly string[])[]): void {
    this.#part.blocks.push({ kind: 'table', heads, rows });
  }

  /** HTML that is a page's only, such as attention of all heads. */
  html(title: string, about: string, html: string): void {
    this.#part.blocks.push({ kind: 'html', title, about, html });
  }

  /** A figure, which becomes files of that name. @throws when another figure has the name */
  figure(
    file: string,
    figure: Figure,
    { title = figure.title, about = '', beside = widthOf(figure) <= BESIDE, lines = true }: FigureWords = {},
  ): void {
    if (this.#figures.has(file))
      throw new Error(`two figures are called "${file}": one would overwrite the other`);
    this.#figures.set(file, figure);
    this.#part.files.push(`${file}.svg`);
    this.#part.blocks.push({ kind: 'figure', file, figure, title, about, beside, lines });
  }

  /** A file. @throws when another has the name */
  file(name: string, text: string): void {
    if (this.#texts.has(name))
      throw new Error(`two files are called "${name}": one would overwrite the other`);
    this.#texts.set(name, text);
    this.#part.files.push(name);
  }

  get #part(): Part {
    if (!this.#parts.length) this.section(this.head.title);
    return this.#parts.at(-1)!;
  }

  /** Texts by file name. */
  get texts(): ReadonlyMap<string, string> {
    return this.#texts;
  }

  /** Figures by file name without ending. */
  get figures(): ReadonlyMap<string, Figure> {
    return this.#figures;
  }

  /** Lines for a terminal: a summary with findings, what is left out, and what each section has; or everything. */
  lines(screen: TerminalOptions = {}, { verbose = false } = {}): string[] {
    const { width = 80, depth = 1 } = screen;
    const bold = (text: string) => paint(text, { bold: true }, depth);
    const list = (items: readonly string[]) =>
      items.flatMap((item) => wrapped(item, width - 4).map((line, i) => `${i ? '    ' : '  • '}${line}`));
    const facts = Object.entries(this.head.facts).map(([name, value]) => `${name}: ${value}`);
    const out = [bold(this.head.title), ...facts.flatMap((fact) => wrapped(fact, width))];
    if (verbose) for (const part of this.#parts) out.push('', bold(part.title), ...linesOf(part, screen));
    if (this.findings.length) out.push('', bold('Found'), ...list(this.findings));
    if (this.notes.length) out.push('', bold('Left out, or not as published'), ...list(this.notes));
    if (!verbose) {
      out.push('', bold('Sections'));
      this.#parts.forEach((part, i) => {
        const files =
          part.files.length > 6
            ? [...part.files.slice(0, 5), `and ${part.files.length - 5} more files`]
            : part.files;
        const text = [part.title, ...(files.length ? [`→ ${files.join(', ')}`] : [])].join('  ');
        wrapped(text, width - 5).forEach((line, k) => {
          out.push(`${k ? '    ' : `${i + 1}`.padStart(3)} ${line}`);
        });
        const texts = part.blocks.flatMap((b) => (b.kind === 'text' && b.lines.length <= FEW ? b.lines : []));
        for (const line of texts.slice(0, FEW)) out.push(...wrapped(line, width - 5).map((l) => `     ${l}`));
      });
    }
    return out;
  }

  /** A page of its own, with contents and sections that fold. */
  page({ footer = '', height = 9000 }: ReportPage = {}): string {
    const { title, about, facts } = this.head;
    const items = (list: readonly string[], more = '') =>
      list.length
        ? `<ul class="findings${more}">${list.map((x) => `<li>${escapeHtml(x)}</li>`).join('')}</ul>`
        : '';
    const line = Object.entries(facts)
      .map(([name, value]) => `<span><b>${escapeHtml(name)}</b>${escapeHtml(value)}</span>`)
      .join('');
    const tall = this.#parts.map(partHeight);
    let room = height - FOLDED * tall.length;
    const open = new Set<number>();
    for (const i of [...tall.keys()].sort((a, b) => tall[a] - tall[b])) {
      if (tall[i] - FOLDED > room) break; // the tallest are folded
      room -= tall[i] - FOLDED;
      open.add(i);
    }
    const sections = this.#parts.map((part, i): Section => {
      const { title, about } = part;
      return { title, about: escapeHtml(about), figure: partHtml(part), source: {}, open: open.has(i) };
    });
    const intro = `<p class="source own">${line}</p>${items(this.findings)}${items(this.notes, ' quiet')}`;
    return pageHtml({ title, lead: escapeHtml(about), intro, sections, contents: true, footer });
  }
}

/** A figure's words, and where it stands. */
export interface FigureWords {
  readonly title?: string;
  readonly about?: string;
  /** Beside the figure before it, if that is beside too. Default: where it is narrow. */
  readonly beside?: boolean;
  /** Drawn in a terminal's full output. Default true. */
  readonly lines?: boolean;
}

function linesOf(part: Part, screen: TerminalOptions): string[] {
  return part.blocks.flatMap((block) => {
    if (block.kind === 'text') return [...block.lines];
    if (block.kind === 'table') return columns([block.heads, ...block.rows]);
    if (block.kind === 'html') return [];
    return ['', block.title, ...(block.lines ? block.figure.lines(screen) : [`(${block.file}.svg)`])];
  });
}

/** Words in lines of a width. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
    if (lines.length && displayWidth(longer) <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}
