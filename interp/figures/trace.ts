/**
 * The figures of causal tracing (Meng et al. 2022, ROME): tokens from top to bottom, layers from left to right, in purple
 * for single states, green for MLPs and red for attention. The colour begins at the probability with nothing restored.
 */

import { is, options, signatures } from '../../hooks/input/check.js';
import { endsProblem, leastSpan, warningsOf } from '../results/ends.js';
import { type LabelledData, labelled } from '../results/result.js';
import { displayWidth, exact, modelName, shorten, splitLabel, visible } from '../results/text.js';
import { curveFigure } from './curves.js';
import { hues } from './draw/colour.js';
import { drawnFigure, type Figure } from './draw/drawing.js';
import { fitted, transposed } from './draw/layout.js';
import { facetsSvg } from './draw/svg.js';
import { denseLines, legendLine, paint } from './draw/terminal.js';
import { heatmap, largest } from './heatmap.js';

/** What of a causal trace is drawn; `causalTrace` gives it. */
export interface Trace {
  /** Probability of the answer by pos × layer; labels of subject tokens end in `*`. */
  readonly scores: LabelledData;
  /** With nothing restored: the floor of the colours. */
  readonly lowScore: number;
  readonly answer: { readonly text: string };
  /** What was restored; null: the residual stream. */
  readonly kind: null | 'mlp' | 'attn';
  /** Layers restored together. */
  readonly window: number;
}

/** Options of the figures of traces. */
export interface TraceFigureOptions {
  /** As it is called in captions. Default: from the result. */
  readonly model?: string;
  /** Write the values into the cells. Default false, as in the paper. */
  readonly numbers?: boolean;
  /** Further small text below the picture in a file of its own: model, adapter. */
  readonly notes?: readonly string[];
}

const NAMES = { state: 'state', mlp: 'MLP', attn: 'Attn' } as const;

const TRACE = is.having('a trace, as causalTrace gives it', 'scores', 'lowScore', 'answer');
const TRACE_FIGURE = options<TraceFigureOptions>({
  ...{ model: is.text, numbers: is.boolean },
  notes: is.listOf(is.text, 'a list of texts'),
});

const takes = signatures({
  pyveneFigure: { value: is.having('a trace, as pyveneTrace gives it', 'prob', 'answer') },
  traceFigure: {
    traces: is.either(TRACE, is.several(TRACE, 'a list of traces')),
    options: TRACE_FIGURE,
  },
  averageFigure: {
    average: is.having('an average, as averageTraces gives it', 'effect', 'band'),
    options: TRACE_FIGURE,
  },
});

/**
 * ROME's figure of a trace; of several traces of one prompt, side by side, each kind in its colour and with a scale of its own,
 * from the score with nothing restored to its largest.
 * @throws when scores are not by pos × layer.
 */
export const traceFigure = takes.traceFigure(function traceFigure(
  traces: Trace | readonly Trace[],
  options: TraceFigureOptions = {},
): Figure {
  const list = 'scores' in traces ? [traces] : traces;
  for (const { scores } of list)
    if (scores.axes.map((a) => a.name).join() !== 'pos,layer')
      throw new Error(
        `a trace has the axes pos × layer, this one ${scores.axes.map((a) => a.name).join(' × ')}`,
      );
  const [{ scores, answer }] = list;
  const maps = list.map((t) =>
    heatmap(tokenRows(t.scores), {
      ...{ scale: 'sequential', hue: hues[t.kind ?? 'state'] },
      ...scaleOf(t),
    }),
  );
  const model = options.model ?? modelCaption(scores.meta.model);
  const each = list.map(({ kind, window }) => ({
    heading: `Impact of restoring ${NAMES[kind ?? 'state']} after corrupted input`,
    captions: ['', layerCaption(kind, window, model)] as const,
  }));
  const { numbers = false } = options;
  // Papers leave the blank away; where the numbers are looked at, the token is named as everywhere else.
  const meaning = `p(${visible(numbers ? answer.text : answer.text.trim())})`;
  const notes = notesOf(list);
  const [tokens, layers] = scores.shape;
  const [room, least] = list.length > 1 ? [270, 5] : [400, 8]; // three stand beside each other on a page
  const cell = [fitted(room / layers, least, 56), fitted(480 / tokens, 12, 20)] as const;
  const title = list.length === 1 ? each[0].heading : 'Impact of restoring after corrupted input';
  return drawnFigure({
    title,
    warnings: [...new Set(list.flatMap((t) => warningsOf(t.scores.meta)))],
    about: `Noise on the subject’s tokens (*) takes the answer away; each cell restores the clean run’s activation at one token, around one layer. Paper: as probable as with nothing restored; the stronger the colour, the more of the answer is back.`,
    meta: scores.meta,
    notes: options.notes,
    svg: (frame) =>
      facetsSvg(maps, {
        ...frame,
        each,
        cell,
        title,
        meaning,
        notes: [...notes, ...(frame.notes ?? [])],
        ownScales: true,
        labels: 'below',
        numbers: numbers && cell[0] >= 26 && cell[1] >= 14,
      }),
    lines: (terminal) => [
      ...maps.flatMap((map, i) => [
        paint(shorten(each[i].heading, terminal.width ?? 80), { bold: true }, terminal.depth ?? 1),
        ...denseLines(map, terminal),
        shorten(each[i].captions[1], terminal.width ?? 80),
        legendLine(map, meaning, terminal),
        ...(i < maps.length - 1 ? [''] : []),
      ]),
      ...broken(notes, terminal.width ?? 80),
    ],
  });
});

/** Rows that say the token only, as ROME's: its position is in the tooltip of no cell, but in the CSV. */
const tokenRows = ({ values, axes, meta }: LabelledData): LabelledData => {
  const [pos, layer] = axes;
  const labels = pos.labels.map((label) => splitLabel(label)[1].replace(/^␣(?=[^*])/, ''));
  return labelled(values, [{ name: '', labels }, layer], meta, 'allowed');
};

/** The answer as text, the noise, and what else the numbers depend on. */
function notesOf(list: readonly Trace[]): string[] {
  const [{ scores, answer, lowScore }] = list;
  const { clean, noise, samples, bos } = scores.meta as {
    clean?: number;
    noise?: { rule: unknown; level: number | null };
    samples?: number;
    bos?: boolean;
  };
  const windows = list.filter((t) => t.kind !== null && t.window > 1);
  const each = windows.map((t) => `${NAMES[t.kind ?? 'state']} ${t.window}`);
  const level = typeof noise?.level === 'number' ? exact(noise.level) : String(noise?.rule);
  const rule = typeof noise?.rule === 'string' && noise.level !== null ? ` (${noise.rule})` : '';
  const about = [
    ...(clean === undefined
      ? []
      : [`p(${visible(answer.text)}) ${exact(clean)} clean, ${exact(lowScore)} corrupted`]),
    ...(noise ? [`noise ${level}${rule}${samples ? `, ${samples} draws` : ''}`] : []),
    ...(each.length ? [`layers restored together: ${each.join(', ')}`] : []),
    ...(bos === undefined ? [] : [`beginning-of-text token ${bos ? 'prepended' : 'not prepended'}`]),
  ];
  return about.length ? [about.join(SEPARATOR)] : [];
}

const SEPARATOR = ' · ';

/** Notes in lines of a width, broken between their parts. */
function broken(notes: readonly string[], width: number): string[] {
  return notes.flatMap((note) => {
    const lines: string[] = [];
    for (const part of note.split(SEPARATOR)) {
      const longer = [...lines.slice(-1), part].join(SEPARATOR);
      if (lines.length && displayWidth(longer) <= width) lines[lines.length - 1] = longer;
      else lines.push(shorten(part, width));
    }
    return lines;
  });
}

/** From nothing restored to the most restored; from 0 to 1 where nothing was taken away that could be. */
function scaleOf({ scores, lowScore }: Trace): { min: number; max: number } {
  const { clean } = scores.meta;
  const one = typeof clean === 'number' ? clean : Number.NaN;
  const ends = { zero: lowScore, one, unit: 'probability', metric: '' } as const;
  if (endsProblem(ends) !== null) return { min: 0, max: 1 };
  return { min: lowScore, max: Math.max(largest([scores]), lowScore + (leastSpan(ends) || 0)) };
}

const layerCaption = (kind: Trace['kind'], window: number, model: string): string =>
  kind === null || window === 1
    ? `single restored ${kind ? `${NAMES[kind]} ` : ''}layer within ${model}`
    : `center of interval of ${window} restored ${NAMES[kind]} layers`;

/** `GPT-2` for GPT-2, as in the papers; other models as they are called. */
function modelCaption(model: unknown): string {
  if (typeof model !== 'string') return 'GPT';
  const name = modelName(model);
  const found = /(?:^|\/)gpt2(?:-(medium|large|xl))?$/.exec(name);
  if (!found) return name;
  return found[1] ? `GPT-2 ${found[1] === 'xl' ? 'XL' : found[1]}` : 'GPT-2';
}

const STREAMS: Readonly<Record<string, Trace['kind']>> = {
  block_output: null,
  mlp_activation: 'mlp',
  attention_output: 'attn',
};

/** The trace that a labelled array is, by its provenance; null if it is none. pyvene's are turned to pos × layer. */
export function asTrace(result: LabelledData): Trace | null {
  const { axes, meta } = result;
  const { method, stream, corrupted, window } = meta;
  const answer = meta.answer as Trace['answer'] | undefined;
  const names = axes.map((a) => a.name).join();
  if (typeof method !== 'string' || !method.startsWith('causal tracing')) return null;
  if (!['pos,layer', 'layer,pos'].includes(names) || typeof answer?.text !== 'string') return null;
  if (typeof corrupted !== 'number' || typeof window !== 'number') return null;
  const kind = typeof stream === 'string' ? STREAMS[stream] : (meta.kind as Trace['kind']);
  const scores = names === 'pos,layer' ? result : transposed(result);
  return { scores, lowScore: corrupted, answer, kind, window };
}

/** What of a trace of pyvene's is drawn; `pyveneTrace` gives it. */
export interface StreamTrace {
  /** Probability of the answer by layer × pos. */
  readonly prob: LabelledData;
  readonly answer: { readonly text: string };
}

/**
 * The tutorial's picture of one stream: its colours, over the range of the data, tokens down, layers across, its captions, no title. Row
 * labels are upright where the tutorial turns them by 90°.
 */
export const pyveneFigure = takes.pyveneFigure(function pyveneFigure({ prob, answer }: StreamTrace): Figure {
  const { stream, window, model } = prob.meta as { stream: string; window: number; model?: unknown };
  const kind = STREAMS[stream];
  const name = modelCaption(model).replace('GPT-2 ', 'GPT2-').replace('GPT-2', 'GPT2');
  const part = kind === 'mlp' ? 'mlp' : 'attn';
  const caption =
    kind === null
      ? `single restored layer in ${name}`
      : `center of interval of ${window} patched ${part} layer`;
  const scores = tokenRows(transposed(prob));
  const min = scores.values.reduce((low, v) => Math.min(low, v), Infinity);
  const range = { min, max: largest([scores]) };
  const map = heatmap(scores, { scale: 'sequential', hue: hues[kind ?? 'state'], ...range });
  const meaning = `p(${visible(answer.text.trim())})`;
  const [tokens, layers] = scores.shape;
  const cell = [fitted(400 / layers, 8, 56), fitted(480 / tokens, 12, 26)] as const;
  const notes = notesOf([{ scores: prob, lowScore: prob.meta.corrupted as number, answer, kind, window }]);
  const captions = ['', caption] as const;
  return drawnFigure({
    title: caption,
    meta: prob.meta,
    svg: (frame) =>
      facetsSvg([map], { ...frame, meaning, notes, cell, captions, labels: 'below', numbers: false }),
    lines: (terminal) => [
      ...denseLines(map, terminal),
      legendLine(map, meaning, terminal),
      ...broken(notes, terminal.width ?? 80),
    ],
  });
});

/** What of averaged traces is drawn; `averageTraces` gives it. */
export interface AverageEffects {
  /** Average indirect effect by role × layer. */
  readonly effect: LabelledData;
  /** Half the width of its 95 % band, 1.96 σ/√n. */
  readonly band: LabelledData;
  /** n */
  readonly traces: number;
}

/** Average indirect effects as curves over layers, one a role, with their bands. */
export const averageFigure = takes.averageFigure(function averageFigure(
  { effect, band, traces }: AverageEffects,
  options: TraceFigureOptions = {},
): Figure {
  const { kind, window, model } = effect.meta as { kind?: Trace['kind']; window?: number; model?: unknown };
  const title = `Average indirect effect of ${NAMES[kind ?? 'state']} over ${traces} prompts`;
  const x = layerCaption(kind ?? null, window ?? 1, options.model ?? modelCaption(model));
  return curveFigure(effect, {
    title,
    about:
      'How much of the answer’s probability comes back on average when a clean activation is restored at a token of each role.',
    note: `bands: ±1.96 σ/√n, n = ${traces}`,
    band,
    x,
    y: 'probability of the answer: restored − corrupted',
  });
});
