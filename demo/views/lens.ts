/**
 * The logit lens: what the model would say if it stopped at a layer, and how chosen tokens rise through the
 * layers.
 */

import { hex, hues, lineColour, sequential } from '../../interp/figures/draw/colour.js';
import { lensFigure } from '../../interp/figures/lens.js';
import type { LensResult } from '../../interp/logits/lens.js';
import { exact, percent, shorten, visible, visibleLabel } from '../../interp/results/text.js';
import { hover, lock } from '../app/app.js';
import { ask, editsIn } from '../app/ask.js';
import { type Depends, notesOf } from '../app/captions.js';
import { commandLine, literal, program } from '../app/code.js';
import { resource } from '../app/resource.js';
import {
  type Asked,
  type Part,
  type Place,
  place,
  type State,
  shownPlace,
  stateAfter,
} from '../app/state.js';
import { fill, h, segmented } from '../ui/dom.js';
import { type Cell, type Grid, grid } from '../ui/grid.js';
import { legend } from '../ui/legend.js';
import { readIds, readingOf, readingSwitch, readText } from '../ui/reading.js';
import { wide } from '../ui/wide.js';
import { type Pin, type PinMeasure, pinBoard } from './lens-pins.js';
import { takeaway, type View } from './view.js';

/** Tokens in a tooltip. */
const TOP = 6;
const COLOURS = {
  light: sequential(hues.probability, 'light'),
  dark: sequential(hues.probability, 'dark'),
};

/** The view. */
export const lensView: View = {
  id: 'lens',
  title: 'Logit lens',
  nav: 'Lens',
  about:
    'The residual stream at every layer, read as if it were the last: each cell is the token that the model would say next. Click one to follow it through the layers.',
  span: 12,
  takes: ['svg', 'png', 'pdf', 'csv', 'json', 'code', 'command'],
  mount(card, app) {
    const { store, client } = app;
    let inclMid = true;
    let pins: readonly Pin[] = [];
    let pinsOf = ''; // what the pins belong to
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
    let nLayers = 0;
    const placeOf = (row: number, pos: number): Place => {
      const found = /^(\d+)_(pre|mid)$/.exec(drawn!.lens.axes[0].labels[row]);
      return found
        ? place({ layer: Number(found[1]), part: found[2] as Part, pos })
        : stateAfter(nLayers - 1, nLayers, pos);
    };
    /** What pins follow: a prompt and its answers. */
    const needs = (state: State) => [readingOf(state), 'answer?', 'wrong?'] as const;
    const chosen = (state: Asked): number[] => {
      const { answer, wrong } = state.prompts!;
      const own = pinsOf === ask({ ...store.state, ...state }, needs(store.state)).key ? pins : [];
      const ids = [answer.id, wrong.id].filter((id) => id !== null);
      return [...new Set([...ids, ...own.map((p) => p.token)])];
    };
    const lens = resource<LensResult>(store, {
      lazy: true,
      ask: (state) => {
        const asked = ask(state, needs(state));
        return asked.key === null ? asked : ask(state, needs(state), inclMid, chosen(state));
      },
      run: (of, { signal, progress }) =>
        client.call(
          'lens',
          { prompt: readIds(of), inclMid, k: TOP, chosen: chosen(of), edits: editsIn(of) },
          { signal, onEvent: ({ done, total }) => progress(done, total) },
        ),
      see(state) {
        card.follow(state);
        if (!card.body.childElementCount) drawn = null;
        if (!state.found) return;
        const { value, of } = state.found;
        const { key } = ask(store.state, needs(store.state));
        if (pinsOf !== key) {
          pinsOf = key!;
          pins = answersOf(of);
        }
        nLayers = of.model.info!.nLayers;
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
              lock(app, at);
              pin(drawn!.lens.top[row][pos][0], pos);
            },
          });
          fill(
            card.body,
            wide(drawn.grid.element),
            legend(COLOURS, 'probability of the top token', { from: 0 }),
            board.element,
          );
        }
        update(drawn);
        drawn.grid.markColumns(of.prompts!.differ);
        show();
        const last = value.top.at(-1)!.at(-1)![0];
        fill(
          card.foot,
          `After layer ${labels.length > 1 ? nLayers - 1 : 0} the last token says ${visible(last.text)}, ${percent(last.prob)}. Before it is read, every state passes the last layer norm, with a scale of its own.`,
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
      drawn.grid.mark(cellsOf(drawn, state.locked, nLayers), cellsOf(drawn, state.hover, nLayers));
      markPins(drawn, pins);
      const row = at && cellsOf(drawn, at, nLayers)[0]?.[0];
      board.show(drawn.lens, pins, row ?? null);
    };
    store.watch((s) => [s.locked, shownPlace(s)], show);
    card.whenSeen(lens.start);
    return takeaway(lens, ({ value, of }) => {
      const { answer, wrong } = of.experiment;
      const { prompts } = of;
      const tokens = [
        ...(prompts!.answer.id === null ? [] : [answer]),
        ...(prompts!.wrong.id === null ? [] : [wrong]),
      ];
      const halves = value.axes[0].labels.some((label) => label.endsWith('_mid'));
      const depends: Depends = { on: of.reading, answers: true };
      return {
        ...{ of, depends, result: withTokens(value) },
        also: value.chosen && { chosenProb: value.chosen.prob, chosenRank: value.chosen.rank },
        figure: () => {
          const named = { ...value.axes[0], labels: rowNames(value) };
          const curves = board.curves(value, pins);
          const measure = board.shows === 'prob' ? 'probability' : 'rank';
          const shown = { ...value, axes: [named, value.axes[1]] };
          return lensFigure(shown, { curves, measure, notes: notesOf(of, depends) });
        },
        code: () => {
          const option = tokens.length ? `\n  tokens: ${literal(tokens)},` : '';
          const bos = of.experiment.bos ? '' : '\n  prependBos: false,';
          const n = value.shape[1];
          const curves = tokens.length
            ? `\nfor (const [t, token] of ${literal(tokens)}.entries())
  for (const [l, row] of lens.axes[0].labels.entries())
    console.log(token, row, lens.chosen!.prob.values[(t * lens.axes[0].labels.length + l) * ${n} + ${n - 1}]);`
            : '';
          return program(
            of,
            ['lensFigure', 'logitLens'],
            `const lens = await logitLens(model, ${of.reading}, {
  inclMid: ${halves},${option}${bos}
});
console.log(lensFigure(lens).lines().join('\\n'));${curves}`,
          );
        },
        command: () => {
          const followed = [
            ...(prompts!.answer.id === null ? [] : ['--answer', answer]),
            ...(prompts!.wrong.id === null ? [] : ['--wrong', wrong]),
          ];
          return commandLine(of, ['lens', readText(of), ...followed, ...(halves ? ['--incl-mid'] : [])]);
        },
      };
    });
  },
};

/** A grid on the page. */
interface Drawn {
  readonly grid: Grid;
  lens: LensResult;
}

function draw(
  lens: LensResult,
  react: { preview(at: readonly [number, number] | null): void; lock(r: number, c: number): void },
): Drawn {
  const columns = lens.axes[1].labels;
  const rows = rowNames(lens);
  const drawn: Drawn = {
    lens,
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

/** The answers that there are, after the last token. */
function answersOf(of: Asked): Pin[] {
  const pos = readIds(of).length - 1;
  const { answer, wrong } = of.prompts!;
  const colours = { answer: 0, wrong: 6 };
  const both = (['answer', 'wrong'] as const).flatMap((name): Pin[] => {
    const token = { answer, wrong }[name].id;
    return token === null ? [] : [{ token, text: of.experiment[name], pos, colour: colours[name] }];
  });
  return both[0]?.token === both[1]?.token ? both.slice(0, 1) : both;
}

/** The lens with the tokens of its cells among the facts, for JSON. */
const withTokens = (lens: LensResult): LensResult => ({
  ...lens,
  meta: { ...lens.meta, topTokens: lens.top.map((row) => row.map(([best]) => best.text)) },
});

/** The cells that a place means. */
function cellsOf({ lens }: Drawn, at: Place | null, nLayers: number): Cell[] {
  if (!at) return [];
  const { layer, part, pos } = at;
  if (layer === null) return pos === null ? [] : [[null, pos]];
  if (layer >= nLayers || part === null) return [];
  const row = rowNames(lens).indexOf(`${layer}_${part}`);
  return row < 0 ? [] : [[row, pos]];
}

/** Rows as activations are called everywhere: `1_pre`, `1_mid`, and at the end `3_post`. */
function rowNames({ axes: [{ labels }] }: LensResult): string[] {
  const layers = labels.filter((label) => label.endsWith('_pre')).length;
  return labels.map((label) => label.replace(/^final_post$/, `${layers - 1}_post`));
}
