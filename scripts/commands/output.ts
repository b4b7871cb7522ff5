/** Where the result of a command goes: stdout as text, JSON or CSV; files. */

import { pdfOf } from '../../interp/figures/draw/pdf.js';
import { page } from '../../interp/figures/page/page.js';
import { escapeHtml } from '../../interp/results/text.js';
import { printable, printableJson } from '../../weights/checks/shown.js';
import { version } from '../cli.js';
import { renderPng } from '../png.js';
import { writeWhole } from '../write.js';
import type { Form, Invocation, Outcome } from './command.js';

/** Prints and writes what the command line asks for. */
export async function deliver(x: Invocation, outcome: Outcome, commandLine: string): Promise<void> {
  for (const text of outcome.warnings ?? []) process.stderr.write(`warning: ${printable(text)}\n`);
  const toStdout = (['json', 'csv'] as const).find((form) => x.values[form] === '-');
  if (toStdout) {
    const text = (await content(toStdout, outcome, commandLine)) as string;
    x.write(process.stdout.isTTY ? printable(text) : text);
  } else {
    const lines = outcome.lines(x.screen);
    if (lines.length) x.write(`${printable(lines.join('\n'), { colours: true })}\n`);
  }
  for (const form of x.command.forms) {
    const file = x.text(form);
    if (file === undefined || file === '-') continue;
    writeWhole(file, await content(form, outcome, commandLine));
    process.stderr.write(`wrote ${file}\n`);
  }
}

async function content(form: Form, outcome: Outcome, commandLine: string): Promise<string | Uint8Array> {
  const { title } = outcome;
  const sections = () => {
    const list = outcome.sections!().map((s) => ({ ...s, source: { ...s.source, glassbox: version() } }));
    return list.length === 1 ? [{ ...list[0], title: '' }] : list; // the page's title says it
  };
  const footer = `To make this page again:<code>${escapeHtml(commandLine)}</code>`;
  switch (form) {
    case 'json':
      return `${printableJson(JSON.stringify(outcome.json!()))}\n`;
    case 'csv':
      return outcome.csv!();
    case 'html':
      return page({ title, lead: '', sections: sections(), footer });
    case 'svg':
      return outcome.svg!('auto');
    case 'png':
      return renderPng(outcome.svg!('light'));
    case 'pdf':
      return pdfOf(outcome.svg!('light'), title);
  }
}
