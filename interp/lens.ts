/**
 * The logit lens (nostalgebraist 2020): read the residual stream after every layer as if it were the last one.
 * What the model "would say now" shows in which layer an answer appears.
 */

import type { TextInput } from '../engine/text.js';
import type { InputOptions } from '../hooks/input.js';
import type { HookedTransformer } from '../hooks/model.js';
import { positionLabels, provenance } from './provenance.js';
import { type Labelled, labelled } from './result.js';

/** A guess of the lens. */
export interface LensToken {
  readonly token: number;
  readonly text: string;
  readonly prob: number;
}

/** Probability of the top token, by layer and position, and what the tokens are. */
export interface LensResult extends Labelled {
  /** Per layer and position the k most probable tokens, descending. */
  readonly top: readonly (readonly (readonly LensToken[])[])[];
}

/** Options of `logitLens`. */
export interface LensOptions extends InputOptions {
  /** Tokens a cell. Default 5. */
  readonly k?: number;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Rows `0_pre` … `{L-1}_pre`, `final_post`; the final layer norm is computed anew for each row and position (the true
 * logit lens), then W_U and b_U are applied.
 * @returns axes layer [nLayers + 1] × pos, of one prompt.
 */
export async function logitLens(
  model: HookedTransformer,
  input: TextInput,
  options: LensOptions = {},
): Promise<LensResult> {
  const { k = 5, onProgress, signal, ...inputOptions } = options;
  const { nLayers, dVocab } = model.config;
  const last = `blocks.${nLayers - 1}.hook_resid_post`;
  const names = [...Array.from({ length: nLayers }, (_, l) => `blocks.${l}.hook_resid_pre`), last];
  const { cache, tokens } = await model.runWithResidual(input, { ...inputOptions, names });
  try {
    if (tokens.length !== 1) throw new Error(`logitLens reads one prompt, ${tokens.length} were given`);
    const n = tokens[0].length;
    const kept = Math.min(k, dVocab);
    const values = new Float32Array((nLayers + 1) * n);
    const top: LensToken[][][] = [];
    for (const [l, name] of names.entries()) {
      signal?.throwIfAborted();
      const logits = await model.logitsOfResidual(cache.get(name));
      const probs = logits.softmax();
      const { values: p, indices } = probs.topk(kept);
      const [prob, id] = [await p.data(), await indices.data()];
      for (const t of [logits, probs, p, indices]) t.dispose();
      top.push(
        tokens[0].map((_, pos) =>
          Array.from({ length: kept }, (_, i) => {
            const token = id[pos * kept + i];
            return {
              token,
              text: model.tokenizer?.pieces([token])[0] ?? `#${token}`,
              prob: prob[pos * kept + i],
            };
          }),
        ),
      );
      tokens[0].forEach((_, pos) => {
        values[l * n + pos] = prob[pos * kept];
      });
      onProgress?.(l + 1, names.length);
    }
    const axes = [
      { name: 'layer', labels: [...names.slice(0, -1).map((_, l) => `${l}_pre`), 'final_post'] },
      { name: 'pos', labels: positionLabels(model, tokens[0]) },
    ];
    const meta = provenance(model, { method: 'logit lens', layerNorm: 'recomputed', tokens: tokens[0] });
    return { ...labelled(values, axes, meta), top };
  } finally {
    cache.dispose();
  }
}
