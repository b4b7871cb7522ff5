/**
 * Direct logit attribution: what each part of the model says to the answer directly, summing to the logit
 * difference.
 */

import { attributionFigure, largestHeads } from '../../interp/figures/attribution.js';
import { diverging } from '../../interp/figures/draw/colour.js';
import { leastOf, shownMetric } from '../../interp/results/ends.js';
import type { LabelledData } from '../../interp/results/result.js';
import { exact, shortNumber } from '../../interp/results/text.js';
import { hover, lock } from '../app/app.js';
import { ask, editsIn } from '../app/ask.js';
import { type Depends, notesOf } from '../app/captions.js';
import { bosOption, commandLine, literal, program, quote } from '../app/code.js';
import { resource } from '../app/resource.js';
import { headName, type Part, type Place, place, shownPlace } from '../app/state.js';
import { type Bars, bars } from '../ui/bars.js';
import { fill, h } from '../ui/dom.js';
import { type Cell, type Grid, grid } from '../ui/grid.js';
import { readIds, readingOf, readingSwitch, readText } from '../ui/reading.js';
import { wide } from '../ui/wide.js';
import type { Attribution } from '../worker/handlers/attribution.js';
import { takeaway, type View } from './view.js';

const COLOURS = { light: diverging('light'), dark: diverging('dark') };

/** The view. */
export const attributionView: View = {
  id: 'attribution',
  title: 'Direct logit attribution',
  nav: 'Attribution',
  about:
    'The answer’s logit, less the wrong answer’s where there is one, as a sum over what each part of the model writes at the last token. Blue speaks for the answer, red against it.',
  span: 8,
  takes: ['svg', 'png', 'pdf', 'csv', 'json', 'code', 'command'],
  mount(card, app) {
    const { store, client } = app;
    card.controls.append(readingSwitch(app));
    let drawn: Drawn | null = null;
    const both = resource<Attribution>(store, {
      lazy: true,
      ask: (state) => ask(state, [readingOf(state), 'answer', 'wrong?']),
      run: (of, { signal }) => {
        const { answer, wrong } = of.experiment;
        const against = of.prompts!.wrong.id === null ? null : wrong;
        const params = { prompt: readIds(of), answer, wrong: against, edits: editsIn(of) };
        return client.call('attribution', params, { signal });
      },
      see(state) {
        card.follow(state);
        if (!card.body.childElementCount) drawn = null;
        if (!state.found) return;
        const { value, of } = state.found;
        drawn = draw(value, readIds(of).length - 1, {
          preview: (at) => hover(app, at),
          lock: (at) => lock(app, at),
        });
        fill(card.body, drawn.element);
        show();
        const { sum, logit, error: off } = value.layers.meta as Record<'sum' | 'logit' | 'error', number>;
        const metric = shownMetric(String(value.layers.meta.metric));
        fill(
          card.foot,
          `${metric} = ${exact(logit, { sign: true })} as the model computes it; the bars sum to ${exact(sum, { sign: true })}, which is ${off.toExponential(0)} away. “All that is no head” holds MLPs, embeddings and biases; “b_U” is the unembedding’s bias.`,
        );
      },
    });
    const show = () => {
      const { locked } = store.state;
      drawn?.mark(locked, shownPlace(store.state));
    };
    store.watch((s) => [s.locked, shownPlace(s)], show);
    card.whenSeen(both.start);
    return takeaway(both, ({ value, of }) => {
      const { experiment, reading } = of;
      const { answer, wrong } = experiment;
      const against = of.prompts!.wrong.id !== null;
      const tokens = against ? `tokens: ${literal([answer, wrong])}` : `token: ${quote(answer)}`;
      const call = (by: string) =>
        `await directLogitAttribution(model, ${reading}, { ${tokens}, by: '${by}'${bosOption(experiment)} })`;
      const depends: Depends = { on: reading, metric: String(value.layers.meta.metric) };
      return {
        ...{ of, depends, result: value.layers, also: { byHead: value.heads } },
        figure: () => attributionFigure(value.layers, value.heads, { notes: notesOf(of, depends) }),
        code: () =>
          program(
            of,
            ['attributionFigure', 'directLogitAttribution', 'figure'],
            `const layers = ${call('layer')};
const heads = ${call('head')};
console.log(figure(heads.heads!).lines().join('\\n'));
console.log(attributionFigure(layers, heads).lines().join('\\n'));`,
          ),
        command: () =>
          commandLine(of, ['dla', readText(of), '--answer', answer, ...(against ? ['--wrong', wrong] : [])]),
      };
    });
  },
};

/** What is drawn. */
interface Drawn {
  readonly element: HTMLElement;
  mark(locked: Place | null, shown: Place | null): void;
}

/** What pointing and clicking do. */
interface React {
  preview(at: Place | null): void;
  lock(at: Place): void;
}

function draw({ layers, heads }: Attribution, last: number, react: React): Drawn {
  const { sum } = layers.meta as { sum: number };
  // A sum of (almost) nothing has no shares: 0.05 is the least difference of logits that counts.
  const share: Share = (v) =>
    Math.abs(sum) < 0.05
      ? ['of', exact(sum)]
      : [`of ${exact(sum)}`, `${((100 * v) / sum).toFixed(1)}%`.replace('-', '−')];
  const part = layerBars(layers, last, react, share);
  const map = headMap(heads.heads!, react, share);
  const some = headBars(heads, react, share);
  const element = h(
    'div',
    { class: 'attribution' },
    h('div', {}, h('h3', {}, 'Layers'), part.element),
    h(
      'div',
      {},
      h('h3', {}, 'Heads'),
      wide(map.element),
      h('h3', { class: 'next' }, 'Heads, the largest first'),
      some.element,
    ),
  );
  return {
    element,
    mark(locked, shown) {
      part.mark(locked, shown);
      map.mark(headCells(heads.heads!, locked), headCells(heads.heads!, shown));
      some.mark(locked, shown);
    },
  };
}

type Share = (value: number) => readonly [string, string];

function layerBars(result: LabelledData, last: number, react: React, share: Share): Drawn {
  const { labels } = result.axes[0];
  const at = labels.map((label) => {
    const found = /^(\d+)_((?:attn|mlp)_out)$/.exec(label);
    return found ? place({ layer: Number(found[1]), part: found[2] as Part, pos: last }) : null;
  });
  const drawn: Bars = bars({
    ...{ label: 'Attribution by layer', rows: labels, values: result.values, least: leastOf(result) },
    tip: (r) => ({
      title: labels[r],
      lines: [['writes', exact(result.values[r], { sign: true })], share(result.values[r])],
    }),
    preview: (r) => react.preview(r === null ? null : at[r]),
    lock: (r) => at[r] && react.lock(at[r]),
  });
  const rowsOf = (spot: Place | null) =>
    spot === null || spot.layer === null || spot.head !== null
      ? []
      : at.flatMap((own, r) =>
          own?.layer === spot.layer && own.part === spot.part && own.pos === (spot.pos ?? last) ? [r] : [],
        );
  return { element: drawn.element, mark: (locked, shown) => drawn.mark(rowsOf(locked), rowsOf(shown)) };
}

function headMap(result: LabelledData, react: React, share: Share): Grid {
  const [rows, columns] = result.axes.map((a) => a.labels);
  const end = Math.max(...result.values.map(Math.abs), leastOf(result));
  const value = (r: number, c: number) => result.values[r * columns.length + c];
  const map = grid({
    ...{
      label: 'Attribution by head, layers by heads',
      rows,
      columns,
      minWidth: 20,
      maxWidth: 44,
      class: 'snug',
    },
    tip: (r, c) => ({
      title: `head ${headName(r, c)}`,
      lines: [['writes', exact(value(r, c), { sign: true })], share(value(r, c))],
    }),
    preview: (cell) => react.preview(cell && place({ layer: cell[0], head: cell[1] })),
    lock: (layer, head) => react.lock(place({ layer, head })),
  });
  for (const r of rows.keys())
    for (const c of columns.keys()) {
      const v = value(r, c);
      map.set(r, c, {
        light: COLOURS.light(v / end),
        dark: COLOURS.dark(v / end),
        text: columns.length <= 12 ? shortNumber(v) : '',
        label: exact(v),
      });
    }
  return map;
}

/** The heads with the largest values, and all else in one bar. */
function headBars(result: LabelledData, react: React, share: Share): Drawn {
  const rows = largestHeads(result);
  const at = rows.map(({ label }) => {
    const found = /^L(\d+)H(\d+)$/.exec(label);
    return found ? place({ layer: Number(found[1]), head: Number(found[2]) }) : null;
  });
  const drawn = bars({
    ...{ label: 'Attribution by head, the largest first', rows: rows.map((r) => r.label) },
    values: rows.map((r) => r.value),
    least: leastOf(result),
    tip: (r) => ({
      title: rows[r].label,
      lines: [['writes', exact(rows[r].value, { sign: true })], share(rows[r].value)],
    }),
    preview: (r) => react.preview(r === null ? null : at[r]),
    lock: (r) => at[r] && react.lock(at[r]),
  });
  const rowsOf = (spot: Place | null) =>
    at.flatMap((own, r) => (own && own.layer === spot?.layer && own.head === spot.head ? [r] : []));
  return { element: drawn.element, mark: (locked, shown) => drawn.mark(rowsOf(locked), rowsOf(shown)) };
}

/** The head that a place means. */
function headCells({ shape: [layers, heads] }: LabelledData, at: Place | null): Cell[] {
  if (at === null || at.layer === null || at.head === null) return [];
  return at.layer < layers && at.head < heads ? [[at.layer, at.head]] : [];
}
