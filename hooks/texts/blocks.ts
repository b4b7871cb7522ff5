/**
 * Long texts, a block of positions after the other. Every block continues the stored keys and values of those before it, so what
 * comes out is the same, and of a pattern [1, head, query, key] only the rows of the block's queries exist at a time.
 */

import { PATTERN_BYTES } from '../../engine/budgets.js';
import { extendPrefix, KvStore, type Prefix } from '../../engine/transformer/kv.js';
import type { HookEntry } from '../input/hook.js';
import type { Runnable } from '../input/model.js';
import { run } from '../run/run.js';

/**
 * How many queries of a text of `n` tokens are taken at once, so that a layer's pattern has at most so many bytes. All of them where a
 * text cannot be cut: attention that sees later tokens, functions of an edited model that are called with whole rows.
 */
export function queriesAtOnce({ config, edits }: Runnable, n: number, bytes = PATTERN_BYTES): number {
  const fit = Math.floor(bytes / (4 * config.nHeads * n));
  if (fit >= n || config.attentionDir === 'bidirectional' || edits?.called.size) return n;
  return Math.max(1, fit);
}

/**
 * Runs a text in blocks of `size` positions.
 * @param to the first block of the model that is not run
 * @param hooksOf the hooks of positions [from, until); they see [1, until − from, …], and keys up to `until`
 * @param done called behind each block
 */
export async function runInBlocks(
  model: Runnable,
  tokens: readonly number[],
  { size, to }: { readonly size: number; readonly to: number },
  hooksOf: (from: number, until: number) => readonly HookEntry[],
  done: () => Promise<void> = async () => {},
): Promise<void> {
  const n = tokens.length;
  const store = size < n ? new KvStore(model.gpu, model.config, n) : null;
  let prefix: Prefix | null = null;
  try {
    for (let from = 0; from < n; from += size) {
      const until = Math.min(n, from + size);
      const own = tokens.slice(from, until);
      const slots = store?.take(own.length);
      await run(
        model,
        {
          inputs: [{ tokens: own, ...(prefix && { prefix }), ...(slots && { slots }) }],
          layers: { from: 0, to },
          hooks: hooksOf(from, until),
          ...(store && { keepIn: store }),
          prompts: [{ length: n, total: n }],
        },
        () => {},
      );
      await done();
      if (store) prefix = extendPrefix(prefix, store, own, slots!);
    }
  } finally {
    store?.dispose();
  }
}
