/**
 * Many texts as one tree. Texts that begin alike share the run of their beginning: sorted by tokens, a text
 * brings only what the one before it has not brought, its branch. Branches in that order walk the tree depth
 * first, so that what later branches continue is always on the path to the next one: of all that ran before,
 * only that path need stay.
 *
 * A branch may continue one of the same batch: in every block keys and values are stored before attention
 * reads them. Hence a batch takes branches of any depth, and there are as many rounds as the tokens need, not
 * as the tree is deep.
 */

import type { RowInput } from '../../engine/transformer/batch.js';
import type { KvStore, Prefix } from '../../engine/transformer/kv.js';

type Rows = readonly (readonly number[])[];

/** Positions [from, to) of a row: the tokens that no earlier branch has run. */
export interface Branch {
  /** Of which row: `order[rank]`. */
  readonly rank: number;
  readonly from: number;
  readonly to: number;
  /** How many of them later branches continue. */
  kept: number;
}

/** Texts as a tree. Its nodes are the tokens to run, numbered in the order of the branches. */
export interface Trie {
  readonly rows: Rows;
  readonly branches: readonly Branch[];
  readonly nodes: number;
  /** The rows in the order in which the branches bring them. */
  readonly order: readonly number[];
  /** Per row, how many tokens it has in common with the row before it in that order. */
  readonly common: Uint32Array;
  /** Node of position p of row i: `nodeOf[start[i] + p]`. */
  readonly nodeOf: Uint32Array;
  /** Where the positions of each row begin; one more at the end. */
  readonly start: Uint32Array;
}

/**
 * The tree of some texts. Each beginning that several share is run once.
 * @param leaves false: the last token of a text is not run (unless another text goes on with it), because
 * nothing is
 *   predicted from it
 */
export function shareBeginnings(rows: Rows, { leaves }: { leaves: boolean }): Trie {
  const order = rows.map((_, i) => i).sort((a, b) => compare(rows[a], rows[b]) || a - b);
  const before = (k: number) => (k ? rows[order[k - 1]] : []);
  return grow(rows, order, (k) => commonLength(before(k), rows[order[k]]), leaves ? 0 : 1);
}

/** Every text a branch of its own, whole and in the order given. */
export function runApart(rows: Rows): Trie {
  return grow(
    rows,
    rows.map((_, i) => i),
    () => 0,
    0,
  );
}

function grow(rows: Rows, order: readonly number[], commonOf: (rank: number) => number, drop: number): Trie {
  const start = new Uint32Array(rows.length + 1);
  rows.forEach((row, i) => {
    start[i + 1] = start[i] + row.length - drop;
  });
  const nodeOf = new Uint32Array(start[rows.length]);
  const common = new Uint32Array(rows.length);
  const branches: Branch[] = [];
  const path: number[] = []; // nodes of the row before
  let [nodes, length] = [0, 0];
  order.forEach((row, rank) => {
    common[row] = commonOf(rank);
    const to = rows[row].length - drop;
    const from = Math.min(common[row], length, to);
    if (from < to) {
      const last = branches.at(-1);
      if (last) last.kept = Math.max(0, Math.min(from, last.to) - last.from);
      branches.push({ rank, from, to, kept: 0 });
    }
    for (let p = from; p < to; p++) path[p] = nodes++;
    for (let p = 0; p < to; p++) nodeOf[start[row] + p] = path[p];
    length = to;
  });
  return { rows, branches, nodes, order, common, nodeOf, start };
}

/** Some positions of the rows, grouped by node. */
export interface Reads {
  /** Indices into `nodeOf`; those of node n are `at[first[n]] … at[first[n + 1] - 1]`. */
  readonly at: Uint32Array;
  readonly first: Uint32Array;
}

/** The positions [from, to) of every row, grouped by node. */
export function readsOf(
  { rows, start, nodeOf, nodes }: Trie,
  range: (row: number) => readonly [from: number, to: number],
): Reads {
  const first = new Uint32Array(nodes + 1);
  const each = (see: (i: number) => void) =>
    rows.forEach((_, row) => {
      const [from, to] = range(row);
      for (let p = from; p < to; p++) see(start[row] + p);
    });
  each((i) => first[nodeOf[i] + 1]++);
  for (let n = 0; n < nodes; n++) first[n + 1] += first[n];
  const at = new Uint32Array(first[nodes]);
  const next = first.slice();
  each((i) => {
    at[next[nodeOf[i]]++] = i;
  });
  return { at, first };
}

/** What one run takes: branches one after another. */
export interface TrieBatch {
  readonly branches: readonly Branch[];
  /** Its nodes: [first, first + tokens). */
  readonly first: number;
  readonly tokens: number;
  /** Slots that are in use while it runs. */
  readonly slots: number;
  /** Rows that have been run as a whole after it. */
  readonly done: number;
}

/**
 * Branches in batches of at most `tokens` tokens, `kept` of which are stored; a batch has at least one
 * branch.
 */
export function batchesOf({ rows, branches }: Trie, most: { tokens: number; kept: number }): TrieBatch[] {
  const batches: TrieBatch[] = [];
  let [begin, first, tokens, kept] = [0, 0, 0, 0];
  const close = (end: number) => {
    if (end === begin) return;
    batches.push({
      branches: branches.slice(begin, end),
      first,
      tokens,
      slots: branches[begin].from + kept,
      done: branches[end]?.rank ?? rows.length,
    });
    [begin, first, tokens, kept] = [end, first + tokens, 0, 0];
  };
  branches.forEach((b, i) => {
    if (tokens + b.to - b.from > most.tokens || kept + b.kept > most.kept) close(i);
    tokens += b.to - b.from;
    kept += b.kept;
  });
  close(branches.length);
  return batches;
}

/** Where keys and values of tokens go that nobody continues; never read. */
const NOWHERE = 0;

/** Slots that the batches need at once; 0 when no branch continues another. */
export function capacityOf(batches: readonly TrieBatch[]): number {
  const most = batches.reduce((n, b) => Math.max(n, b.slots), 0);
  return most && most + 1;
}

/**
 * The rows of each batch in turn: a branch is the suffix of the path that it continues. Slots are taken anew
 * for every batch, all but those of the path to its first branch.
 */
export function* rowInputs(
  { rows, order }: Trie,
  batches: readonly TrieBatch[],
  store: KvStore | null,
): Generator<RowInput[]> {
  const path: number[] = []; // slot of each position before the next branch
  const prefixes: Prefix[] = []; // by length, so that branches which continue the same path share one
  for (const { branches } of batches) {
    const used = new Set([NOWHERE, ...path.slice(0, branches[0].from)]);
    let free = 0;
    const take = () => {
      while (used.has(free)) free++;
      return free++;
    };
    yield branches.map(({ rank, from, to, kept }): RowInput => {
      const tokens = rows[order[rank]].slice(from, to);
      if (!store) return { tokens };
      if (from) prefixes[from] ??= { store, slots: path.slice(0, from), length: from, tokens: [] };
      const slots = tokens.map((_, i) => (i < kept ? take() : NOWHERE));
      slots.forEach((slot, i) => {
        path[from + i] = slot;
      });
      const prefix = from ? prefixes[from] : null;
      prefixes.length = from + 1;
      return { tokens, prefix, slots };
    });
  }
}

function compare(a: readonly number[], b: readonly number[]): number {
  const n = commonLength(a, b);
  return n < a.length && n < b.length ? a[n] - b[n] : a.length - b.length;
}

function commonLength(a: readonly number[], b: readonly number[]): number {
  const n = Math.min(a.length, b.length);
  let i = 0;
  while (i < n && a[i] === b[i]) i++;
  return i;
}
