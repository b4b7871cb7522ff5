/** What causal tracings share: corrupt a subject, restore a clean activation at each position and layer. */

import type { Tokenizer } from '../../engine/tokens/tokenizer.js';
import type { HookEntry } from '../../hooks/input/hook.js';
import type { Model } from '../../hooks/input/model.js';
import type { Base, Counterfactual, Numbers } from '../../hooks/interventions/interventions.js';
import type { EmbeddingNoise, NoiseRule } from '../../hooks/interventions/noise.js';
import type { SweepWork } from '../../hooks/sweep/counterfactuals.js';
import { nextTokens } from '../../hooks/texts/score.js';
import type { LensToken } from '../logits/lens.js';
import { prob } from '../logits/metrics.js';
import { counterfactuals } from '../patching/counterfactuals.js';
import { endsProblem } from '../results/ends.js';
import { positionLabels } from '../results/provenance.js';
import type { Axis } from '../results/result.js';
import { guessSubject } from './subject.js';

/** From the first up to, not including, the second. */
export type TokenRange = readonly [start: number, end: number];

/** What is traced. */
export interface TracePlan {
  readonly tokens: readonly number[];
  readonly subject: TokenRange;
  /** Where to restore. */
  readonly positions: readonly number[];
  /** Hook point that is restored, without its layer. */
  readonly site: string;
  /** How many layers are restored together. */
  readonly window: number;
  readonly noise: EmbeddingNoise;
  readonly samples: number;
  /** Noise takes the place of embeddings. */
  readonly replace: boolean;
  /** Hook points, without layer, that keep their corrupted values at the restored position, in all layers. */
  readonly severed: readonly string[];
  /** Token whose probability is measured. */
  readonly answer: number;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** Probabilities of the answer, averaged over samples. */
export interface TraceGrid {
  /** [positions, nLayers] */
  readonly values: Float32Array;
  /** With nothing restored. */
  readonly lowScore: number;
  /** Of the clean run. */
  readonly highScore: number;
  /** Name of the metric. */
  readonly metric: string;
  /** Of all cells, though equal windows are run once. */
  readonly work: SweepWork;
  /** Cells that cannot differ from the corrupted run: layers [from, to) at a position. */
  readonly unchanged: readonly {
    readonly pos: number;
    readonly layers: TokenRange;
    readonly reason: string;
  }[];
}

/**
 * The layers restored around layer l, [from, to): `max(0, l − ⌊w/2⌋) … min(L, l − ⌊−w/2⌋)`, ROME's. Of an
 * even window l is the first layer of the second half; a window of one is layer l.
 */
export const windowAround = (l: number, window: number, nLayers: number): TokenRange => [
  Math.max(0, l - Math.floor(window / 2)),
  Math.min(nLayers, l - Math.floor(-window / 2)),
];

/** Runs the grid. Near the first and last layer windows may be the same; each is run once. */
export async function restoreGrid(model: Model, plan: TracePlan): Promise<TraceGrid> {
  const { tokens, subject, positions, site, window, noise, samples, replace, severed, answer } = plan;
  const { nLayers } = model.config;
  const [start, end] = subject;
  const input = Array.from({ length: samples }, () => tokens);
  const corrupt = (): Counterfactual => {
    const numbers = noise.draw(samples, end - start);
    return [{ at: 'hook_embed', pos: { start, end }, ...(replace ? { set: numbers } : { add: numbers }) }];
  };
  // Severed modules hold what they were in a first corrupted run. ROME's generator goes on after that run:
  // the states are restored in a run with other noise. The score with nothing restored is the first run's.
  const first = { input, interventions: corrupt() };
  const base: Base = severed.length
    ? { input, interventions: corrupt(), sources: { clean: tokens, first } }
    : { ...first, sources: { clean: tokens } };

  const windows = Array.from({ length: nLayers }, (_, l) => windowAround(l, window, nLayers));
  const ranges = [...new Map(windows.map((w) => [w.join(), w])).values()];
  const cells = positions.flatMap((pos) => ranges.map((layers) => ({ pos, layers })));
  const list = cells.map(
    ({ pos, layers: [from, to] }): Counterfactual => [
      { at: site, layer: { start: from, end: to }, pos, set: { from: 'clean' } },
      ...severed.map((at) => ({ at, pos, set: { from: 'first' } })),
    ],
  );
  const metric = prob(answer);
  const { onProgress, signal } = plan;
  const { values, meta } = await counterfactuals(model, base, list, metric, { onProgress, signal });
  const range = windows.map((w) => ranges.findIndex((r) => r[0] === w[0] && r[1] === w[1]));
  const work = meta.work as SweepWork;
  const sources = meta.sources as Readonly<Record<string, number>>;
  const unchanged = meta.unchanged as readonly { index: number; reason: string }[];
  return {
    values: Float32Array.from(positions.flatMap((_, i) => range.map((r) => values[i * ranges.length + r]))),
    lowScore: severed.length ? sources.first : (meta.base as number),
    highScore: sources.clean,
    metric: metric.name,
    work: { ...work, naiveTokenLayers: (work.naiveTokenLayers / ranges.length) * nLayers },
    unchanged: unchanged.map(({ index, reason }) => ({ ...cells[index], reason })),
  };
}

/** The axes of a trace; the subject's labels end in `*`. */
export function traceAxes(
  model: Model,
  { tokens, subject, positions }: Pick<TracePlan, 'tokens' | 'subject' | 'positions'>,
): { layer: Axis; pos: Axis } {
  const labels = positionLabels(model, tokens);
  const star = (p: number) => (p >= subject[0] && p < subject[1] ? '*' : '');
  return {
    layer: { name: 'layer', labels: Array.from({ length: model.config.nLayers }, (_, l) => `L${l}`) },
    pos: { name: 'pos', labels: positions.map((p) => `${labels[p]}${star(p)}`) },
  };
}

/** What is corrupted. */
export interface Subject {
  readonly range: TokenRange;
  /**
   * As it was given, for measuring its embeddings: ROME tokenises a subject by itself, not within its prompt.
   */
  readonly words: string | readonly number[];
}

/**
 * The subject of a prompt: a text in it, some of its tokens, or by default the text that looks like a
 * subject.
 */
export function subjectOf(
  model: Model,
  tokens: readonly number[],
  { prompt, subject }: { prompt: string | readonly number[]; subject?: string | TokenRange },
): Subject {
  if (subject === undefined && typeof prompt !== 'string')
    throw new Error('the prompt is tokens: say which of them are the subject, as text or [start, end)');
  const words = subject ?? guessSubject(prompt as string);
  const typed = typeof prompt === 'string' ? prompt : undefined;
  if (typeof words === 'string') return { range: model.tokenRange(words, tokens, typed), words };
  const [start, end] = words;
  if (![start, end].every(Number.isInteger) || start < 0 || start >= end || end > tokens.length)
    throw new Error(
      `subject [${start}, ${end}): a range within the ${tokens.length} tokens of the prompt is needed`,
    );
  return { range: [start, end], words: tokens.slice(start, end) };
}

/**
 * Whether the model's tokenizer itself prepends the beginning-of-text token, as it does in the notebooks'
 * Python.
 */
export const bosOfTokenizer = ({ tokenizer }: { readonly tokenizer: Tokenizer | null }): boolean =>
  tokenizer?.addsBos ?? false;

/**
 * Says where the noise hardly changes the answer's probability, so that there is nothing to bring back; else
 * null.
 */
export function noiseWarning(
  rule: NoiseRule,
  metric: string,
  clean: number,
  corrupted: number,
): string | null {
  const ends = { zero: corrupted, one: clean, unit: 'probability', metric } as const;
  const problem = endsProblem({ ...ends, names: ['noised', 'clean'] });
  if (!problem) return null;
  const more = rule === 's3' ? 'Give a larger number' : "Try noise: 's3', or a larger number";
  return `noise ${rule} hardly takes the answer away: ${problem} ${more}, or another subject.`;
}

/** Options of `topNext`. */
export interface TopNextOptions {
  /** How many. Default 1. */
  readonly k?: number;
  /** What is added to the embeddings from a position on. */
  readonly added?: { readonly start: number; readonly noise: Numbers };
  readonly signal?: AbortSignal;
}

/** The k most probable next tokens after a prompt, most probable first. */
export async function topNext(
  model: Model,
  tokens: readonly number[],
  { k = 1, added, signal }: TopNextOptions = {},
): Promise<LensToken[]> {
  const hooks: HookEntry[] = [];
  if (added) {
    const { start, noise } = added; // [1, tokens, dModel]
    const part: [null, [number, number]] = [null, [start, start + noise.shape[1]]];
    hooks.push([
      'hook_embed',
      (t, { tensor }) => t.set(part, t.slice(part).add(tensor(noise.data, noise.shape))),
    ]);
  }
  const [top] = await nextTokens(model, [tokens], { k, hooks, signal });
  return top.map(({ token, logProb }) => ({ token, text: textOf(model, token), prob: Math.exp(logProb) }));
}

/** A token as text; without a tokenizer `#5`. */
export const textOf = (model: Model, token: number): string =>
  model.tokenizer?.pieces([token])[0] ?? `#${token}`;

/** @throws unless it is a whole number above 0. */
export function positive(name: string, value: number): number {
  if (!Number.isInteger(value) || value < 1)
    throw new Error(`${name}: ${value}; a whole number from 1 is needed`);
  return value;
}
