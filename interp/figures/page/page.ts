/** One self-contained page: figures with titles, explanations and where their numbers come from. */

import { is, needed, options, signatures } from '../../../hooks/input/check.js';
import { escapeHtml } from '../../results/text.js';
import { PAGE_SCRIPT_HASH, pageScript } from './page-script.js';
import { pageStyle } from './page-style.js';

/** A figure on a page. `figure` and `about` are HTML, made by the functions of this folder or escaped. */
export interface Section {
  /** '' on a page with one figure, whose title it would repeat. */
  readonly title: string;
  /** How to read it: a sentence or two. */
  readonly about: string;
  readonly figure: string;
  /** Facts for the line below: model, prompts, metric, adapter, ... */
  readonly source: Readonly<Record<string, string>>;
  /** On a page with a list of contents: whether it is unfolded as the page opens. Default true. */
  readonly open?: boolean;
}

/** Everything on a page. */
export interface Page {
  readonly title: string;
  readonly lead: string;
  /** HTML between the title and the first figure. */
  readonly intro?: string;
  readonly sections: readonly Section[];
  /** A list of contents after the intro, and sections that fold. Default false. */
  readonly contents?: boolean;
  /** HTML at the end. */
  readonly footer?: string;
}

/** Three panes behind one another, and light going through them. */
const LOGO = `<svg viewBox="0 0 22 22" fill="none" stroke-width="1.5" aria-hidden="true"><rect x="1" y="5" width="12" height="16" rx="2.5" stroke="var(--faint)"/><rect x="5" y="3" width="12" height="16" rx="2.5" stroke="var(--soft)"/><rect x="9" y="1" width="12" height="16" rx="2.5" stroke="var(--blue)"/></svg>`;

/** Nothing is loaded, nothing is sent, and no script runs but the page's own. */
const POLICY = `default-src 'none'; script-src '${PAGE_SCRIPT_HASH}'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'`;

const PAGE = options<Page>({
  title: needed(is.text),
  lead: needed(is.text),
  intro: is.text,
  sections: needed(
    is.listOf(is.having('a section', 'title', 'figure'), 'a list of sections, figure(…).section()'),
  ),
  contents: is.boolean,
  footer: is.text,
});

const takes = signatures({
  page: { page: PAGE },
});

/** The page as HTML. It loads nothing: style, script and figures are inside. */
export const page = takes.page(function page({
  title,
  lead,
  intro = '',
  sections,
  contents = false,
  footer = '',
}: Page): string {
  const body = sections.map((section, i) => sectionHtml(section, i + 1, contents)).join('\n');
  const list = contents ? contentsHtml(sections) : '';
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)} – Glassbox</title>
<style>${pageStyle}</style>
</head>
<body>
<main>
<p class="brand">${LOGO}Glassbox</p>
<h1>${escapeHtml(title)}</h1>
<p class="lead">${lead}</p>
${intro}
${list}${body}
<footer>${footer}</footer>
</main>
<script>${pageScript}</script>
</body>
</html>
`;
});

/** Links to the sections; the page's script unfolds the one that is gone to. */
function contentsHtml(sections: readonly Section[]): string {
  const items = sections.map(({ title }, i) => `<li><a href="#s${i + 1}">${escapeHtml(title)}</a></li>`);
  return `<nav class="contents" aria-label="Contents"><ol>${items.join('')}</ol></nav>\n`;
}

function sectionHtml(section: Section, number: number, folds: boolean): string {
  const { title, about, figure, source, open = true } = section;
  const facts = Object.entries(source)
    .map(([name, value]) => `<span><b>${escapeHtml(name)}</b>${escapeHtml(value)}</span>`)
    .join('');
  const head = title && `<h2><span class="no">${number}</span>${escapeHtml(title)}</h2>\n`;
  if (folds)
    return `<section id="s${number}"><details${open ? ' open' : ''}><summary>${head}</summary>
${about && `<p>${about}</p>\n`}${figure}
${facts && `<p class="source">${facts}</p>`}</details></section>`;
  return `<section>${head}${about && `<p>${about}</p>\n`}${figure}
<p class="source">${facts}</p></section>`;
}
