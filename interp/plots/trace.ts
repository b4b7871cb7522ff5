/**
 * The figures of causal tracing (Meng et al. 2022, ROME): tokens from top to bottom, layers from left to right, in purple
 * for single states, green for MLPs and red for attention. The colour begins at the probability with nothing restored.
 */

import { endsProblem, leastSpan, warningsOf } from '../ends.js';
import type { Labelled } from '../result.js';
import { hues } from './colour.js';
import { curveFigure } from './curves.js';
import { drawnFigure, type Figure } from './drawing.js';
import { heatmap, largest } from './heatmap.js';
import { fitted, transposed } from './layout.js';
import { facetsSvg } from './svg.js';
import { denseLines, legendLine, paint } from './terminal.js';
import { modelName, shorten, visible } from './text.js';

/** What of a causal trace is drawn; `causalTrace` gives it. */
export interface Trace {
  /** Probability of the answer by pos × layer; labels of subject tokens end in `*`. */
  readonly scores: Labelled;
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
}

const NAMES = { state: 'state', mlp: 'MLP', attn: 'Attn' } as const;

/**
 * ROME's figure of a trace; of several traces of one prompt, side by side with one scale, each kind in its colour.
 * @throws when scores are not by pos × layer.
 */
export function traceFigure(traces: Trace | readonly Trace[], options: TraceFigureOptions = {}): Figure {
  const list = 'scores' in traces ? [traces] : traces;
  for (const { scores } of list)
    if (scores.axes.map((a) => a.name).join() !== 'pos,layer')
      throw new Error(
        `a trace has the axes pos × layer, this one ${scores.axes.map((a) => a.name).join(' × ')}`,
      );
  const [{ scores, answer }] = list;
  const { min, max } = scaleOf(list);
  const maps = list.map((t) =>
    heatmap(t.scores, { scale: 'sequential', hue: hues[t.kind ?? 'state'], min, max }),
  );
  const model = options.model ?? modelCaption(scores.meta.model);
  const each = list.map(({ kind, window }) => ({
    heading: `Impact of restoring ${NAMES[kind ?? 'state']} after corrupted input`,
    captions: ['', layerCaption(kind, window, model)] as const,
  }));
  const meaning = `p(${visible(answer.text.trim())})`;
  const [tokens, layers] = scores.shape;
  const cell = [fitted(400 / layers, 8, 56), fitted(480 / tokens, 12, 20)] as const;
  const title = list.length === 1 ? each[0].heading : 'Impact of restoring after corrupted input';
  return drawnFigure({
    title,
    warnings: [...new Set(list.flatMap((t) => warningsOf(t.scores.meta)))],
    about: `Noise on the subject’s tokens (*) takes the answer away; each cell restores the clean run’s activation at one token, around one layer. Paper: as probable as with nothing restored; the stronger the colour, the more of the answer is back.`,
    meta: scores.meta,
    svg: (frame) => facetsSvg(maps, { ...frame, each, cell, meaning, labels: 'below', numbers: false }),
    lines: (terminal) =>
      maps.flatMap((map, i) => [
        paint(shorten(each[i].heading, terminal.width ?? 80), { bold: true }, terminal.depth ?? 1),
        ...denseLines(map, terminal),
        shorten(each[i].captions[1], terminal.width ?? 80),
        legendLine(map, meaning, terminal),
        ...(i < maps.length - 1 ? [''] : []),
      ]),
  });
}

/** From nothing restored to the most restored; from 0 to 1 where nothing was taken away that could be. */
function scaleOf(list: readonly Trace[]): { min: number; max: number } {
  const all = list.map(({ scores, lowScore }) => {
    const { clean } = scores.meta;
    return { zero: lowScore, one: typeof clean === 'number' ? clean : Number.NaN };
  });
  if (all.some((ends) => endsProblem({ ...ends, unit: 'probability', metric: '' }) !== null))
    return { min: 0, max: 1 };
  const min = Math.min(...all.map((ends) => ends.zero));
  const least = Math.max(...all.map((ends) => leastSpan(ends) || 0));
  return { min, max: Math.max(largest(list.map((t) => t.scores)), min + least) };
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
export function asTrace(result: Labelled): Trace | null {
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

/** What of averaged traces is drawn; `averageTraces` gives it. */
export interface AverageEffects {
  /** Average indirect effect by role × layer. */
  readonly effect: Labelled;
  /** Half the width of its 95 % band, 1.96 σ/√n. */
  readonly band: Labelled;
  /** n */
  readonly traces: number;
}

/** Average indirect effects as curves over layers, one a role, with their bands. */
export function averageFigure(
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
}
