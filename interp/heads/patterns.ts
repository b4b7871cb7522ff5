/** Looks at the attention patterns of a run, layer by layer: each exists only while it is looked at, and never on the host. */

import type { Tensor } from '../../engine/tensor/tensor.js';
import { pointName } from '../../engine/transformer/points.js';
import { forward } from '../../hooks/cache/cached-run.js';
import type { Model } from '../../hooks/input/model.js';
import { stopping } from '../../hooks/run/stopping.js';

/**
 * Runs rows of equal length and reduces each layer's patterns, [batch, head, query, key], on the GPU. Tensors made on the way are freed.
 * @param look small tensors of what is wanted of a layer
 * @param layers which ones; all by default
 * @param signal ends the run within a layer
 * @returns per layer what `look` gave, on the host; nothing where it was not asked
 */
export async function lookAtPatterns(
  model: Model,
  rows: readonly (readonly number[])[],
  look: (pattern: Tensor, layer: number) => readonly Tensor[],
  layers: readonly number[] = Array.from({ length: model.config.nLayers }, (_, l) => l),
  signal?: AbortSignal,
): Promise<Float32Array[][]> {
  const found = new Map<number, readonly Tensor[]>();
  const hook = (pattern: Tensor, { layer }: { layer: number | null }) => {
    found.set(
      layer!,
      look(pattern, layer!).map((t) => t.keep()),
    );
  };
  try {
    if (layers.length) {
      const names = layers.map((l) => pointName('attn.hook_pattern', l));
      const end = await forward(model, rows, {
        hooks: [...stopping(model.gpu, signal), [names, hook]],
        stopAtLayer: Math.max(...layers) + 1,
      });
      end.dispose();
    }
    return await Promise.all(
      Array.from({ length: model.config.nLayers }, (_, l) =>
        Promise.all((found.get(l) ?? []).map((t) => t.data())),
      ),
    );
  } finally {
    for (const list of found.values()) for (const t of list) t.dispose();
  }
}
