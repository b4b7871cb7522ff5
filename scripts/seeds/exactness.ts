/** What must hold for any model, in float64 on the host: sums that the notebooks' maps are parts of, and rows that add up to 1. */

import {
  type HookedTransformer,
  type Intervention,
  type Labelled,
  type ResidualAttribution,
  runWithInterventions,
} from '../../index.js';
import type { Comparison } from '../../interp/figures/compare.js';
import { furthest, near } from './comparison.js';

/** What the answers are, token by token. */
interface Answers {
  readonly correct: readonly number[];
  readonly wrong: readonly number[];
}

/** The logit difference that b_O of each layer says: its own direction, read by W_U through the last norm; means over the prompts. */
function saidByBiases(
  model: HookedTransformer,
  scales: readonly number[],
  { correct, wrong }: Answers,
): number[] {
  const { nLayers, dModel, dVocab, normalization } = model.config;
  const { b_O, W_U } = model.weights;
  return Array.from({ length: nLayers }, (_, layer) => {
    const bias = [...b_O[layer].data];
    const centre = normalization.startsWith('LN') ? bias.reduce((a, b) => a + b, 0) / dModel : 0;
    const each = correct.map((good, i) => {
      const column = (row: number) => W_U.data[row * dVocab + good] - W_U.data[row * dVocab + wrong[i]];
      return bias.reduce((sum, v, d) => sum + (v - centre) * column(d), 0) / (scales[i] ?? 1);
    });
    return each.reduce((a, b) => a + b, 0) / each.length;
  });
}

/** Heads of a layer, and its b_O, are its attention. The model's last norm must have been folded. */
export function headsAddUp(
  model: HookedTransformer,
  { heads, layers, scales }: ResidualAttribution,
  answers: Answers,
): Comparison {
  const [nLayers, nHeads] = heads.shape;
  const biases = saidByBiases(model, scales, answers);
  const off = Array.from({ length: nLayers }, (_, l) => {
    const sum = heads.values.subarray(l * nHeads, (l + 1) * nHeads).reduce((a, b) => a + b, biases[l]);
    return sum - layers.values[layers.axes[0].labels.indexOf(`${l}_attn_out`)];
  });
  return near('heads + b_O − attention layer, furthest', 0, furthest(off), 1e-4);
}

/** The last state, read by W_U, is the metric; but for logits that are capped, of which attribution is told before the cap. */
export const lastState = ({ config }: HookedTransformer, name: string, off: number): Comparison[] =>
  config.outputLogitsSoftCap === null ? [near(name, 0, off, 1e-4)] : [];

/** Every query spreads an attention of 1. @param patterns … × query × key */
export function attentionAddsUp(patterns: readonly Labelled[]): Comparison {
  const off = patterns.flatMap(({ values, shape }) => {
    const keys = shape.at(-1)!;
    return Array.from({ length: values.length / keys }, (_, row) =>
      values.subarray(row * keys, (row + 1) * keys).reduce((a, b) => a + b, -1),
    );
  });
  return near('rows of attention − 1, furthest', 0, furthest(off), 1e-5);
}

/** A head that is silent at the last position changes nothing before its layer, nor at earlier positions. */
export async function nothingBefore(
  model: HookedTransformer,
  prompts: readonly string[],
  layer: number,
  cut: readonly Intervention[],
): Promise<Comparison[]> {
  const names = [`blocks.${layer}.hook_resid_pre`, `blocks.${layer}.hook_resid_post`];
  const read = async (interventions: readonly Intervention[]) => {
    const { logits, cache } = await runWithInterventions(model, prompts, interventions, { names });
    logits.dispose();
    const [before, after] = await Promise.all(names.map(async (name) => cache!.get(name).data()));
    cache!.dispose();
    return { before, after };
  };
  const [intact, gone] = [await read([]), await read(cut)];
  const apart = (a: Float32Array, b: Float32Array) => furthest(a.map((v, i) => v - b[i]));
  const { dModel } = model.config;
  let row = 0;
  const last = new Set(prompts.map((p) => (row += model.toTokens(p)[0].length) - 1));
  const earlier = (values: Float32Array) => values.filter((_, i) => !last.has(Math.floor(i / dModel)));
  return [
    near('residual stream before the silent head', 0, apart(intact.before, gone.before), 0),
    near('… behind it, at earlier positions', 0, apart(earlier(intact.after), earlier(gone.after)), 0),
  ];
}
