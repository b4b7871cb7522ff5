/**
 * Attention patterns: where does each head look from each token?
 *
 * A pattern says where a head looks, not how much it moves from there: much attention may rest on a token whose value is
 * nearly nothing (the first one, as a rule). Weighted by values (Kobayashi et al. 2020; Elhage et al. 2021 show the like), each
 * weight is multiplied by the length of what the head would write if it saw that token alone, ‖v · W_O‖.
 *
 * Long texts are run in blocks of queries, and only the part that is asked for is read.
 */

import type { Tensor } from '../../engine/tensor/tensor.js';
import { pointName } from '../../engine/transformer/points.js';
import { is, options, signatures } from '../../hooks/input/check.js';
import type { HookContext, HookEntry } from '../../hooks/input/hook.js';
import { type InputOptions, readInput } from '../../hooks/input/input.js';
import type { Model } from '../../hooks/input/model.js';
import { stopping } from '../../hooks/run/stopping.js';
import { queriesAtOnce, runInBlocks } from '../../hooks/texts/blocks.js';
import { shownJson } from '../../weights/checks/messages.js';
import {
  inBlock,
  PATTERN_PART,
  type PatternPart,
  partAxes,
  partOf,
  putBlock,
} from '../results/pattern-part.js';
import { provenance } from '../results/provenance.js';
import { type Labelled, labelled } from '../results/result.js';
import { normsOfValues } from './value-norms.js';

/** Options of `attentionPatterns`. */
export interface AttentionOptions extends Omit<InputOptions, 'prefix'>, PatternPart {
  /** `'pattern'`: attention, each row of which sums to 1 (default); `'value'`: times the length of what would be written. */
  readonly weight?: 'pattern' | 'value';
  /** Called with how much is done, and of how much. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

const ATTENTION = options<AttentionOptions>({
  ...PATTERN_PART,
  prependBos: is.boolean,
  weight: is.oneOf('pattern', 'value'),
  onProgress: is.callback,
  signal: is.signal,
});

const takes = signatures({
  attentionPatterns: { model: is.model, input: is.prompts, options: ATTENTION },
});

/**
 * Patterns of one prompt, of all heads and positions or of chosen ones.
 * @returns axes layer × head × query × key; 0 where a key comes after its query.
 * @throws when several prompts are given, a layer, head or position does not exist, or the result is larger than `maxBytes`: the error
 *   says how large, and what would fit.
 */
export const attentionPatterns = takes.attentionPatterns(async function attentionPatterns(
  model: Model,
  input: string | readonly number[],
  options: AttentionOptions = {},
): Promise<Labelled> {
  const { weight = 'pattern', prependBos, blockBytes, onProgress, signal } = options;
  if (weight !== 'pattern' && weight !== 'value')
    throw new Error(`attentionPatterns: weight ${shownJson(weight)}: 'pattern' or 'value' is needed`);
  const rows = readInput(model, input, { prependBos });
  if (rows.tokens.length !== 1)
    throw new Error(`attentionPatterns reads one prompt, ${rows.tokens.length} were given`);
  const [tokens] = rows.tokens;
  const n = tokens.length;
  const part = partOf(model, n, options, 'attentionPatterns');
  const { layers, heads, keys } = part;
  const axes = partAxes(model, tokens, part);
  const values = new Float32Array(axes.reduce((product, { labels }) => product * labels.length, 1));
  const names = (point: 'pattern' | 'v') => layers.map((l) => pointName(`attn.hook_${point}`, l));
  /** Of each layer, [head, key]: what has been seen so far. */
  const norms = new Map<number, Float32Array>();
  const keepNorms = async (v: Tensor, layer: number, from: number) => {
    const own = await normsOfValues(model, v, layer);
    const { nHeads } = model.config;
    const all = norms.get(layer) ?? new Float32Array(nHeads * n);
    norms.set(layer, all);
    const width = own.length / nHeads;
    for (let h = 0; h < nHeads; h++) all.set(own.subarray(h * width, (h + 1) * width), h * n + from);
  };
  let done = 0;
  const size = queriesAtOnce(model, n, blockBytes);
  const total = layers.length * Math.ceil(n / size);
  const read = async (pattern: Tensor, layer: number, from: number, until: number) => {
    const place = inBlock(part, from, until);
    if (place) {
      const { rows, keys: seen } = place;
      const wanted = pattern.slice({ batch: 0, query: rows, key: seen }).take({ head: [...heads] });
      const data = await wanted.data();
      const width = seen[1] - seen[0];
      const own = norms.get(layer);
      if (own)
        for (let j = 0; j < data.length; j++) {
          const head = heads[Math.floor(j / (width * (rows[1] - rows[0])))];
          data[j] *= own[head * n + seen[0] + (j % width)];
        }
      for (const [i, l] of layers.entries()) if (l === layer) putBlock(values, data, part, i, place);
    }
    onProgress?.(Math.min(++done, total), total);
  };
  await runInBlocks(model, tokens, { size, to: Math.max(...layers) + 1 }, (from, until): HookEntry[] => [
    ...stopping(model.gpu, signal),
    ...(weight === 'value'
      ? [
          [
            names('v'),
            async (v: Tensor, { layer }: HookContext) => {
              if (from < keys[1]) await keepNorms(v, layer!, from);
            },
          ] as const,
        ]
      : []),
    [
      names('pattern'),
      async (pattern: Tensor, { layer }: HookContext) => {
        signal?.throwIfAborted();
        await read(pattern, layer!, from, until);
      },
    ],
  ]);
  const metric = weight === 'value' ? 'attention × ‖v · W_O‖' : 'attention';
  return labelled(values, axes, provenance(model, { method: 'attention pattern', metric, tokens }));
});
