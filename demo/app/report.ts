/** Everything on the page that is of one experiment, as one HTML file that loads nothing. */

import { page, type Section } from '../../interp/figures/page/page.js';
import { escapeHtml, visible } from '../../interp/results/text.js';
import type { Takeaway, View } from '../views/view.js';
import { textsOf } from './ask.js';
import { changesText } from './captions.js';
import type { State } from './state.js';

/** A view with what can be taken of it. */
export interface Reported {
  readonly view: View;
  readonly takeaway: Takeaway;
}

/** The report, or a sentence that says why there is none. @param address that opens the experiment again */
export function report(
  state: State,
  cards: readonly Reported[],
  address: string,
): { readonly html: string } | string {
  if (JSON.stringify(state.prompts?.of) !== JSON.stringify(textsOf(state.experiment)))
    return 'No report yet: the prompts are being read.';
  const parts = cards.map(({ view, takeaway }) => ({ view, taken: takeaway() }));
  const there = parts.flatMap(({ view, taken }) => (typeof taken === 'string' ? [] : [{ view, taken }]));
  const sections = there.flatMap(({ view, taken }): Section[] => {
    const section = taken.section ? taken.section() : taken.figure?.().section();
    return section
      ? [{ ...section, title: view.title, about: [section.about, escapeHtml(view.about)].join(' ').trim() }]
      : [];
  });
  if (!sections.length) return 'No report: nothing that it would show has been computed yet.';
  const missing = parts.flatMap(({ view, taken }) =>
    typeof taken === 'string' && !view.optional ? [`${view.title}: ${taken}`] : [],
  );
  // Each result is of the fields as far as it depends on them, so the fields stand for all.
  const { experiment } = state;
  const { info } = there[0].taken.of.model;
  const commands = there.flatMap(({ view, taken }) => (taken.command ? [[view.title, taken.command()]] : []));
  const changed = changesText(there[0].taken.of);
  return {
    html: page({
      title: `${experiment.clean}${experiment.answer}`,
      lead: escapeHtml(
        `What ${info!.name}${changed && `, changed (${changed}),`} computes on the way, found in a browser on ${info!.adapter}.`,
      ),
      intro: intro(state) + left(missing),
      sections,
      footer: [
        'The same again, in a terminal:',
        ...commands.map(([title, line]) => `${escapeHtml(title)}<code>${escapeHtml(line)}</code>`),
        `Open it in the workbench:<code>${escapeHtml(address)}</code>`,
      ].join('\n'),
    }),
  };
}

function intro({ experiment, prompts }: State): string {
  const { clean, corrupted, differ, answer, wrong } = prompts!;
  const strip = (pieces: readonly string[], name: string) =>
    `<span class="strip">${pieces.map((t, i) => `<span class="tok ${differ.includes(i) ? name : ''}">${escapeHtml(visible(t))}</span>`).join('<wbr>')}</span>`;
  const row = (title: string, pieces: readonly string[], name: string, token: string) =>
    `<dt>${title}</dt><dd>${strip(pieces, name)}</dd><dd class="num">${escapeHtml(token)}</dd>`;
  const told = (id: number | null, text: string) => (id === null ? '' : visible(text));
  return `<dl class="pair">${row('clean', clean.pieces, 'new', told(answer.id, experiment.answer))}
${corrupted.problem === null ? row('corrupted', corrupted.pieces, 'old', told(wrong.id, experiment.wrong)) : ''}</dl>`;
}

/** What is not in the report, and why. */
function left(missing: readonly string[]): string {
  if (!missing.length) return '';
  return `<p>Not in this report:</p><ul>${missing.map((text) => `<li>${escapeHtml(text)}</li>`).join('')}</ul>`;
}
