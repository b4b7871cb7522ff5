/**
 * A model's weights on the host in TransformerLens' layout, for looking at them. All matrices multiply from
 * the right.
 */

import type { Config } from '../config.js';
import { transpose } from '../formats/tensors.js';
import type {
  BlockWeights,
  EmbedWeights,
  FinalWeights,
  HostTensor,
  ModelPart,
  ModelWeights,
  NormWeights,
} from '../formats/types.js';

/**
 * `W_Q[layer]` and so on. A view is made when it is first asked for, and kept; those whose layout is the
 * stored one share its memory. Do not write into them: the GPU has its own copy.
 */
export interface WeightViews {
  /** What the views look at, as `saveable` wants it. */
  readonly parts: ModelWeights;
  /** [dVocab, dModel] */
  readonly W_E: HostTensor;
  /** [nCtx, dModel]; empty where positions are not embedded. */
  readonly W_pos: HostTensor;
  /** [dModel, dVocab] */
  readonly W_U: HostTensor;
  /** [dVocab]; zeros when the model has none. */
  readonly b_U: HostTensor;
  /** Per layer [head, dModel, dHead]; of W_K and W_V, b_K and b_V, the heads are those of keys and values. */
  readonly W_Q: readonly HostTensor[];
  readonly W_K: readonly HostTensor[];
  readonly W_V: readonly HostTensor[];
  /** Per layer [head, dHead]. Biases are zeros where the model has none. */
  readonly b_Q: readonly HostTensor[];
  readonly b_K: readonly HostTensor[];
  readonly b_V: readonly HostTensor[];
  /** Per layer [head, dHead, dModel]. */
  readonly W_O: readonly HostTensor[];
  /** Per layer [dModel]. */
  readonly b_O: readonly HostTensor[];
  /** Per layer [dModel, dMlp]: of gated MLPs, act(x·W_gate + b_gate) ∘ (x·W_in + b_in); empty for others. */
  readonly W_gate: readonly HostTensor[];
  readonly b_gate: readonly HostTensor[];
  /** Per layer [dModel, dMlp]. The four of the MLP are empty for attention-only models. */
  readonly W_in: readonly HostTensor[];
  /** Per layer [dMlp]. */
  readonly b_in: readonly HostTensor[];
  /** Per layer [dMlp, dModel]. */
  readonly W_out: readonly HostTensor[];
  /** Per layer [dModel]. */
  readonly b_out: readonly HostTensor[];
  /**
   * Gains and biases of the norms, [dModel] each; empty (null for the final one) where folded away or absent.
   */
  readonly ln1: readonly NormWeights[];
  readonly ln2: readonly NormWeights[];
  readonly lnFinal: NormWeights | null;
  /** Behind attention and MLP, where norms stand before and behind. */
  readonly ln1Post: readonly NormWeights[];
  readonly ln2Post: readonly NormWeights[];
  /** Of queries and keys, [dHead] each, or [nHeads · dHead] and [nKeyValueHeads · dHead]. */
  readonly qNorm: readonly NormWeights[];
  readonly kNorm: readonly NormWeights[];
  /** Of the norms inside the MLPs of SoLU models, [dMlp] each; as the others. */
  readonly mlpLn: readonly NormWeights[];
}

/** Views of a model's parts as `readModel` gives them. */
export function weightViews(
  embed: EmbedWeights,
  blocks: readonly BlockWeights[],
  final: FinalWeights,
  config: Config,
): WeightViews {
  const { nHeads, nKeyValueHeads, dHead, dModel, dMlp, dVocabOut } = config;
  const kept = new Map<string, unknown>();
  const once = <T>(name: string, make: () => T): T => {
    if (!kept.has(name)) kept.set(name, make());
    return kept.get(name) as T;
  };
  const perLayer = (name: string, make: (block: BlockWeights) => HostTensor) =>
    once(name, () => lazyArray(blocks.length, (layer) => make(blocks[layer])));
  const zeros = (...shape: number[]): HostTensor => ({
    shape,
    data: new Float32Array(shape.reduce((a, b) => a * b)),
  });
  const mlp = (name: 'W_in' | 'W_out') =>
    config.attnOnly ? [] : perLayer(name, (block) => block.mlp![name]);
  const mlpBias = (name: 'b_in' | 'b_out', width: number) =>
    config.attnOnly ? [] : perLayer(name, (block) => block.mlp![name] ?? zeros(width));
  const gated = config.gatedMlp && !config.attnOnly;
  /** Columns of q, k and v: the first one and how many heads. */
  const columns = [
    [0, nHeads],
    [nHeads * dHead, nKeyValueHeads],
    [(nHeads + nKeyValueHeads) * dHead, nKeyValueHeads],
  ] as const;
  const weights = (name: string, part: number) =>
    perLayer(name, (block) => {
      const [first, heads] = columns[part];
      return headWeights(block.W_QKV, first, heads, config);
    });
  const biases = (name: string, part: number) =>
    perLayer(name, ({ b_QKV }) => {
      const [first, heads] = columns[part];
      if (!b_QKV) return zeros(heads, dHead);
      return { shape: [heads, dHead], data: b_QKV.data.subarray(first, first + heads * dHead) };
    });

  return {
    parts: { embed, blocks, final },
    W_E: embed.W_E,
    W_pos: embed.W_pos ?? { shape: [0, dModel], data: new Float32Array(0) },
    get W_U() {
      return once('W_U', () => transpose(final.W_U ?? embed.W_E));
    },
    get b_U() {
      return final.b_U ?? once('b_U', () => ({ shape: [dVocabOut], data: new Float32Array(dVocabOut) }));
    },
    get W_Q() {
      return weights('W_Q', 0);
    },
    get W_K() {
      return weights('W_K', 1);
    },
    get W_V() {
      return weights('W_V', 2);
    },
    get b_Q() {
      return biases('b_Q', 0);
    },
    get b_K() {
      return biases('b_K', 1);
    },
    get b_V() {
      return biases('b_V', 2);
    },
    get W_O() {
      return perLayer('W_O', ({ W_O }) => ({ shape: [nHeads, dHead, dModel], data: W_O.data }));
    },
    get b_O() {
      return perLayer('b_O', ({ b_O }) => b_O ?? zeros(dModel));
    },
    get W_gate() {
      return gated ? perLayer('W_gate', ({ mlp }) => mlp!.W_gate!) : [];
    },
    get b_gate() {
      return gated ? perLayer('b_gate', ({ mlp }) => mlp!.b_gate ?? zeros(dMlp)) : [];
    },
    get W_in() {
      return mlp('W_in');
    },
    get b_in() {
      return mlpBias('b_in', dMlp);
    },
    get W_out() {
      return mlp('W_out');
    },
    get b_out() {
      return mlpBias('b_out', dModel);
    },
    ln1: blocks.flatMap(({ ln1 }) => ln1 ?? []),
    ln2: blocks.flatMap(({ ln2 }) => ln2 ?? []),
    lnFinal: final.lnFinal,
    ln1Post: blocks.flatMap(({ ln1Post }) => ln1Post ?? []),
    ln2Post: blocks.flatMap(({ ln2Post }) => ln2Post ?? []),
    qNorm: blocks.flatMap(({ qNorm }) => qNorm ?? []),
    kNorm: blocks.flatMap(({ kNorm }) => kNorm ?? []),
    mlpLn: blocks.flatMap(({ mlp }) => mlp?.ln ?? []),
  };
}

/** An array whose elements are made when they are first read. */
function lazyArray<T>(length: number, make: (index: number) => T): readonly T[] {
  const array: T[] = new Array(length);
  for (let index = 0; index < length; index++) {
    Object.defineProperty(array, index, {
      configurable: true,
      enumerable: true,
      get() {
        const value = make(index);
        Object.defineProperty(array, index, { value, enumerable: true });
        return value;
      },
    });
  }
  return array;
}

/** Columns of W_QKV, from `first` on, as [heads, dModel, dHead]. */
function headWeights(
  { data, shape: [, width] }: HostTensor,
  first: number,
  heads: number,
  { dHead, dModel }: Config,
): HostTensor {
  const out = new Float32Array(dModel * heads * dHead);
  for (let head = 0; head < heads; head++)
    for (let i = 0; i < dModel; i++) {
      const from = i * width + first + head * dHead;
      out.set(data.subarray(from, from + dHead), (head * dModel + i) * dHead);
    }
  return { shape: [heads, dModel, dHead], data: out };
}

/** The parts of weights on the host, in the order of loading. */
export function* partsOf({ embed, blocks, final }: ModelWeights): Generator<ModelPart> {
  yield { kind: 'embed', weights: embed };
  for (const [layer, weights] of blocks.entries()) yield { kind: 'block', layer, weights };
  yield { kind: 'final', weights: final };
}
