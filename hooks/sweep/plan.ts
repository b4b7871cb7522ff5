/**
 * The planner's arithmetic. A counterfactual leaves its base run at some layer and position. Before that
 * layer the base's residual stream is its own; at earlier positions the base's keys and values are. So each
 * prompt of each counterfactual becomes a fork: a row that joins a shared batch when it starts to differ, and
 * owns only the positions that can differ. At the last layer it shrinks to what the metric reads.
 *
 * Time is counted in half blocks: 0 the embedding, 1 + 2l attention of layer l, 2 + 2l its MLP, 2L + 1 the
 * last layer norm. A hook at the end of a half (`resid_post`) counts as the beginning of the next.
 */

import type { Points } from '../../engine/transformer/model-points.js';
import type { Edit } from '../interventions/edits.js';
import { weighsLater } from '../interventions/later-keys.js';

/** Positions [lo, hi) that a fork owns in each half; lo = hi where it owns none. */
export interface Extents {
  readonly lo: Int32Array;
  readonly hi: Int32Array;
}

/** One prompt of one counterfactual. */
export interface Fork extends Extents {
  readonly cell: number;
  /** Prompt of the base run. */
  readonly row: number;
  /** In order of execution: what must be applied where the fork has the position. */
  readonly edits: readonly Edit[];
  /** First half in which it owns positions. */
  readonly first: number;
}

/** What a fork is planned against. */
export interface ForkSetting {
  readonly nLayers: number;
  /** Tokens of the prompt, as far as anything is read. */
  readonly length: number;
  /** All tokens of the prompt: a pattern with weight on later keys reads them. */
  readonly tokens: number;
  /** Every fork owns all positions behind its first, so that its patterns have all keys. Default false. */
  readonly whole?: boolean;
  /** Which of their logits are read: the last, or all. */
  readonly reads: 'last' | 'all';
  /** Edits of the base run at this prompt: they hold in its forks too. */
  readonly baseEdits: readonly Edit[];
  /** Attention reaches earlier positions too: a fork owns all positions from where it joins on. */
  readonly bidirectional: boolean;
  /** Is this the value that the base run has there anyway? */
  idle(edit: Edit): boolean;
  /** Halves in which functions of an edited model are called: with whole rows. Default none. */
  readonly called?: readonly number[];
}

/** Halves in which functions of an edited model are called. */
export function calledHalves(called: ReadonlySet<string> = new Set(), points: Points): number[] {
  const { nLayers, positionEmbedding } = points.config;
  const all = [...called].map((name) => points.get(name)!);
  const halves = all.map((point) => point.join);
  // Every layer of a shortformer reads the position embeddings again.
  if (positionEmbedding === 'shortformer' && all.some((point) => point.local === 'hook_pos_embed'))
    for (let l = 0; l < nLayers; l++) halves.push(2 * l + 1);
  return halves;
}

/** The fork of one prompt, or null: nothing that is read can change. */
export function planFork(
  cell: number,
  row: number,
  edits: readonly Edit[],
  setting: ForkSetting,
): Fork | null {
  const { nLayers, reads, baseEdits, bidirectional, idle, whole = false, called = [] } = setting;
  const looking = [...baseEdits, ...edits].filter(weighsLater);
  const length = looking.length || whole || called.length ? setting.tokens : setting.length;
  const end = 2 * nLayers + 1;
  const last = length - 1;
  const until = Math.max(-1, ...called);
  // In the last layer only keys and values take a change to another position, or a function does.
  const counts = ({ point, pos }: Edit): boolean =>
    pos < length &&
    (reads === 'all' ||
      point.join <= until ||
      pos === last ||
      point.join < end - 2 ||
      (point.join === end - 2 && point.reachesLater));
  const active = edits.filter((e) => counts(e) && !idle(e));
  if (!active.length) return null;

  const lo = new Int32Array(end + 1);
  const hi = new Int32Array(end + 1);
  const at = (half: number) => active.filter((e) => e.point.join === half);
  let from = length; // positions from here on differ, once anything has spread
  let [a, b] = [length, 0]; // else: those between differ
  let first = -1;
  for (let half = 0; half <= end; half++) {
    // Attention carries what has changed so far to all later positions.
    if (half % 2 === 1 && half < end) from = Math.min(from, a);
    for (const { point, pos } of at(half)) {
      a = Math.min(a, pos);
      b = Math.max(b, pos + 1);
      if (point.reachesLater) from = Math.min(from, pos);
    }
    if (whole && a < b) from = Math.min(from, a);
    // Queries that read later keys: they see what has changed there, and need all keys of the row.
    for (const { point, pos, start, width } of looking) {
      if (point.join !== half || a >= b) continue;
      const sees = a < start + width && (from < length || b > pos + 1);
      if (sees || (pos >= a && pos < b)) from = Math.min(from, pos);
    }
    if (from < length) [a, b] = [Math.min(a, from), length];
    if (a >= b) continue;
    // A function may carry a change anywhere in its row.
    if (called.includes(half)) [from, a, b] = [0, 0, length];
    if (bidirectional) [a, b] = [0, length];
    if (first < 0) first = half;
    [lo[half], hi[half]] = [a, b];
  }
  if (reads === 'last') narrow(lo, hi, length, called);
  const own = [...baseEdits, ...edits].filter((e) => {
    const half = e.point.join;
    return half >= first && e.pos >= lo[half] && e.pos < hi[half];
  });
  own.sort((x, y) => x.point.order - y.point.order); // stable: the base's edits come first
  return { cell, row, edits: own, first, lo, hi };
}

/**
 * The forks of a counterfactual: of each prompt in which something that is read can change, and where
 * functions are called then, of the others.
 * @param settings of each prompt of the base run
 */
export function planCell(cell: number, edits: readonly Edit[], settings: readonly ForkSetting[]): Fork[] {
  const byRow: Edit[][] = settings.map(() => []);
  for (const edit of edits) byRow[edit.row].push(edit);
  const forks = settings.flatMap((setting, row) => planFork(cell, row, byRow[row], setting) ?? []);
  if (!forks.length || !settings[0].called?.length) return forks;
  const first = Math.min(...forks.map((f) => f.first));
  const there = new Set(forks.map((f) => f.row));
  const others = settings.flatMap((setting, row) =>
    there.has(row) ? [] : (companion(cell, row, first, setting) ?? []),
  );
  return [...forks, ...others];
}

/**
 * The last block's MLP and what follows it are computed for the last position only, unless a function is
 * called there.
 */
function narrow(lo: Int32Array, hi: Int32Array, length: number, called: readonly number[]): void {
  const end = lo.length - 1;
  const until = Math.max(-1, ...called);
  for (const half of [end - 1, end])
    if (half > until && hi[half] > lo[half]) [lo[half], hi[half]] = [length - 1, length];
}

/**
 * Where functions are called, with all prompts of a run: once a prompt of a counterfactual differs there, the
 * others are needed, too, though nothing of them has changed.
 * @param row a prompt that has no fork of its own
 * @param first half in which a fork of the counterfactual first differs
 * @returns null where no function is called from there on
 */
function companion(
  cell: number,
  row: number,
  first: number,
  { nLayers, tokens, reads, baseEdits, called = [] }: ForkSetting,
): Fork | null {
  const from = Math.min(...called.filter((half) => half >= first));
  if (from === Infinity) return null;
  const end = 2 * nLayers + 1;
  const lo = new Int32Array(end + 1);
  const hi = new Int32Array(end + 1);
  for (let half = from; half <= end; half++) hi[half] = tokens;
  if (reads === 'last') narrow(lo, hi, tokens, called);
  const own = baseEdits.filter((e) => {
    const half = e.point.join;
    return half >= from && e.pos >= lo[half] && e.pos < hi[half];
  });
  return { cell, row, edits: own, first: from, lo, hi };
}

/** Tokens of a fork of which anything is computed in a block. */
export function tokensIn({ lo, hi }: Extents, layer: number): number {
  const [a, m] = [1 + 2 * layer, 2 + 2 * layer];
  if (hi[a] === lo[a]) return hi[m] - lo[m];
  if (hi[m] === lo[m]) return hi[a] - lo[a];
  return Math.max(hi[a], hi[m]) - Math.min(lo[a], lo[m]);
}

/** Most tokens that a fork has in any half. */
const width = ({ lo, hi }: Extents): number => hi.reduce((most, h, i) => Math.max(most, h - lo[i]), 1);

/**
 * Forks in chunks of at most `maxTokens` (a single fork may have more), of about the same size. Forks that
 * leave at about the same layer go together, so that a chunk's batch is large from its first layer on.
 * @param apart every counterfactual is a chunk, its prompts in their order: functions are called with them
 */
export function chunkForks(forks: readonly Fork[], maxTokens: number, apart = false): Fork[][] {
  if (apart) return cellsApart(forks);
  const groups = new Map<string, Fork[]>();
  for (const fork of [...forks].sort((a, b) => a.first - b.first || a.cell - b.cell)) {
    const kind = kindOf(fork);
    const group = groups.get(kind);
    if (group) group.push(fork);
    else groups.set(kind, [fork]);
  }
  const chunks: Fork[][] = [];
  for (const group of groups.values()) {
    const total = group.reduce((n, f) => n + width(f), 0);
    const share = total / Math.max(1, Math.ceil(total / maxTokens));
    let sum = 0;
    let chunk: Fork[] = [];
    for (const fork of group) {
      if (chunk.length && sum + width(fork) > Math.ceil(share)) {
        chunks.push(chunk);
        [chunk, sum] = [[], 0];
      }
      chunk.push(fork);
      sum += width(fork);
    }
    if (chunk.length) chunks.push(chunk);
  }
  return chunks;
}

function cellsApart(forks: readonly Fork[]): Fork[][] {
  const byCell = new Map<number, Fork[]>();
  for (const fork of forks) byCell.set(fork.cell, [...(byCell.get(fork.cell) ?? []), fork]);
  return [...byCell.values()].map((own) => own.sort((a, b) => a.row - b.row));
}

/**
 * Forks chunk by chunk, as `chunkForks` cuts them. With `rank`, which is asked before each chunk, those whose
 * counterfactuals have the smallest numbers now come next.
 */
export function* chunksInTurn(
  forks: readonly Fork[],
  maxTokens: number,
  rank?: (cell: number) => number,
  apart = false,
): Generator<readonly Fork[], void> {
  if (!rank) return yield* chunkForks(forks, maxTokens, apart);
  let rest = [...forks];
  while (rest.length) {
    const ranks = new Map(rest.map((f) => [f.cell, rank(f.cell)]));
    rest.sort((a, b) => ranks.get(a.cell)! - ranks.get(b.cell)! || a.cell - b.cell);
    let n = 1;
    for (let sum = width(rest[0]); n < rest.length && (sum += width(rest[n])) <= maxTokens; ) n++;
    while (apart && rest[n]?.cell === rest[n - 1].cell) n++;
    yield* chunkForks(rest.slice(0, n), maxTokens, apart);
    rest = rest.slice(n);
  }
}

/**
 * Which forks may share a batch. Where one gives single heads inputs of their own, the norm before attention
 * runs once a head for the whole batch. Other forks are kept apart: they would be slowed down, and an edit of
 * that norm would not fit.
 */
function kindOf({ edits }: Fork): string {
  const split = edits.filter((e) => e.point.row.headInput).map((e) => e.point.layer);
  if (!split.length) return 'usual';
  return edits.some((e) => e.point.row.beforeHeads) ? String([...new Set(split)]) : 'heads';
}
