/** Results as data, and as tables that a terminal or a page can show. */

import type { Clock } from './measure.js';
import type { Column, Entry, Section } from './section.js';
import { sections } from './sections.js';

/** Everything that one run of the benchmark measured: what `--json` writes. */
export interface Report {
  /** One line. */
  readonly adapter: string;
  /** ISO 8601. */
  readonly date: string;
  /** Node or browser, and its version. */
  readonly platform: string;
  readonly clock: Clock;
  readonly rounds: number;
  readonly peers: readonly { readonly id: string; readonly name: string; readonly version: string }[];
  readonly entries: readonly Entry[];
}

/** A table of text: the first column to the left, the others to the right. */
export interface Table {
  readonly id: string;
  readonly title: string;
  readonly about: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** What peers could not do. */
  readonly notes: readonly string[];
}

/** The table of one section; columns that no entry fills are left out. */
export function tableOf(section: Section, { peers, entries }: Pick<Report, 'peers' | 'entries'>): Table {
  const nameOf = (id: string) => peers.find((p) => p.id === id)?.name ?? id;
  const own = entries.filter((e) => e.section === section.id);
  const columns = section.columns(peers).filter((c) => own.some((e) => cell(e, c) !== ''));
  return {
    id: section.id,
    title: section.title,
    about: section.about,
    head: ['', ...columns.map((c) => c.label)],
    rows: own.map((e) => [e.name, ...columns.map((c) => cell(e, c))]),
    notes: own.flatMap((e) =>
      Object.entries(e.failures ?? {}).map(([id, why]) => `${e.name}: ${nameOf(id)} cannot: ${why}`),
    ),
  };
}

/** The tables of all sections that were run. */
export const tablesOf = (report: Report): Table[] =>
  sections.map((section) => tableOf(section, report)).filter(({ rows }) => rows.length > 0);

function cell({ figures, texts }: Entry, { key, digits = 1, unit = '' }: Column): string {
  if (texts?.[key] !== undefined) return texts[key];
  const value = figures[key];
  return value === undefined ? '' : `${value.toFixed(digits)}${unit}`;
}

/** A table for the terminal. */
export function tableText({ title, about, head, rows, notes }: Table): string {
  const widths = head.map((h, i) => Math.max(h.length, ...rows.map((r) => r[i].length)));
  const line = (cells: readonly string[]) =>
    cells
      .map((c, i) => (i ? c.padStart(widths[i]) : c.padEnd(widths[i])))
      .join('  ')
      .trimEnd();
  return [title, about, line(head), line(widths.map((w) => '-'.repeat(w))), ...rows.map(line), ...notes].join(
    '\n',
  );
}
