/** The logit lens: what the model would say if it stopped at a layer, and how chosen tokens rise through the layers. */

import type { LensResult } from '../../interp/lens.js';
import { hex, hues, lineColour, sequential } from '../../interp/plots/colour.js';
import { figure } from '../../interp/plots/figure.js';
import { heatmap } from '../../interp/plots/heatmap.js';
import { lensTable } from '../../interp/plots/html.js';
import { exact, percent, shorten, visible, visibleLabel } from '../../interp/plots/text.js';
import { type App, hover, lock } from '../app/app.js';
import { bosOption, commandLine, program } from '../app/code.js';
import { resource } from '../app/resource.js';
import { type Place, place, shownPlace } from '../app/state.js';
import { fill, h, segmented } from '../ui/dom.js';
import { type Cell, type Grid, grid } from '../ui/grid.js';
import { legend } from '../ui/legend.js';
import { readIds, readingKey, readingSwitch, readText } from '../ui/reading.js';
import { type Pin, type PinMeasure, pinBoard } from './lens-pins.js';
import type { View } from './view.js';

/** Tokens in a tooltip. */
const TOP = 6;
const COLOURS = {
  light: sequential(hues.probability, 'light'),
  dark: sequential(hues.probability, 'dark'),
};
const PROBABILITY = { scale: 'sequential', hue: hues.probability, max: 1 } as const;

/** The view. */
export const lensView: View = {
  id: 'lens',
  title: 'Logit lens',
  nav: 'Lens',
  about:
    'The residual stream at every layer, read as if it were the last: each cell is the token that the model would say next. Click one to follow it through the layers.',
  span: 12,
  mount(card, app) {
    const { store, client } = app;
    let inclMid = true;
    let pins: readonly Pin[] = [];
    let of = ''; // what the pins belong to
    let drawn: Drawn | null = null;
    const half = h('input', {
      ...{ type: 'checkbox', id: 'lens-half', checked: true },
      onchange: () => {
        inclMid = half.checked;
        store.set({}); // this view's own; the result follows it
      },
    });
    const measures = segmented<PinMeasure>(
      'What the curves show',
      [
        ['prob', 'Probability'],
        ['rank', 'Rank'],
      ],
      (measure) => {
        board.measure(measure);
        measures.show(measure);
      },
    );
    measures.show('prob');
    const board = pinBoard({
      unpin(pin) {
        pins = pins.filter((p) => p !== pin);
        show();
      },
      preview: (pin, row) => hover(app, row === null ? null : placeOf(row, pin.pos)),
    });
    card.controls.append(
      readingSwitch(app),
      h('label', { class: 'check', for: 'lens-half' }, half, h('span', {}, 'Half layers')),
      measures.element,
    );
    const layersOf = () => store.state.model.info!.nLayers;
    const placeOf = (row: number, pos: number): Place => {
      const found = /^(\d+)_/.exec(drawn!.lens.axes[0].labels[row]);
      return place({ layer: found ? Number(found[1]) : layersOf() - 1, pos });
    };
    const chosen = (): number[] => {
      const { answer, wrong } = store.state.prompts!;
      return [
        ...new Set([
          answer.id!,
          wrong.id!,
          ...(of === readingKey(store.state) ? pins.map((p) => p.token) : []),
        ]),
      ];
    };
    const lens = resource<LensResult>(store, {
      lazy: true,
      key: (state) => {
        const key = readingKey(state);
        return key && `${key}\n${inclMid}\n${chosen()}`;
      },
      run: (state, { signal, progress }) =>
        client.call(
          'lens',
          { prompt: readIds(state), inclMid, k: TOP, chosen: chosen() },
          { signal, onEvent: ({ done, total }) => progress(done, total) },
        ),
      see({ status, value, error, progress }) {
        card.busy(status === 'busy' ? progress : undefined);
        card.problem(error);
        card.element.classList.toggle('stale', status === 'idle');
        if (!value || status !== 'done') return;
        const key = readingKey(store.state)!;
        if (of !== key) {
          of = key;
          pins = answersOf(app);
        }
        const { labels } = value.axes[0];
        const same = drawn?.lens.axes.every(
          (a, i) => a.labels.join('\n') === value.axes[i].labels.join('\n'),
        );
        if (drawn && same) drawn.lens = value;
        else {
          drawn = draw(value, {
            preview: (at) => hover(app, at && placeOf(...at)),
            lock(row, pos) {
              const at = placeOf(row, pos);
              drawn!.rowOf.set(at, row);
              lock(app, at);
              pin(drawn!.lens.top[row][pos][0], pos);
            },
          });
          fill(
            card.body,
            h('div', { class: 'scroll' }, drawn.grid.element),
            legend(COLOURS, 'probability of the top token', { from: 0 }),
            board.element,
          );
        }
        update(drawn);
        show();
        const last = value.top.at(-1)!.at(-1)![0];
        fill(
          card.foot,
          `After layer ${labels.length > 1 ? layersOf() - 1 : 0} the last token says ${visible(last.text)}, ${percent(last.prob)}. Every state is divided by a norm of its own.`,
        );
      },
    });
    const pin = ({ token, text }: Pick<Pin, 'token' | 'text'>, pos: number) => {
      if (pins.some((p) => p.token === token && p.pos === pos)) return;
      const free = Array.from({ length: 8 }, (_, i) => i).find((i) => pins.every((p) => p.colour !== i));
      if (free === undefined) return app.say('Eight tokens are pinned: take one away first.');
      pins = [...pins, { token, text, pos, colour: free }];
      store.set({}); // the result follows the pins
      show();
    };
    const show = () => {
      if (!drawn) return;
      const { state } = store;
      const at = shownPlace(state);
      drawn.grid.mark(cellsOf(drawn, state.locked, layersOf()), cellsOf(drawn, state.hover, layersOf()));
      markPins(drawn, pins);
      const row = at && cellsOf(drawn, at, layersOf())[0]?.[0];
      board.show(drawn.lens, pins, row ?? null);
    };
    store.watch((s) => [s.locked, shownPlace(s)], show);
    store.watch(
      (s) => [s.prompts, s.reading] as const,
      ([prompts]) => drawn && prompts && drawn.grid.markColumns(prompts.differ),
    );
    card.whenSeen(lens.start);
    return {
      result: () => lens.state.value,
      figure: () => {
        const { value } = lens.state;
        const meaning = 'probability of the top token';
        return value ? figure(value, { ...PROBABILITY, title: 'Logit lens', meaning }) : null;
      },
      section: () => {
        const { value } = lens.state;
        if (!value) return null;
        const top = value.top.map((row) =>
          row.map((cell) => cell.map((t) => ({ ...t, text: visible(t.text) }))),
        );
        const target = visible(store.state.experiment.answer);
        const table = lensTable(heatmap(value, PROBABILITY), top, { target });
        return { ...figure(value, PROBABILITY).section(), figure: table };
      },
      code: () => {
        const { answer, wrong } = store.state.experiment;
        return program(
          store.state,
          ['logitLens'],
          `const lens = await logitLens(model, ${store.state.reading}, {
  inclMid: ${inclMid},
  tokens: ${JSON.stringify([answer, wrong])}${bosOption(store.state.experiment).replace(', ', ',\n  ')},
});
for (const [l, row] of lens.top.entries())
  console.log(lens.axes[0].labels[l], row.map(([best]) => best.text).join('|'));
console.log(lens.chosen?.prob.values);`,
        );
      },
      command: () => {
        const { answer } = store.state.experiment;
        const more = ['--answer', answer, ...(inclMid ? ['--incl-mid'] : [])];
        return commandLine(store.state, ['lens', readText(store.state), ...more]);
      },
    };
  },
};

/** A grid on the page. */
interface Drawn {
  readonly grid: Grid;
  lens: LensResult;
  /** Rows of places that were clicked here: a layer has several. */
  readonly rowOf: WeakMap<Place, number>;
}

function draw(
  lens: LensResult,
  react: { preview(at: readonly [number, number] | null): void; lock(r: number, c: number): void },
): Drawn {
  const [rows, columns] = lens.axes.map((a) => a.labels);
  const drawn: Drawn = {
    ...{ lens, rowOf: new WeakMap() },
    grid: grid({
      ...{ label: 'Logit lens, layers by tokens', rows, columns, minWidth: 56, class: 'lens', ...react },
      tip: (r, c) => ({
        title: `${rows[r]} · ${visibleLabel(columns[c])}`,
        lines: drawn.lens.top[r][c].map((t) => [visible(t.text), percent(t.prob)] as const),
      }),
    }),
  };
  return drawn;
}

function update({ grid, lens }: Drawn): void {
  lens.top.forEach((row, r) => {
    row.forEach(([best], c) => {
      grid.set(r, c, {
        light: COLOURS.light(best.prob),
        dark: COLOURS.dark(best.prob),
        text: shorten(visible(best.text), 12),
        label: `${visible(best.text)}, ${exact(best.prob)}`,
      });
    });
  });
}

/** Cells whose top token is pinned carry its colour. */
function markPins({ grid, lens }: Drawn, pins: readonly Pin[]): void {
  for (const cell of grid.element.querySelectorAll<HTMLElement>('.cell')) {
    const [r, c] = cell.dataset.cell!.split(',').map(Number);
    const at = pins.find((p) => p.pos === c && p.token === lens.top[r][c][0].token);
    if (!at) {
      delete cell.dataset.pin;
      continue;
    }
    cell.dataset.pin = String(at.colour);
    cell.style.setProperty('--pin-l', hex(lineColour(at.colour, 'light')));
    cell.style.setProperty('--pin-d', hex(lineColour(at.colour, 'dark')));
  }
}

/** The answer and the wrong one, after the last token. */
function answersOf({ store }: App): Pin[] {
  const { prompts, experiment } = store.state;
  const pos = readIds(store.state).length - 1;
  const both: Pin[] = [
    { token: prompts!.answer.id!, text: experiment.answer, pos, colour: 0 },
    { token: prompts!.wrong.id!, text: experiment.wrong, pos, colour: 6 },
  ];
  return both[0].token === both[1].token ? both.slice(0, 1) : both;
}

/** The cells that a place means: the state before its layer, and after the last one. */
function cellsOf({ lens, rowOf }: Drawn, at: Place | null, nLayers: number): Cell[] {
  if (!at) return [];
  const { layer, pos, head } = at;
  const known = rowOf.get(at);
  if (known !== undefined) return [[known, pos]];
  if (layer === null) return pos === null ? [] : [[null, pos]];
  if (layer >= nLayers || (pos === null && head !== null)) return [];
  const row = lens.axes[0].labels.indexOf(`${layer}_pre`);
  return row < 0 ? [] : [[row, pos]];
}
