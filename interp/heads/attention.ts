/**
 * Attention patterns: where does each head look from each token?
 *
 * A pattern says where a head looks, not how much it moves from there: much attention may rest on a token whose value is
 * nearly nothing (the first one, as a rule). Weighted by values (Kobayashi et al. 2020; Elhage et al. 2021 show the like), each
 * weight is multiplied by the length of what the head would write if it saw that token alone, ‖v · W_O‖.
 */

import { pointName } from '../../engine/transformer/points.js';
import { runWithResidual } from '../../hooks/cache/cached-run.js';
import { is, options, signatures } from '../../hooks/input/check.js';
import { type InputOptions, readInput } from '../../hooks/input/input.js';
import type { Model } from '../../hooks/input/model.js';
import { stopping } from '../../hooks/run/stopping.js';
import { shownJson } from '../../weights/checks/messages.js';
import { positionLabels, provenance } from '../results/provenance.js';
import { type Labelled, labelled } from '../results/result.js';
import { valueNorms } from './value-norms.js';

/** Options of `attentionPatterns`. */
export interface AttentionOptions extends Omit<InputOptions, 'prefix'> {
  /** Which layers; all by default. */
  readonly layers?: readonly number[];
  /** `'pattern'`: attention, each row of which sums to 1 (default); `'value'`: times the length of what would be written. */
  readonly weight?: 'pattern' | 'value';
  /** Called with how much is done, and of how much. */
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

const ATTENTION = options<AttentionOptions>({
  prependBos: is.boolean,
  layers: is.numbers,
  weight: is.oneOf('pattern', 'value'),
  onProgress: is.callback,
  signal: is.signal,
});

const takes = signatures({
  attentionPatterns: { model: is.model, input: is.prompts, options: ATTENTION },
});

/**
 * Patterns of one prompt.
 * @returns axes layer × head × query × key; 0 where a key comes after its query.
 * @throws when several prompts are given, or a layer does not exist.
 */
export const attentionPatterns = takes.attentionPatterns(async function attentionPatterns(
  model: Model,
  input: string | readonly number[],
  options: AttentionOptions = {},
): Promise<Labelled> {
  const { nLayers, nHeads } = model.config;
  const { layers = Array.from({ length: nLayers }, (_, l) => l), weight = 'pattern' } = options;
  const { prependBos, onProgress, signal } = options;
  if (weight !== 'pattern' && weight !== 'value')
    throw new Error(`attentionPatterns: weight ${shownJson(weight)}: 'pattern' or 'value' is needed`);
  for (const l of layers)
    if (!Number.isInteger(l) || l < 0 || l >= nLayers)
      throw new Error(`attentionPatterns: layer ${l}: this model has layers 0–${nLayers - 1}`);
  const rows = readInput(model, input, { prependBos });
  if (rows.tokens.length !== 1)
    throw new Error(`attentionPatterns reads one prompt, ${rows.tokens.length} were given`);
  const [tokens] = rows.tokens;
  const n = tokens.length;
  const points = weight === 'value' ? (['pattern', 'v'] as const) : (['pattern'] as const);
  const names = layers.flatMap((l) => points.map((p) => pointName(`attn.hook_${p}`, l)));
  const { cache } = await runWithResidual(model, tokens, { names, hooks: stopping(model.gpu, signal) });
  try {
    const values = new Float32Array(layers.length * nHeads * n * n);
    for (const [i, l] of layers.entries()) {
      signal?.throwIfAborted();
      const pattern = await cache.get('pattern', l).data();
      if (weight === 'value') {
        const norms = await valueNorms(cache, l);
        for (let j = 0; j < pattern.length; j++) pattern[j] *= norms[Math.floor(j / (n * n)) * n + (j % n)];
      }
      values.set(pattern, i * nHeads * n * n);
      onProgress?.(i + 1, layers.length);
    }
    const positions = positionLabels(model, tokens);
    const axes = [
      { name: 'layer', labels: layers.map((l) => `L${l}`) },
      { name: 'head', labels: Array.from({ length: nHeads }, (_, h) => `H${h}`) },
      { name: 'query', labels: positions },
      { name: 'key', labels: positions },
    ];
    const metric = weight === 'value' ? 'attention × ‖v · W_O‖' : 'attention';
    return labelled(values, axes, provenance(model, { method: 'attention pattern', metric, tokens }));
  } finally {
    cache.dispose();
  }
});
