/** Attention: every head as a thumbnail, one of them large, and drawn on the text. */

import { attentionFigure } from '../../interp/figures/attention.js';
import { hues } from '../../interp/figures/draw/colour.js';
import { figure } from '../../interp/figures/figure.js';
import type { LabelledData } from '../../interp/results/result.js';
import { exact, percent, visibleLabel } from '../../interp/results/text.js';
import { hover, lock } from '../app/app.js';
import { ask, editsIn } from '../app/ask.js';
import { type Depends, notesOf } from '../app/captions.js';
import { bosOption, commandLine, program } from '../app/code.js';
import { resource } from '../app/resource.js';
import { headName, type Place, place, type State, shownPlace } from '../app/state.js';
import { attendedText, type Direction } from '../ui/attended-text.js';
import { fill, h, segmented } from '../ui/dom.js';
import { readIds, readingOf, readingSwitch, readText } from '../ui/reading.js';
import { headGrid } from './attention-heads.js';
import { headZoom } from './attention-zoom.js';
import { type Head, type Patterns, patternsOf } from './patterns.js';
import { takeaway, type View } from './view.js';

type Weight = 'pattern' | 'value';
const ATTENTION = { scale: 'sequential', hue: hues.attention } as const;

/** The view. */
export const attentionView: View = {
  id: 'attention',
  title: 'Attention heads',
  nav: 'Attention',
  about:
    'Where each head looks. Click a head to see it large and on the text; its cell lights up in the other views, too.',
  span: 12,
  takes: ['svg', 'png', 'pdf', 'csv', 'json', 'code', 'command'],
  mount(card, app) {
    const { store, client } = app;
    let weight: Weight = 'pattern';
    let direction: Direction = 'from';
    let patterns: Patterns | null = null;
    let chosen: Head = { layer: 0, head: 0 }; // the one looked at last

    const weights = segmented<Weight>(
      'What is shown',
      [
        ['pattern', 'Attention', 'How much each token attends to each earlier one'],
        ['value', '× value', 'Attention times the length of what the head writes from there, ‖v · W_O‖'],
      ],
      (next) => {
        weight = next;
        weights.show(next);
        store.set({}); // this view's own; the result follows it
      },
    );
    weights.show(weight);
    const directions = segmented<Direction>(
      'On the text',
      [
        ['from', 'Looks at', 'Tokens that the chosen one attends to: its sources'],
        ['to', 'Seen by', 'Tokens that attend to the chosen one: its destinations'],
      ],
      (next) => {
        direction = next;
        directions.show(next);
        show();
      },
    );
    directions.show(direction);
    card.controls.append(readingSwitch(app), weights.element, directions.element);

    const preview = (at: Place | null) => hover(app, at);
    const heads = headGrid({ preview, lock: (at) => lock(app, at) });
    const zoom = headZoom({ preview, lock: (at) => lock(app, at) });
    const at = (pos: number): Place =>
      place({ ...shownHead(store.state), ...(direction === 'from' ? { pos } : { key: pos }) });
    const text = attendedText({
      preview: (pos) => hover(app, pos === null ? null : at(pos)),
      lock: (pos) => lock(app, at(pos)),
    });
    const title = h('h3', {});
    const body = h(
      'div',
      { class: 'attention' },
      h('div', { class: 'attention-text' }, title, text.element),
      h('div', {}, h('h3', {}, 'All heads'), heads.element),
      h('div', {}, h('h3', {}, 'From each token (row) to each earlier one'), zoom.element),
    );

    /** Every head is there, whatever the place says. */
    const shownHead = ({ locked, hover }: State): Head => {
      for (const spot of [hover, locked]) {
        if (!spot || spot.layer === null || spot.head === null || !patterns) continue;
        if (spot.layer < patterns.layers && spot.head < patterns.heads)
          return { layer: spot.layer, head: spot.head };
      }
      return chosen;
    };
    const all = resource<LabelledData>(store, {
      lazy: true,
      ask: (state) => ask(state, [readingOf(state)], weight),
      run: (of, { signal, progress }) =>
        client.call(
          'attention',
          { prompt: readIds(of), weight, edits: editsIn(of) },
          { signal, onEvent: ({ done, total }) => progress(done, total) },
        ),
      see(state) {
        card.follow(state);
        if (!state.found) {
          if (!card.body.childElementCount) patterns = null;
          return;
        }
        const { value } = state.found;
        const first = !patterns || patterns.layers !== value.shape[0] || patterns.heads !== value.shape[1];
        patterns = patternsOf(value);
        if (first) chosen = patterns.striking();
        if (!body.isConnected) fill(card.body, body);
        heads.draw(patterns, store.state.dark);
        show();
      },
    });
    const show = () => {
      if (!patterns) return;
      const { locked, hover } = store.state;
      const one = shownHead(store.state);
      const weight = weightOf(patterns);
      if (locked?.head != null) chosen = shownHead({ ...store.state, hover: null });
      heads.mark(locked, hover, chosen);
      zoom.draw(patterns, one);
      zoom.mark(locked, hover);
      const focus = focusOf(hover, locked, patterns.n, direction);
      const unit = patterns.unit(one);
      text.draw({
        ...{ pieces: patterns.pieces, direction, focus },
        weights: Array.from({ length: patterns.n }, (_, i) => {
          const [query, key] = direction === 'from' ? [focus, i] : [i, focus];
          return key > query ? null : patterns!.at(one, query, key);
        }),
        full: unit,
        text: weight === 'pattern' ? percent : exact,
      });
      const label = visibleLabel(patterns.labels[focus]);
      fill(
        title,
        h('span', { class: 'head-name' }, headName(one.layer, one.head)),
        direction === 'from' ? ` looks from ${label} at` : ` looks at ${label} from`,
      );
      fill(
        card.foot,
        `${weight === 'pattern' ? 'Colours from 0 to 1' : `Thumbnails: colours from 0 to ${exact(patterns.most)}, the largest of all heads; the large one to ${exact(unit)}, its own`}. On the text the scale is logarithmic, over three powers of ten.`,
      );
    };
    store.watch((s) => [s.locked, shownPlace(s)], show);
    store.watch(
      (s) => s.dark,
      (dark) => {
        if (!patterns) return;
        heads.draw(patterns, dark);
        show();
      },
    );
    card.whenSeen(all.start);
    return takeaway(all, ({ of, value }) => {
      const found = patternsOf(value);
      const { layer, head } = shownHead({ ...store.state, hover: null });
      const one = found.one({ layer, head });
      const weighted = weightOf(found) === 'value';
      const name = headName(layer, head);
      const title = `Attention of head ${name}${weighted ? ', times the values' : ''}`;
      const depends: Depends = { on: of.reading, detail: title };
      return {
        ...{ of, depends, detail: headName(layer, head), result: one },
        figure: () =>
          figure(one, {
            ...{ ...ATTENTION, max: found.unit({ layer, head }) },
            ...{
              title,
              meaning: `${weighted ? 'attention × ‖v · W_O‖' : 'attention'}, from the row’s token to the column’s`,
              notes: notesOf(of, { ...depends, detail: undefined }),
            },
          }),
        section: () => {
          if (weighted) return figure(one, { ...ATTENTION, title }).section(); // the page's script reads attention from 0 to 1
          const { layers, heads, all } = found;
          const drawn = attentionFigure({
            pattern: one,
            ...{ layer, head, layers, heads, all: all.values },
          });
          return { ...figure(one, { ...ATTENTION, max: 1 }).section(), figure: drawn };
        },
        code: () => {
          const option = weighted ? `, weight: 'value'` : '';
          return program(
            of,
            ['attentionPatterns', 'figure', 'slices'],
            `const patterns = await attentionPatterns(model, ${of.reading}, { layers: [${layer}]${option}${bosOption(of.experiment)} });
const head = slices(slices(patterns)[0])[${head}];
console.log(figure(head, { scale: 'sequential' }).lines().join('\n'));`,
          );
        },
        command: () => {
          const more = weighted ? ['--weight', 'value'] : [];
          return commandLine(of, ['attn', readText(of), '--head', name, ...more]);
        },
      };
    });
  },
};

/** What patterns show: attention, or attention times values. */
const weightOf = ({ all }: Patterns): Weight => (all.meta.metric === 'attention' ? 'pattern' : 'value');

/** The token whose attention is drawn: the one that is pointed at, locked, or the last. */
function focusOf(hover: Place | null, locked: Place | null, n: number, direction: Direction): number {
  for (const spot of [hover, locked]) {
    const pos = direction === 'from' ? spot?.pos : (spot?.key ?? spot?.pos);
    if (pos != null && pos < n) return pos;
  }
  return n - 1;
}
