/**
 * Activation patching (Vig et al. 2020; Meng et al. 2022; TransformerLens' patching.py).
 *
 * Two prompts of equal length differ in a detail that changes the answer. Run the corrupted one, but put one activation
 * of the clean run in its place: if the answer comes back, that activation carried the detail. The result is
 * normalised: 0 = the corrupted run, 1 = the clean run.
 *
 * Every cell is exactly what a whole forward pass with that one activation replaced would give. It costs less: a patch
 * at layer l and position p leaves the corrupted run there, so it shares everything before with it.
 */

import { runBase, runForks } from '../hooks/forks.js';
import type { HookedTransformer } from '../hooks/model.js';
import { actName } from '../hooks/names.js';
import type { Metric } from './metrics.js';
import { positionLabels, provenance } from './provenance.js';
import { type Labelled, labelled } from './result.js';

/** Where to patch: activations [pos, dModel] of every block. */
export type PatchSite = 'resid_pre' | 'resid_mid' | 'resid_post' | 'attn_out' | 'mlp_out';

/** Options of `patch`. */
export interface PatchOptions {
  /** The prompt whose activations are put in; text or tokens. */
  readonly clean: string | readonly number[];
  /** The prompt that is run; it must have as many tokens. */
  readonly corrupted: string | readonly number[];
  /** Default `'resid_pre'`. */
  readonly at?: PatchSite;
  /** Axes of the result. */
  readonly by?: readonly ['layer', 'pos'];
  readonly metric: Metric;
  /** Default true. */
  readonly prependBos?: boolean;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * The metric when the clean run's activation is put into the corrupted run, by layer and position, normalised so that
 * the corrupted run is 0 and the clean run 1.
 * @returns axes layer × pos; `meta` holds both metrics and `unchanged`: positions up to which the prompts are the same,
 *   where a patch can change nothing (they are 0 and are not run).
 * @throws when the prompts differ in length, are the same, or the metric is the same for both.
 */
export async function patch(model: HookedTransformer, options: PatchOptions): Promise<Labelled> {
  const { at = 'resid_pre', metric, prependBos, onProgress, signal } = options;
  const { nLayers } = model.config;
  const [clean] = model.toTokens(options.clean, { prependBos });
  const [corrupted] = model.toTokens(options.corrupted, { prependBos });
  if (clean.length !== corrupted.length)
    throw new Error(
      `the clean prompt has ${clean.length} tokens, the corrupted one ${corrupted.length}: patching needs the same number.\n  clean:     ${show(model, clean)}\n  corrupted: ${show(model, corrupted)}`,
    );
  const n = clean.length;
  const unchanged = clean.findIndex((t, i) => t !== corrupted[i]);
  if (unchanged < 0)
    throw new Error('the clean and the corrupted prompt are the same: no patch can change anything');
  const tokens = metric.tokens(model);
  const names = Array.from({ length: nLayers }, (_, l) => actName(at, l));
  const positions = Array.from({ length: n - unchanged }, (_, i) => unchanged + i);
  const started = performance.now();
  const before = { ...model.gpu.stats };

  const base = await runBase(model, corrupted, clean, names, tokens);
  try {
    const [low, high] = base.logits.map((l) => metric.value(l));
    if (Math.abs(high - low) < 1e-6)
      throw new Error(
        `the metric ${metric.name} is ${high.toFixed(4)} for both prompts: there is no difference to restore`,
      );
    const values = new Float32Array(nLayers * n);
    let tokenLayers = 0;
    for (const [l, name] of names.entries()) {
      signal?.throwIfAborted();
      const logits = await runForks(model, base, name, l, positions, tokens);
      positions.forEach((p, i) => {
        const value = metric.value(logits.subarray(i * tokens.length, (i + 1) * tokens.length));
        values[l * n + p] = (value - low) / (high - low);
        tokenLayers += (n - p) * (nLayers - l);
      });
      onProgress?.(l + 1, nLayers);
    }
    const axes = [
      { name: 'layer', labels: names.map((_, l) => `L${l}`) },
      { name: 'pos', labels: positionLabels(model, corrupted) },
    ];
    const work = {
      tokenLayers,
      naiveTokenLayers: nLayers * n * n * nLayers,
      dispatches: model.gpu.stats.dispatches - before.dispatches,
      ms: performance.now() - started,
    };
    const more = {
      method: 'activation patching',
      at,
      metric: metric.name,
      clean: high,
      corrupted: low,
      unchanged,
      work,
      tokens: corrupted,
    };
    return labelled(values, axes, provenance(model, { ...more, cleanTokens: clean }));
  } finally {
    base.dispose();
  }
}

const show = (model: HookedTransformer, tokens: readonly number[]): string =>
  model.tokenizer ? model.toStrTokens(tokens).join('|') : tokens.join(' ');
