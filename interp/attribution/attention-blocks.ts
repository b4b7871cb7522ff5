/**
 * Attention attribution of long texts. The gradient of a pattern's entry is that of z at the query times the value at the key, so one
 * run with gradients at z is enough, in which no pattern exists; the patterns are made again in blocks of queries.
 */

import type { Tensor } from '../../engine/tensor/tensor.js';
import { pointName } from '../../engine/transformer/points.js';
import type { HookContext, HookEntry } from '../../hooks/input/hook.js';
import type { Model } from '../../hooks/input/model.js';
import { runInBlocks } from '../../hooks/texts/blocks.js';
import { type GradientOptions, runWithGrads } from '../../hooks/transformer/gradients.js';
import type { Metric } from '../logits/metrics.js';
import { inBlock, type Part, putBlock } from '../results/pattern-part.js';

/**
 * Pattern · gradient of some prompts of one length, [prompt, layer, head, query, key] of the part.
 * @param size queries that are taken at once
 */
export async function attributionInBlocks(
  model: Model,
  prompts: readonly (readonly number[])[],
  metric: Metric,
  {
    part,
    size,
    constant,
    signal,
  }: Pick<GradientOptions, 'constant'> & {
    readonly part: Part;
    readonly size: number;
    readonly signal?: AbortSignal;
  },
): Promise<{ readonly values: Float32Array; readonly prompts: Float32Array }> {
  const { layers, heads, queries, keys } = part;
  const { nHeads, nKeyValueHeads } = model.config;
  const names = (point: 'z' | 'v' | 'pattern') => layers.map((l) => pointName(`attn.hook_${point}`, l));
  const run = await runWithGrads(model, prompts as number[][], metric, {
    names: [...names('z'), ...names('v')],
    constant,
  });
  const { cache, grads } = run;
  const each = layers.length * heads.length * (queries[1] - queries[0]) * (keys[1] - keys[0]);
  const values = new Float32Array(prompts.length * each);
  const shared = heads.map((h) => Math.floor((h * nKeyValueHeads) / nHeads));
  try {
    for (const [batch, tokens] of prompts.entries()) {
      const own = values.subarray(batch * each, (batch + 1) * each);
      const hooks = (from: number, until: number): HookEntry[] => {
        const place = inBlock(part, from, until);
        if (!place) return [];
        const look = async (pattern: Tensor, { layer }: HookContext) => {
          signal?.throwIfAborted();
          const pos = [from + place.rows[0], from + place.rows[1]] as const;
          const made: Tensor[] = [];
          const kept = (t: Tensor) => {
            made.push(t);
            return t;
          };
          try {
            const dz = kept(kept(grads.get('z', layer!).slice({ batch, pos })).take({ head: [...heads] }));
            const v = kept(
              kept(cache.get('v', layer!).slice({ batch, pos: place.keys })).take({ head: shared }),
            );
            const [left, right] = [kept(dz.transpose([1, 0, 2])), kept(v.transpose([1, 2, 0]))];
            const gradient = kept(left.matmul(right)); // [head, query, key]
            const seen = pattern
              .slice({ batch: 0, query: place.rows, key: place.keys })
              .take({ head: [...heads] });
            const data = await seen.mul(gradient).data();
            for (const [i, l] of layers.entries()) if (l === layer) putBlock(own, data, part, i, place);
          } finally {
            for (const t of made) t.dispose();
          }
        };
        return [[names('pattern'), look]];
      };
      await runInBlocks(model, tokens, { size, to: Math.max(...layers) + 1 }, hooks);
    }
    return { values, prompts: run.prompts };
  } finally {
    cache.dispose();
    grads.dispose();
  }
}
