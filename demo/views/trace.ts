/** Causal tracing as ROME draws it: three maps, of states, MLPs and attention, that fill while one looks. */

import { hues, type Scale, sequential } from '../../interp/figures/draw/colour.js';
import { traceFigure } from '../../interp/figures/trace.js';
import { type Ends, endsProblem, leastSpan } from '../../interp/results/ends.js';
import { exact, percent, shortNumber, visible, visibleLabel } from '../../interp/results/text.js';
import type { CausalTrace, TraceKind } from '../../interp/tracing/causal-trace.js';
import { joinTraces, traceKinds as KINDS } from '../../interp/tracing/joined-traces.js';
import { guessSubject } from '../../interp/tracing/subject.js';
import { edit, hover, lock } from '../app/app.js';
import { type Ask, ask, editsIn } from '../app/ask.js';
import { type Depends, notesOf } from '../app/captions.js';
import { commandLine, literal, program } from '../app/code.js';
import { resource } from '../app/resource.js';
import { type Asked, type Place, place, type State, shownPlace, stateAfter } from '../app/state.js';
import { fill, h } from '../ui/dom.js';
import { type Cell, type Grid, grid } from '../ui/grid.js';
import { legend } from '../ui/legend.js';
import { wide } from '../ui/wide.js';
import { takeaway, type View } from './view.js';

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
  takes: ['svg', 'png', 'pdf', 'csv', 'json', 'code', 'command'],
  mount(card, app) {
    const { store, client } = app;
    let window_: number | null = null; // null: as the model's depth suggests
    let wanted: string | null = null; // what was asked for with the button
    let refused: string | null = null; // what was cancelled
    let maps: readonly Map_[] = [];
    let tell = () => {}; // until there are buttons
    const windowOf = ({ model }: Asked) => {
      const { nLayers } = model.info!;
      return Math.min(nLayers, window_ ?? (nLayers >= 24 ? 10 : Math.max(1, Math.round(nLayers / 4))));
    };
    /** What a trace needs, if nobody had to be asked. */
    const traceAsk = (state: State): Ask => {
      const needed = ask(state, ['clean', 'answer?']);
      if (needed.key === null) return needed;
      const why = subjectProblem(state);
      return why ? { key: null, why } : ask(state, ['clean', 'answer?'], subjectText(state), windowOf(state));
    };
    const traces = resource<readonly CausalTrace[]>(store, {
      lazy: true,
      ask: (state) => {
        const asked = traceAsk(state);
        if (asked.key === null) return asked;
        if (asked.key === refused) return { key: null, why: 'The trace was cancelled: run it again.' };
        const { nLayers } = state.model.info!;
        if (nLayers <= QUICK || asked.key === wanted) return asked;
        return { key: null, why: `A model of ${nLayers} layers takes a while: press Trace.` };
      },
      async run(of, { signal, progress }) {
        const { clean, answer } = of.prompts!;
        const ids = clean.ids.slice(skipped(of));
        const [subject, window] = [subjectText(of), windowOf(of)];
        let done = 0;
        maps = [];
        progress(0, 1);
        return client.call(
          'trace',
          { prompt: ids, subject, window, samples: SAMPLES, answer: answer.id, edits: editsIn(of) },
          {
            signal,
            onEvent({ kind, trace }) {
              if (signal.aborted) return;
              if (!maps.length) {
                maps = emptyMaps(of, trace, window, {
                  preview: (at) => hover(app, at),
                  lock: (at) => lock(app, at),
                });
                const elements = maps.map((m) => m.element);
                fill(card.body, premise(trace), h('div', { class: 'traces' }, elements));
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
      see(state) {
        const live = state.status === 'busy' && maps.length > 0;
        card.follow(live ? { ...state, status: 'live' } : state);
        if (!card.body.childElementCount) maps = [];
        if (state.found) fill(card.foot, footText(state.found.value));
        tell();
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
      wanted = traceAsk(store.state).key;
      refused = null;
      store.set({});
    });
    const cancel = button('Cancel', () => {
      refused = traceAsk(store.state).key;
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
    /** What can be done now. */
    tell = () => {
      const { status, progress } = traces.state;
      const { key } = traceAsk(store.state);
      run.hidden = status === 'busy' || key === null || (status === 'done' && key !== refused);
      cancel.hidden = status !== 'busy';
      run.textContent = refused === key ? 'Run again' : 'Trace';
      text.textContent =
        status === 'busy' && progress !== null
          ? `${Math.round(100 * progress)}%`
          : refused !== null && refused === key
            ? 'cancelled'
            : '';
    };
    store.watch((s) => [traceAsk(s).key, refused], tell);
    card.whenSeen(() => {
      traces.start();
      store.set({});
    });
    return takeaway(traces, ({ value, of }) => {
      const { clean, bos } = of.experiment;
      const [subject, window] = [subjectText(of), windowFound(value)];
      const { answer } = value[0];
      const own = of.prompts!.answer.id !== null;
      const depends: Depends = {
        on: 'clean',
        metric: `p(${JSON.stringify(answer.text)})`,
        detail: `noise on “${subject}”`,
      };
      return {
        ...{ of, depends, result: joinTraces([...value]) },
        figure: () => traceFigure(value, { numbers: true, notes: notesOf(of, depends) }),
        code: () =>
          program(
            of,
            ['traceAll', 'traceFigure'],
            `const options = { prompt: clean, subject: ${literal(subject)}, window: ${window}${own ? `, answer: ${literal(answer.text)}` : ''}${bos ? '' : ', prependBos: false'} };
const traces = await traceAll(model, options);
console.log(traceFigure(traces).lines().join('\\n'));`,
          ),
        command: () =>
          commandLine(of, [
            ...['trace', clean, '--subject', subject, '--kind', 'all', '--window', String(window)],
            ...(own ? ['--answer', answer.text] : []),
          ]),
      };
    });
  },
};

/** Layers of MLPs or attention that were restored together. */
const windowFound = (traces: readonly CausalTrace[]): number => traces[1].window;

function guessed({ experiment }: Asked): string | null {
  try {
    return guessSubject(experiment.clean);
  } catch {
    return null; // nothing is capitalised
  }
}

/**
 * How many of the clean prompt's tokens the trace leaves out: the beginning-of-text token where the model's
 * tokenizer does not add it, as in ROME's notebook. The other views have it unless it is switched off.
 */
const skipped = ({ experiment, model }: Asked): number => (experiment.bos && !model.info?.addsBos ? 1 : 0);

const subjectText = (state: Asked): string => state.experiment.subject || (guessed(state) ?? '');

/** Why nothing can be traced. */
function subjectProblem(state: Asked): string | null {
  const subject = subjectText(state);
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

function emptyMaps(state: Asked, trace: CausalTrace, window: number, react: React): Map_[] {
  const before = skipped(state);
  const pieces = state.prompts!.clean.pieces.slice(before);
  const [start, end] = trace.subject;
  const rows = pieces.map((piece, p) => `${p}:${piece}${p >= start && p < end ? '*' : ''}`);
  const width = trace.scores.axes[1].labels.length;
  return KINDS.map((kind): Map_ => {
    const values = new Float32Array(rows.length * width).fill(Number.NaN);
    const name = NAMES[kind ?? 'state'];
    const at = (row: number, layer: number): Place =>
      kind === null
        ? stateAfter(layer, width, row + before)
        : place({ layer, part: `${kind}_out`, pos: row + before });
    const columns = Array.from({ length: width }, (_, l) => `${l}_${kind === null ? 'post' : `${kind}_out`}`);
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
      preview: (cell) => react.preview(cell && at(...cell)),
      lock: (pos, layer) => react.lock(at(pos, layer)),
    });
    const foot = h('div', {});
    return {
      element: h('div', {}, h('h3', {}, heading(kind, window)), wide(own.element), foot),
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
        if (at.layer === null) return [[row, null]];
        // A state after a layer is the one before the next; MLPs and attention have names of their own.
        if (kind !== null) return at.part === `${kind}_out` ? [[row, at.layer]] : [];
        if (at.part === 'post') return [[row, at.layer]];
        return at.part === 'pre' && at.layer > 0 ? [[row, at.layer - 1]] : [];
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

/** The two ends of a trace. */
const endsOfTrace = ({ lowScore, highScore, answer }: CausalTrace): Ends => ({
  ...{ zero: lowScore, one: highScore, unit: 'probability', names: ['noised', 'clean'] },
  metric: `p(${JSON.stringify(answer.text)})`,
});

/** Said before anything else: that the noise takes nothing away that could be restored. */
function premise(trace: CausalTrace): HTMLElement | null {
  const problem = endsProblem(endsOfTrace(trace));
  if (!problem) return null;
  const more = 'Colours run over the full scale, 0 to 1. Try another subject.';
  return h('p', { class: 'problem premise', role: 'alert' }, `${problem} ${more}`);
}

/**
 * A scale for each map: from nothing restored to its largest value that is known; without a scale, from 0 to
 * 1.
 */
function colour(maps: readonly Map_[]): void {
  for (const { grid, kind, values, trace, foot } of maps) {
    const ends = endsOfTrace(trace);
    const full = endsProblem(ends) !== null;
    const low = full ? 0 : trace.lowScore;
    let high = full ? 1 : low + leastSpan(ends);
    if (!full) for (const v of values) if (v > high) high = v;
    const width = trace.scores.shape[1];
    const scales = scalesOf(kind);
    values.forEach((value, i) => {
      const known = !Number.isNaN(value);
      const t = known ? (value - low) / (high - low) : 0;
      grid.set(Math.floor(i / width), i % width, {
        ...{ light: scales.light(t), dark: scales.dark(t) },
        text: known && width <= 12 && t > 0.15 ? shortNumber(value) : '',
        label: known ? exact(value) : 'not yet computed',
        state: known ? undefined : 'empty',
      });
    });
    const from = full ? '' : ', from the run with noise on';
    const meaning = `p(${visible(trace.answer.text)})${from}`;
    fill(foot, legend(scales, meaning, { from: 0, ends: [exact(low), exact(high)] }));
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
