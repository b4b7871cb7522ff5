/** Causal tracing as ROME draws it: three maps, of states, MLPs and attention, that fill while one looks. */

import type { CausalTrace, TraceKind } from '../../interp/causal-trace.js';
import { hues, type Scale, sequential } from '../../interp/plots/colour.js';
import { compact, exact, percent, visible, visibleLabel } from '../../interp/plots/text.js';
import { traceFigure } from '../../interp/plots/trace.js';
import { guessSubject } from '../../interp/subject.js';
import { joinTraces, traceKinds as KINDS } from '../../interp/trace-kinds.js';
import { edit, hover, lock } from '../app/app.js';
import { commandLine, program } from '../app/code.js';
import { resource } from '../app/resource.js';
import { experimentKey, type Place, place, type State, shownPlace } from '../app/state.js';
import { fill, h } from '../ui/dom.js';
import { type Cell, type Grid, grid } from '../ui/grid.js';
import { legend } from '../ui/legend.js';
import type { View } from './view.js';

/** ROME's. */
const SAMPLES = 10;
/** Models of so many layers are traced without being asked. */
const QUICK = 12;
const NAMES = { state: 'State', mlp: 'MLP', attn: 'Attention' } as const;

/** The view. */
export const traceView: View = {
  id: 'trace',
  title: 'Causal trace',
  nav: 'Trace',
  about:
    'Noise on the subject’s tokens (*) of the clean prompt takes the answer away; each cell puts back the clean run’s activation at one token, around one layer. The stronger the colour, the more of the answer is back.',
  span: 12,
  mount(card, app) {
    const { store, client } = app;
    let window_: number | null = null; // null: as the model's depth suggests
    let wanted: string | null = null; // what was asked for with the button
    let refused: string | null = null; // what was cancelled
    let maps: readonly Map_[] = [];
    const windowOf = ({ model }: State) => {
      const { nLayers } = model.info!;
      return Math.min(nLayers, window_ ?? (nLayers >= 24 ? 10 : Math.max(1, Math.round(nLayers / 4))));
    };
    const keyOf = (state: State) => {
      const key = experimentKey(state);
      if (!key || subjectProblem(state)) return null;
      return `${key}\n${subjectText(state)}\n${windowOf(state)}`;
    };
    const traces = resource<readonly CausalTrace[]>(store, {
      lazy: true,
      key: (state) => {
        const key = keyOf(state);
        const quick = (state.model.info?.nLayers ?? 0) <= QUICK;
        return key !== null && key !== refused && (quick || key === wanted) ? key : null;
      },
      async run(state, { signal, progress }) {
        const ids = state.prompts!.clean.ids.slice(skipped(state));
        const [subject, window] = [subjectText(state), windowOf(state)];
        let done = 0;
        maps = [];
        progress(0, 1);
        return client.call(
          'trace',
          { prompt: ids, subject, window, samples: SAMPLES },
          {
            signal,
            onEvent({ kind, trace }) {
              if (signal.aborted) return;
              if (!maps.length) {
                maps = emptyMaps(state, trace, window, {
                  preview: (at) => hover(app, at),
                  lock: (at) => lock(app, at),
                });
                fill(
                  card.body,
                  h(
                    'div',
                    { class: 'traces' },
                    maps.map((m) => m.element),
                  ),
                );
                show();
              }
              maps[KINDS.indexOf(kind)].add(trace);
              colour(maps);
              done += trace.positions.length;
              progress(done, 3 * ids.length);
            },
          },
        );
      },
      see({ status, value, progress }) {
        card.busy(status === 'busy' ? progress : undefined);
        tell();
        if (status === 'done' && value) fill(card.foot, footText(value));
      },
    });
    const subject = h('input', {
      ...{ type: 'text', id: 'trace-subject', spellcheck: 'false', autocomplete: 'off' },
      oninput: () => edit(app, { subject: subject.value }),
    });
    const window = h('input', {
      ...{ type: 'number', id: 'trace-window', min: 1 },
      oninput: () => {
        const n = Number(window.value);
        window_ = Number.isInteger(n) && n > 0 ? n : null;
        store.set({});
      },
    });
    const text = h('span', { class: 'run-text', 'aria-live': 'polite' });
    const button = (name: string, onclick: () => void) =>
      h('button', { type: 'button', class: 'quiet', hidden: true, onclick }, name);
    const run = button('Trace', () => {
      wanted = keyOf(store.state);
      refused = null;
      store.set({});
    });
    const cancel = button('Cancel', () => {
      refused = keyOf(store.state);
      store.set({});
    });
    card.controls.append(
      h('label', { class: 'inline', for: 'trace-subject' }, 'Subject', subject),
      h(
        'label',
        { class: 'inline', for: 'trace-window', title: 'Layers of MLPs or attention restored together' },
        'Window',
        window,
      ),
      h('div', { class: 'run' }, text, cancel, run),
    );
    store.watch(
      (s) => [s.experiment.subject, s.experiment.clean, s.model.info] as const,
      ([typed, , info]) => {
        if (subject.value !== typed) subject.value = typed;
        subject.placeholder = guessed(store.state) ?? '';
        if (info) window.placeholder = String(windowOf(store.state));
        if (info) window.max = String(info.nLayers);
      },
    );
    const show = () => {
      const { locked, hover } = store.state;
      for (const map of maps) map.grid.mark(map.cellsOf(locked), map.cellsOf(hover));
    };
    store.watch((s) => [s.locked, shownPlace(s)], show);
    /** What can be done now, and why nothing can. */
    const tell = () => {
      const { status, error, progress } = traces.state;
      const key = keyOf(store.state);
      card.problem(error ?? (status === 'idle' ? subjectProblem(store.state) : null));
      card.element.classList.toggle('stale', status === 'idle' && maps.length > 0 && refused === null);
      run.hidden = status === 'busy' || key === null || (status === 'done' && key !== refused);
      cancel.hidden = status !== 'busy';
      run.textContent = refused === key ? 'Run again' : 'Trace';
      text.textContent =
        status === 'busy' && progress !== null
          ? `${Math.round(100 * progress)} %`
          : refused !== null && refused === key
            ? 'cancelled'
            : '';
    };
    store.watch((s) => [keyOf(s), subjectProblem(s), refused], tell);
    card.whenSeen(() => {
      traces.start();
      store.set({});
    });
    const options = () => {
      const { bos } = store.state.experiment;
      return { subject: subjectText(store.state), window: windowOf(store.state), bos };
    };
    return {
      result: () => (traces.state.value ? joinTraces([...traces.state.value]) : null),
      figure: () => (traces.state.value ? traceFigure(traces.state.value) : null),
      code: () => {
        const { subject, window, bos } = options();
        return program(
          store.state,
          ['traceAll', 'traceFigure'],
          `const options = { prompt: clean, subject: ${JSON.stringify(subject)}, window: ${window}${bos ? '' : ', prependBos: false'} };
const traces = await traceAll(model, options);
console.log(traceFigure(traces).lines().join('\\n'));`,
        );
      },
      command: () => {
        const { subject, window } = options();
        const { clean } = store.state.experiment;
        return commandLine(store.state, [
          ...['trace', clean, '--subject', subject, '--kind', 'all', '--window', String(window)],
        ]);
      },
    };
  },
};

function guessed({ experiment }: State): string | null {
  try {
    return guessSubject(experiment.clean);
  } catch {
    return null; // nothing is capitalised
  }
}

/**
 * How many of the clean prompt's tokens the trace leaves out: the beginning-of-text token where the model's tokenizer does not add
 * it, as in ROME's notebook. The other views have it unless it is switched off.
 */
const skipped = ({ experiment, model }: State): number => (experiment.bos && !model.info?.addsBos ? 1 : 0);

const subjectText = (state: State): string => state.experiment.subject || (guessed(state) ?? '');

/** Why nothing can be traced. */
function subjectProblem(state: State): string | null {
  const subject = subjectText(state);
  if (!state.valid) return null; // said elsewhere
  if (!subject) return 'Say what the subject is: words of the clean prompt.';
  return state.experiment.clean.includes(subject) ? null : `“${subject}” does not occur in the clean prompt.`;
}

/** One of the maps. */
interface Map_ {
  readonly element: HTMLElement;
  readonly grid: Grid;
  readonly kind: TraceKind;
  readonly trace: CausalTrace;
  /** [pos, layer]; NaN where nothing is known yet. */
  readonly values: Float32Array;
  readonly foot: HTMLElement;
  add(rows: CausalTrace): void;
  cellsOf(at: Place | null): Cell[];
}

/** What pointing and clicking do. */
interface React {
  preview(at: Place | null): void;
  lock(at: Place): void;
}

function emptyMaps(state: State, trace: CausalTrace, window: number, react: React): Map_[] {
  const before = skipped(state);
  const pieces = state.prompts!.clean.pieces.slice(before);
  const [start, end] = trace.subject;
  const rows = pieces.map((piece, p) => `${p}:${piece}${p >= start && p < end ? '*' : ''}`);
  const columns = trace.scores.axes[1].labels;
  const width = columns.length;
  return KINDS.map((kind): Map_ => {
    const values = new Float32Array(rows.length * width).fill(Number.NaN);
    const name = NAMES[kind ?? 'state'];
    const own = grid({
      ...{
        label: `Causal trace, ${name}: tokens by layers`,
        rows,
        columns,
        minWidth: 16,
        class: 'snug trace',
      },
      tip: (r, c) => {
        const value = values[r * width + c];
        const known = !Number.isNaN(value);
        return {
          title: `${name} · ${visibleLabel(rows[r])} · ${columns[c]}`,
          lines: [
            [`p(${visible(trace.answer.text)})`, known ? exact(value) : 'not yet computed'],
            ['nothing restored', exact(trace.lowScore)],
            ['clean run', exact(trace.highScore)],
          ],
        };
      },
      preview: (cell) => react.preview(cell && place({ pos: cell[0] + before, layer: cell[1] })),
      lock: (pos, layer) => react.lock(place({ pos: pos + before, layer })),
    });
    const foot = h('div', {});
    return {
      element: h(
        'div',
        {},
        h('h3', {}, heading(kind, window)),
        h('div', { class: 'scroll' }, own.element),
        foot,
      ),
      ...{ grid: own, kind, trace, values, foot },
      add: ({ positions, scores }) => {
        positions.forEach((p, i) => {
          values.set(scores.values.subarray(i * width, (i + 1) * width), p * width);
        });
      },
      cellsOf(at) {
        if (at === null || at.head !== null || (at.layer === null && at.pos === null)) return [];
        const row = at.pos === null ? null : at.pos - before;
        if ((at.layer ?? 0) >= width || (row ?? 0) >= rows.length || (row ?? 0) < 0) return [];
        return [[row, at.layer]];
      },
    };
  });
}

const heading = (kind: TraceKind, window: number): string =>
  kind === null
    ? 'State after a layer'
    : window === 1
      ? `${NAMES[kind]} of a layer`
      : `${NAMES[kind]}, ${window} layers together`;

/** One scale for all maps: from the corrupted run to the largest value that is known. */
function colour(maps: readonly Map_[]): void {
  const low = maps[0].trace.lowScore;
  let high = low;
  for (const { values } of maps) for (const v of values) if (v > high) high = v;
  for (const { grid, kind, values, trace, foot } of maps) {
    const width = trace.scores.shape[1];
    const scales = scalesOf(kind);
    values.forEach((value, i) => {
      const known = !Number.isNaN(value);
      const t = known && high > low ? (value - low) / (high - low) : 0;
      grid.set(Math.floor(i / width), i % width, {
        ...{ light: scales.light(t), dark: scales.dark(t) },
        text: known && width <= 12 && value - low > 0.15 * (high - low) ? compact(value) : '',
        label: known ? exact(value) : 'not yet computed',
        state: known ? undefined : 'empty',
      });
    });
    const ends = [exact(low), exact(high)] as const;
    fill(
      foot,
      legend(scales, `p(${visible(trace.answer.text)}), from the corrupted run on`, { from: 0, ends }),
    );
  }
}

function scalesOf(kind: TraceKind): { readonly light: Scale; readonly dark: Scale } {
  const hue = hues[kind ?? 'state'];
  return { light: sequential(hue, 'light'), dark: sequential(hue, 'dark') };
}

function footText([state, mlp]: readonly CausalTrace[]): string {
  const { answer, highScore, lowScore, noise, scores } = state;
  return `p(${visible(answer.text)}): ${percent(highScore)} in the clean run, ${percent(lowScore)} with noise of ${exact(noise ?? 0)}, over ${SAMPLES} draws; ${scores.meta.bos ? 'with' : 'without'} the beginning-of-text token. MLPs and attention are restored in windows of ${mlp.window} ${mlp.window === 1 ? 'layer' : 'layers'}.`;
}
