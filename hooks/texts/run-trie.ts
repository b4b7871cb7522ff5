/** Runs a tree of texts batch by batch, and hands over what is asked of its nodes. */

import { TEXTS_BYTES } from '../../engine/budgets.js';
import type { Scope } from '../../engine/gpu/storage.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import { KvStore } from '../../engine/transformer/kv.js';
import { pickRows } from '../../engine/transformer/ops.js';
import { is, type Spec } from '../input/check.js';
import type { HookEntry } from '../input/hook.js';
import { needLanguageModel } from '../input/input.js';
import type { Runnable } from '../input/model.js';
import { run } from '../run/run.js';
import {
  batchesOf,
  capacityOf,
  type Reads,
  rowInputs,
  runApart,
  shareBeginnings,
  type Trie,
} from './trie.js';

/** Tokens that one run takes: they bound the memory of running many texts. */
const TOKENS_A_RUN = 2048;

/** What running many texts cost. */
export interface TextsWork {
  /** Tokens that went through the model. */
  readonly tokens: number;
  /** Tokens of all texts: what running each of them whole would take. */
  readonly naiveTokens: number;
  /** Runs of the model. */
  readonly batches: number;
}

/** Options of whatever runs many texts. */
export interface ManyTextsOptions {
  /**
   * With hooks (also those of an edited model) nothing is shared: every text is run whole, in the order
   * given.
   */
  readonly hooks?: readonly HookEntry[];
  readonly signal?: AbortSignal;
  /** Called after every batch with the number of texts done and in all. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Called before the first batch with what will be run. */
  readonly onWork?: (work: TextsWork) => void;
}

/** Of whatever runs many texts. */
export const MANY_TEXTS = {
  hooks: is.hooks,
  signal: is.signal,
  onProgress: is.callback,
  onWork: is.callback,
} satisfies Spec<ManyTextsOptions>;

/** What a batch says of the nodes that are read. */
export interface NodesRead {
  /** What the unembedding reads at the nodes that are read, each once: [nodes, dModel]. */
  readonly x: Tensor;
  /** The reads of this batch, as in `Reads.at`. */
  readonly at: Uint32Array;
  /** Row of x for each of them, ascending. */
  readonly rowOf: Uint32Array;
  readonly scope: Scope;
}

/**
 * The tree of some texts: beginnings are shared, but not with hooks or edits of the model that may tell texts
 * apart.
 * @param leaves whether the last token of each text is run
 * @throws when an edit of the model does not fit a text
 */
export function treeOf(
  { edits }: Runnable,
  rows: Trie['rows'],
  hooks: ManyTextsOptions['hooks'],
  leaves: boolean,
): Trie {
  if (hooks?.length || (edits && !edits.local)) return runApart(rows);
  edits?.check(rows.map((row) => row.length));
  return shareBeginnings(rows, { leaves });
}

/**
 * Runs the tree and hands each batch that has something to read to `end`. Memory is bounded however many
 * texts there are.
 */
export async function runTrie(
  model: Runnable,
  trie: Trie,
  { at, first }: Reads,
  { hooks, signal, onProgress, onWork }: ManyTextsOptions,
  end: (read: NodesRead) => Promise<void>,
): Promise<void> {
  const { gpu, config } = model;
  if (config.attentionDir === 'bidirectional') needLanguageModel(config, 'scores of texts');
  const { nLayers, nHeads, dHead } = config;
  const bytes = 8 * nLayers * nHeads * dHead; // keys and values of one token
  const batches = batchesOf(trie, { tokens: TOKENS_A_RUN, kept: Math.floor(TEXTS_BYTES / bytes) });
  const naiveTokens = trie.rows.reduce((n, row) => n + row.length, 0);
  onWork?.({ tokens: trie.nodes, naiveTokens, batches: batches.length });
  const capacity = capacityOf(batches);
  const store = capacity ? new KvStore(gpu, config, capacity) : null;
  const anyPrompt = { length: config.nCtx, total: config.nCtx, open: true }; // a branch belongs to several
  try {
    let next = 0;
    for (const inputs of rowInputs(trie, batches, store)) {
      signal?.throwIfAborted();
      const batch = batches[next++];
      const prompts = store ? inputs.map(() => anyPrompt) : undefined;
      await run(model, { inputs, hooks, keepIn: store ?? undefined, prompts }, ({ x }, scope) => {
        const reads = at.subarray(first[batch.first], first[batch.first + batch.tokens]);
        const rows: number[] = [];
        const rowOf = reads.map((i) => {
          const row = trie.nodeOf[i] - batch.first;
          if (row !== rows.at(-1)) rows.push(row);
          return rows.length - 1;
        });
        if (!rows.length) return;
        return end({ x: rows.length < batch.tokens ? pickRows(x, rows, scope) : x, at: reads, rowOf, scope });
      });
      onProgress?.(batch.done, trie.rows.length);
    }
  } finally {
    store?.dispose();
  }
}
