/** Looks at the attention patterns of a run, layer by layer: each exists only while it is looked at, and never on the host. */

import type { Tensor } from '../../engine/tensor/tensor.js';
import { pointName } from '../../engine/transformer/points.js';
import { forward } from '../../hooks/cache/cached-run.js';
import type { HookContext } from '../../hooks/input/hook.js';
import type { Model } from '../../hooks/input/model.js';
import { stopping } from '../../hooks/run/stopping.js';
import { queriesAtOnce, runInBlocks } from '../../hooks/texts/blocks.js';

/** What is made of patterns [batch, head, query, key] of queries [from, until), keys up to `until`: sums over queries. */
export type Look = (pattern: Tensor, from: number, until: number) => readonly Tensor[];

/**
 * Runs rows of equal length and reduces each layer's patterns, on the GPU. A single row whose patterns are larger than `blockBytes` is
 * run in blocks of queries, and what `look` gives of each is added up. Tensors made on the way are freed.
 * @param look small tensors of what is wanted of a layer
 * @param layers which ones; all by default
 * @param signal ends the run within a layer
 * @returns per layer what `look` gave, on the host; nothing where it was not asked
 */
export async function lookAtPatterns(
  model: Model,
  rows: readonly (readonly number[])[],
  look: Look,
  {
    layers = Array.from({ length: model.config.nLayers }, (_, l) => l),
    signal,
    blockBytes,
  }: {
    readonly layers?: readonly number[];
    readonly signal?: AbortSignal;
    readonly blockBytes?: number;
  } = {},
): Promise<Float32Array[][]> {
  const sums: Float32Array[][] = Array.from({ length: model.config.nLayers }, () => []);
  if (!layers.length) return sums;
  const names = layers.map((l) => pointName('attn.hook_pattern', l));
  const to = Math.max(...layers) + 1;
  let found: { readonly layer: number; readonly tensors: readonly Tensor[] }[] = [];
  const hooks = (from: number, until: number) => [
    ...stopping(model.gpu, signal),
    [
      names,
      (pattern: Tensor, { layer }: HookContext) => {
        found.push({ layer: layer!, tensors: look(pattern, from, until).map((t) => t.keep()) });
      },
    ] as const,
  ];
  const read = async () => {
    for (const { layer, tensors } of found)
      for (const [i, data] of (await Promise.all(tensors.map((t) => t.data()))).entries()) {
        const sum = sums[layer][i];
        if (!sum) sums[layer][i] = Float32Array.from(data);
        else for (let j = 0; j < sum.length; j++) sum[j] += data[j];
      }
    free();
  };
  const free = () => {
    for (const { tensors } of found) for (const t of tensors) t.dispose();
    found = [];
  };
  try {
    const n = rows[0].length;
    const size = rows.length === 1 ? queriesAtOnce(model, n, blockBytes) : n;
    if (size < n) await runInBlocks(model, rows[0], { size, to }, hooks, read);
    else {
      const end = await forward(model, rows, { hooks: hooks(0, n), stopAtLayer: to });
      end.dispose();
      await read();
    }
    return sums;
  } finally {
    free();
  }
}
