/** The patching map: which activation of the clean run brings its answer back into the corrupted run. */

import { diverging } from '../../interp/figures/draw/colour.js';
import { figure } from '../../interp/figures/figure.js';
import { pearson } from '../../interp/results/correlation.js';
import { endsProblem, fullScale, LEAST_SHARE, shownMetric } from '../../interp/results/ends.js';
import type { LabelledData } from '../../interp/results/result.js';
import { exact, shortNumber, visibleLabel } from '../../interp/results/text.js';
import { type App, edit, hover, lock } from '../app/app.js';
import { type Depends, notesOf } from '../app/captions.js';
import { patchCode, patchCommand } from '../app/code.js';
import { endsOfMap } from '../app/premises.js';
import {
  headName,
  type MapState,
  type Part,
  type Place,
  place,
  type Site,
  shownPlace,
} from '../app/state.js';
import { mapAsk } from '../app/sweep.js';
import type { Card, Followed } from '../ui/card.js';
import { fill, h, segmented } from '../ui/dom.js';
import { type Cell, type Grid, grid } from '../ui/grid.js';
import { legend } from '../ui/legend.js';
import { wide } from '../ui/wide.js';
import { BEING_COMPUTED, type Taken, type View } from './view.js';

/** How each kind of map is called. */
export const SITES: readonly (readonly [Site, string, string])[] = [
  ['resid_pre', 'Residual', 'The residual stream before a layer, at one token'],
  ['attn_out', 'Attention', 'What the attention of a layer adds at one token'],
  ['mlp_out', 'MLP', 'What the MLP of a layer adds at one token'],
  ['z', 'Heads', 'What one head hands over, at all tokens'],
];

const METRICS = [
  ['logit-diff', 'Logit difference'],
  ['log-prob', 'Log probability'],
  ['prob', 'Probability'],
] as const;

const COLOURS = { light: diverging('light'), dark: diverging('dark') };

/** The view. */
export const patchingView: View = {
  id: 'patching',
  title: 'Patching map',
  nav: 'Patching',
  about:
    'The corrupted prompt, run once for every cell with one activation taken from the clean run. The bluer a cell, the more of the clean answer this activation alone brings back; red: it takes more away.',
  span: 8,
  takes: ['svg', 'png', 'pdf', 'csv', 'json', 'code', 'command'],
  mount(card, app) {
    const { store } = app;
    const sites = segmented('What is patched', SITES, (site) => edit(app, { site }));
    const metric = h(
      'select',
      {
        'aria-label': 'What is measured',
        onchange: () => edit(app, { metric: metric.value as (typeof METRICS)[number][0] }),
      },
      METRICS.map(([value, text]) => h('option', { value }, text)),
    );
    const run = runLine(app);
    lookAtStrongest(app);
    card.controls.append(sites.element, metric, run);
    store.watch((s) => s.experiment.site, sites.show);
    store.watch(
      (s) => s.experiment.metric,
      (value) => {
        metric.value = value;
      },
    );

    let drawn: Drawn | null = null;
    store.watch(
      (s) => [s.map, mapAsk(s).key, mapAsk(s).why] as const,
      ([map, key, why]) => {
        card.follow(followed(map, key, why));
        if (!card.body.childElementCount) drawn = null;
        if (!map?.rows.length || map.status === 'failed') return;
        if (drawn?.map.key !== map.key || drawn.map.columns !== map.columns) {
          drawn = draw(app, map);
          fill(card.body, drawn.premise, wide(drawn.grid.element), drawn.legend);
          show(app, drawn);
        }
        drawn.map = map;
        update(drawn);
        note(card, map);
      },
    );
    store.watch(
      (s) => [s.locked, shownPlace(s)],
      () => drawn && show(app, drawn),
    );
    return () => {
      const { map } = store.state;
      const { key, why } = mapAsk(store.state);
      if (map?.key !== key || !map) return why ?? BEING_COMPUTED;
      return map.result ? taken(map, map.result) : (map.error ?? PARTLY[map.status] ?? BEING_COMPUTED);
    };
  },
};

/** Said of a map that is not whole. */
const PARTLY: Readonly<Record<string, string>> = {
  paused: 'The map is paused: let it go on, then take it.',
  cancelled: 'The map was cancelled before it was whole: run it again, then take it.',
};

function taken(map: MapState, result: LabelledData): Taken {
  const depends: Depends = { on: 'pair', metric: String(result.meta.metric) };
  const title = `Patching: ${nameOf(map.site)}`;
  return {
    ...{ of: map.of, depends, detail: map.site, result },
    figure: () => {
      const [layers, ...rest] = result.axes;
      const named = { ...layers, labels: rowNames(map.site, layers.labels) };
      const meaning = endsProblem(endsOfMap(map)!) ? undefined : SHARES;
      const notes = [footOf(map), ...notesOf(map.of, depends)];
      return figure({ ...result, axes: [named, ...rest] }, { title, meaning, notes });
    },
    code: () => patchCode(map.of),
    command: () => patchCommand(map.of),
  };
}

/** Where the map is. */
function followed(map: MapState | null, key: string | null, why: string | null): Followed {
  if (!map) return key === null && why !== null ? { status: 'empty', why } : { status: 'waiting' };
  const { status, error, done, values, rows } = map;
  if (status === 'failed') return { status, why: error };
  if (status !== 'running') return { status: 'done' };
  return rows.length ? { status: 'live', progress: done / Math.max(1, values.length) } : { status: 'busy' };
}

const nameOf = (site: Site): string => SITES.find(([s]) => s === site)![1];

/** Rows as activations are called everywhere: `1_pre`, `1_attn_out`; of heads the layer. */
const rowNames = (site: Site, rows: readonly string[]): string[] =>
  rows.map((row, l) => (site === 'z' ? row : `${l}_${PART[site]}`));

/** Which activation of a layer a map patches. */
const PART: Readonly<Record<Exclude<Site, 'z'>, Part>> = {
  ...{ resid_pre: 'pre', attn_out: 'attn_out', mlp_out: 'mlp_out' },
};

/** A map on the page. */
interface Drawn {
  readonly grid: Grid;
  /** Said before anything else: that the two ends are no scale. */
  readonly premise: HTMLElement;
  readonly legend: HTMLElement;
  map: MapState;
  /** What is said of the ends now, and where the scale ends. */
  problem: string | null;
  most: number;
  /** Values that the cells show. */
  readonly shown: Float32Array;
  /** Which of them are no estimates. */
  readonly exactly: boolean[];
}

function draw(app: App, map: MapState): Drawn {
  const { sweep } = app;
  const heads = map.site === 'z';
  const names = rowNames(map.site, map.rows);
  const width = map.columns.length;
  const at = (layer: number, column: number): Place => placeOf(map.site, layer, column);
  const drawn: Drawn = {
    ...{ map, problem: null, most: 0 },
    premise: h('p', { class: 'problem premise', role: 'alert', hidden: true }),
    legend: h('div', {}),
    shown: new Float32Array(map.values.length).fill(Number.POSITIVE_INFINITY),
    exactly: [],
    grid: grid({
      label: `Patching map: ${nameOf(map.site)}, layers by ${heads ? 'heads' : 'tokens'}`,
      rows: names,
      columns: map.columns,
      tip(r, c) {
        const { values, preview, ends, columns } = drawn.map;
        const value = values[r * width + c];
        const known = !Number.isNaN(value);
        const share = known && drawn.problem ? 'no scale to restore on' : exact(value);
        const lines: [string, string][] = [['restored', known ? share : 'not yet computed']];
        if (ends) {
          const metric = ends.corrupted + value * (ends.clean - ends.corrupted);
          if (preview && !drawn.problem) lines.push(['estimated', exact(preview[r * width + c])]);
          if (known) lines.push(['metric', exact(metric)]);
          lines.push(['corrupted', exact(ends.corrupted)], ['clean', exact(ends.clean)]);
        }
        return {
          title: heads ? headName(r, c) : `${names[r]} · ${visibleLabel(columns[c])}`,
          lines,
        };
      },
      preview(cell) {
        hover(app, cell && at(...cell));
        sweep.look(cell && cell[0] * width + cell[1]);
      },
      lock: (r, c) => lock(app, at(r, c)),
    }),
  };
  if (!heads) drawn.grid.markColumns(map.of.prompts!.differ);
  return drawn;
}

/** What the colours of shares mean. */
const SHARES = '0: as the corrupted run · 1: as the clean run';

function update(drawn: Drawn): void {
  const { grid, map, shown, exactly } = drawn;
  const { values, preview, columns } = map;
  const ends = endsOfMap(map);
  const problem = ends && endsProblem(ends);
  // Without a scale there is no share: cells say how far they move the metric.
  const unit = problem && ends ? ends.one - ends.zero : 1;
  const most = problem && ends ? fullScale(ends) : mostOf(map);
  if (problem !== drawn.problem || most !== drawn.most) {
    Object.assign(drawn, { problem, most });
    shown.fill(Number.POSITIVE_INFINITY);
    drawn.premise.hidden = problem === null;
    drawn.premise.textContent = problem && `${problem} ${INSTEAD}`;
    const meaning = problem ? 'change of the metric from the corrupted run' : SHARES;
    fill(drawn.legend, legend(COLOURS, meaning, { ends: [`−${exact(most)}`, exact(most)] }));
  }
  const room = columns.length <= 64;
  for (let i = 0; i < values.length; i++) {
    const known = !Number.isNaN(values[i]);
    const value = known ? values[i] : (preview?.[i] ?? Number.NaN);
    if (Object.is(value, shown[i]) && known === exactly[i]) continue;
    shown[i] = value;
    exactly[i] = known;
    const said = value * unit;
    const t = Number.isNaN(value) ? 0 : said / most;
    grid.set(Math.floor(i / columns.length), i % columns.length, {
      light: COLOURS.light(t),
      dark: COLOURS.dark(t),
      text: known && room ? shortNumber(said) : '',
      label: Number.isNaN(value) ? 'not yet computed' : `${known ? '' : 'about '}${exact(said)}`,
      state: known ? undefined : preview ? 'estimate' : 'empty',
    });
  }
}

/**
 * The end of the scale, as in the figure of the result: its largest value. Until the map is whole at least 1.
 */
function mostOf({ values, status }: MapState): number {
  let most = status === 'done' ? LEAST_SHARE : 1;
  for (const v of values) if (Math.abs(v) > most) most = Math.abs(v);
  return most;
}

/** What is drawn where shares mean nothing. */
const INSTEAD = 'Cells show how far each activation moves the metric, on the full scale.';

function show(app: App, { grid, map }: Drawn): void {
  const { locked, hover } = app.store.state;
  grid.mark(cellsOf(map, locked), cellsOf(map, hover));
}

/** The cells of this map that a place means: one of it, a row of it, a column. */
function cellsOf({ site }: MapState, at: Place | null): Cell[] {
  if (!at) return [];
  if (site !== 'z' && at.part !== null && at.part !== PART[site]) return []; // another activation of that layer
  const column = site === 'z' ? at.head : at.pos;
  if (at.layer === null && column === null) return [];
  if (column === null && (at.head !== null || at.pos !== null)) return []; // a head here, a token there
  return [[at.layer, column]];
}

/** A cell of a map. */
const placeOf = (site: Site, layer: number, column: number): Place =>
  place(site === 'z' ? { layer, head: column } : { layer, part: PART[site], pos: column });

/**
 * Without a selection, a map that is whole has its strongest cell selected: there is something to see. Not
 * where the reader let go of what was selected for this pair.
 */
function lookAtStrongest({ store }: App): void {
  let before: Place | null = store.state.locked;
  let released: unknown = null; // the tokens for which the reader wants no selection
  store.watch(
    (s) => [s.map, s.locked] as const,
    ([map, locked]) => {
      const tokens = map?.of.prompts?.clean.ids;
      const gone = before !== null && locked === null;
      before = locked;
      if (gone && tokens === store.state.prompts?.clean.ids) released = tokens;
      if (locked || map?.status !== 'done' || !map.values.length || released === tokens) return;
      const best = map.values.reduce((b, v, i) => (v > map.values[b] ? i : b), 0);
      const [layer, column] = [Math.floor(best / map.columns.length), best % map.columns.length];
      store.set({ locked: placeOf(map.site, layer, column) });
    },
  );
}

/** Progress, time left, and what can be done about it. */
function runLine({ store, sweep }: App): HTMLElement {
  const text = h('span', { class: 'run-text' });
  const pause = h('button', {
    type: 'button',
    class: 'quiet',
    onclick: () => sweep.pause(store.state.map?.status === 'running'),
  });
  const cancel = h('button', { type: 'button', class: 'quiet', onclick: () => sweep.cancel() }, 'Cancel');
  const again = h('button', { type: 'button', class: 'quiet', onclick: () => sweep.start() }, 'Run it');
  store.watch(
    (s) => s.map,
    (map) => {
      const active = map?.status === 'running' || map?.status === 'paused';
      pause.hidden = cancel.hidden = !active;
      again.hidden = active || !map || map.status === 'done'; // the same numbers would come
      pause.textContent = map?.status === 'paused' ? 'Go on' : 'Pause';
      text.setAttribute('aria-live', active ? 'off' : 'polite'); // its end is news, each cell is not
      text.textContent = map ? progressText(map) : '';
    },
  );
  return h('div', { class: 'run' }, text, pause, cancel, again);
}

function progressText({ status, done, values, ms, first }: MapState): string {
  const cells = `${done} of ${values.length} cells`;
  if (status === 'running' && first && done > first.done) {
    const each = (ms - first.ms) / (done - first.done);
    return `${cells} · ${seconds(each * (values.length - done))} left`;
  }
  if (status === 'running' && done) return cells;
  if (status === 'running') return 'starting';
  if (status === 'paused') return `${cells} · paused`;
  if (status === 'cancelled') return `${cells} · cancelled`;
  return status === 'done' ? `${values.length} cells in ${seconds(ms)}` : '';
}

const seconds = (ms: number): string =>
  ms < 9950
    ? `${(ms / 1000).toFixed(1)} s`
    : ms < 90_000
      ? `${Math.round(ms / 1000)} s`
      : `${Math.round(ms / 60_000)} min`;

/** How good the estimates were: their correlation with the exact values, and the worst of them. */
function foretold({ status, preview, values, rows, columns }: MapState): string {
  if (!preview || status !== 'done') return '';
  const off = (i: number) => Math.abs(preview[i] - values[i]);
  const worst = values.reduce((most, _, i) => (off(i) > off(most) ? i : most), 0);
  const correlation = pearson(Float64Array.from(preview), Float64Array.from(values));
  const [row, column] = [Math.floor(worst / columns.length), worst % columns.length];
  return ` Attribution patching had estimated it with a correlation of ${correlation.toFixed(2)}; it was worst at ${rows[row]} ${visibleLabel(columns[column])}: ${exact(preview[worst])} for ${exact(values[worst])}.`;
}

function note({ foot }: Card, map: MapState): void {
  fill(foot, footOf(map));
}

/** The metric of both runs, the cells that cannot differ, and how good the estimates were. */
function footOf(map: MapState): string {
  const { result, ends } = map;
  const { metric, idle } = (result?.meta ?? {}) as { metric?: string; idle?: readonly number[] };
  const both = ends
    ? `${metric ? `${shownMetric(metric)}: ` : ''}clean ${exact(ends.clean)}, corrupted ${exact(ends.corrupted)}.`
    : '';
  const same = idle?.length
    ? ` ${idle.length} cells lie before the first token that differs: there both runs are the same.`
    : '';
  return both + same + foretold(map);
}
