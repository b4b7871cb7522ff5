/** Everything on the page as one HTML file that loads nothing. */

import { page, type Section } from '../../interp/plots/page.js';
import { escapeHtml, visible } from '../../interp/plots/text.js';
import type { Takeaway, View } from '../views/view.js';
import { patchCommand } from './code.js';
import type { State } from './state.js';

/** The report. */
export function report(
  state: State,
  cards: readonly { readonly view: View; readonly takeaway: Takeaway | null }[],
): string {
  const { experiment, prompts, model } = state;
  const sections = cards.flatMap(({ view, takeaway }): Section[] => {
    if (!takeaway?.result()) return [];
    const section = takeaway.section?.() ?? takeaway.figure?.()?.section();
    return section ? [{ ...section, title: view.title, about: escapeHtml(view.about) }] : [];
  });
  const strip = (ids: readonly string[] | undefined, differ: readonly number[], name: string) =>
    `<span class="strip">${(ids ?? []).map((t, i) => `<span class="tok ${differ.includes(i) ? name : ''}">${escapeHtml(visible(t))}</span>`).join('<wbr>')}</span>`;
  const differ = prompts?.differ ?? [];
  const intro = `<dl class="pair"><dt>clean</dt><dd>${strip(prompts?.clean.pieces, differ, 'new')}</dd><dd class="num">${escapeHtml(visible(experiment.answer))}</dd>
<dt>corrupted</dt><dd>${strip(prompts?.corrupted.pieces, differ, 'old')}</dd><dd class="num">${escapeHtml(visible(experiment.wrong))}</dd></dl>`;
  return page({
    title: `${experiment.clean}${experiment.answer}`,
    lead: escapeHtml(
      `What ${model.info?.name ?? 'the model'} computes on the way, found in a browser on ${model.info?.adapter ?? 'a GPU'}.`,
    ),
    intro,
    sections,
    footer: `The patching map again, in a terminal:<code>${escapeHtml(patchCommand(state))}</code>`,
  });
}
