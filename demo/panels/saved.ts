/** Kept experiments: a list with notes, and two of them side by side. */

import { heatmapSvg } from '../../interp/figures/draw/svg.js';
import { heatmap } from '../../interp/figures/heatmap.js';
import { shownMetric } from '../../interp/results/ends.js';
import { labelled } from '../../interp/results/result.js';
import { exact, percent, visible } from '../../interp/results/text.js';
import type { App } from '../app/app.js';
import { type Kept, keptOf, readKept, writeKept } from '../app/kept.js';
import { readAddress } from '../app/share.js';
import { fill, h } from '../ui/dom.js';

/** The list, below the prompts. */
export function savedPanel(app: App): HTMLElement {
  let list = readKept();
  const chosen = new Set<string>();
  const items = h('ul', { class: 'kept' });
  const dialog = h('dialog', { class: 'dialog compare', 'aria-label': 'Two experiments' });
  const put = (next: Kept[]) => {
    list = next;
    if (!writeKept(list)) app.say('The browser does not let this page keep anything.');
    draw();
  };
  const compare = h(
    'button',
    { type: 'button', class: 'quiet', id: 'compare', onclick: () => open([...chosen]) },
    'Compare the two',
  );
  const open = (ids: readonly string[]) => {
    const two = ids.map((id) => list.find((k) => k.id === id)!);
    const close = h('button', { type: 'button', class: 'quiet', onclick: () => dialog.close() }, 'Close');
    fill(dialog, h('header', {}, h('h2', {}, 'Two experiments'), close), comparison(two[0], two[1]));
    dialog.showModal();
  };
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
  const draw = () => {
    for (const id of chosen) if (!list.some((k) => k.id === id)) chosen.delete(id);
    compare.hidden = chosen.size !== 2;
    fill(
      items,
      list.map((kept) => {
        const notes = h('textarea', {
          ...{ rows: 1, 'aria-label': `Notes on ${kept.name}`, placeholder: 'Notes', spellcheck: 'false' },
          onchange: () => put(list.map((k) => (k.id === kept.id ? { ...k, notes: notes.value } : k))),
        });
        notes.value = kept.notes;
        const tick = h('input', {
          ...{ type: 'checkbox', checked: chosen.has(kept.id), 'aria-label': `Compare ${kept.name}` },
          onchange: () => {
            if (tick.checked) chosen.add(kept.id);
            else chosen.delete(kept.id);
            compare.hidden = chosen.size !== 2;
          },
        });
        const remove = h(
          'button',
          {
            ...{ type: 'button', class: 'quiet', 'aria-label': `Remove ${kept.name}`, title: 'Remove' },
            onclick: () => put(list.filter((k) => k.id !== kept.id)),
          },
          '×',
        );
        return h(
          'li',
          {},
          h('div', {}, tick, h('a', { href: `#${kept.address}` }, kept.name), remove),
          notes,
        );
      }),
    );
  };
  const keep = h(
    'button',
    {
      ...{ type: 'button', class: 'quiet', id: 'keep' },
      onclick: () => {
        const { clean, answer } = app.store.state.experiment;
        const name = `${clean}${answer}`;
        put([keptOf(app.store.state, name.length > 60 ? `${name.slice(0, 59)}…` : name), ...list]);
        app.say('Kept in this browser, with what has been found so far.');
      },
    },
    'Keep this experiment',
  );
  draw();
  return h('div', { class: 'saved' }, h('div', { class: 'saved-tools' }, keep, compare), items, dialog);
}

/** Two experiments in a table: what was asked, what came out, and the difference of their maps. */
function comparison(one: Kept, other: Kept): HTMLElement {
  const both = [one, other];
  const fields = both.map((k) => readAddress(k.address));
  const row = (name: string, values: readonly (string | HTMLElement)[]) =>
    h(
      'tr',
      { class: typeof values[0] === 'string' && values[0] !== values[1] ? 'differs' : '' },
      h('th', { scope: 'row' }, name),
      values.map((v) => h('td', {}, v)),
    );
  const asked = (name: 'clean' | 'corrupted' | 'answer' | 'wrong') =>
    fields.map((f) =>
      f ? (name === 'answer' || name === 'wrong' ? visible(f.experiment[name]) : f.experiment[name]) : '',
    );
  const map = ({ map }: Kept) =>
    map ? picture(map.rows, map.columns, map.values, shownMetric(map.metric)) : h('p', {}, 'no map');
  const same =
    one.map &&
    other.map &&
    one.map.values.length === other.map.values.length &&
    one.map.rows.length === other.map.rows.length;
  const difference = same
    ? picture(
        one.map!.rows,
        one.map!.columns,
        one.map!.values.map((v, i) => v - other.map!.values[i]),
        'left − right',
      )
    : h('p', { class: 'faint' }, 'The maps have other shapes, so there is no difference to draw.');
  return h(
    'div',
    { class: 'scroll' },
    h(
      'table',
      { class: 'comparison' },
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          h('td', {}),
          both.map((k) => h('th', { scope: 'col' }, k.name)),
        ),
      ),
      h(
        'tbody',
        {},
        row(
          'Notes',
          both.map((k) => k.notes),
        ),
        row(
          'Model',
          fields.map((f) => f?.model ?? ''),
        ),
        row('Clean', asked('clean')),
        row('Corrupted', asked('corrupted')),
        row('Answer', asked('answer')),
        row('Wrong answer', asked('wrong')),
        row(
          'Changes',
          fields.map((f) => String(f?.experiment.changes.length ?? 0)),
        ),
        row(
          'Metric, clean',
          both.map((k) => (k.map ? exact(k.map.clean) : '–')),
        ),
        row(
          'Metric, corrupted',
          both.map((k) => (k.map ? exact(k.map.corrupted) : '–')),
        ),
        row(
          'Next tokens',
          both.map((k) => k.next.map(([t, p]) => `${visible(t)} ${percent(p)}`).join(', ')),
        ),
        row('Map', both.map(map)),
      ),
    ),
    h('h3', {}, 'Difference of the maps'),
    difference,
  );
}

function picture(
  rows: readonly string[],
  columns: readonly string[],
  values: readonly number[],
  meaning: string,
): HTMLElement {
  const axes = [
    { name: 'layer', labels: rows },
    { name: 'pos', labels: columns },
  ];
  const element = h('div', { class: 'scroll' });
  const map = heatmap(labelled(Float32Array.from(values), axes, {}));
  element.innerHTML = heatmapSvg(map, {
    cell: [22, 18],
    meaning,
    numbers: false,
    standalone: true,
    theme: 'light',
  });
  return element;
}
