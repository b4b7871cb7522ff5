/** The attention patterns of all heads, as the views ask for them. */

import { type LabelledData, labelled } from '../../interp/results/result.js';
import { splitLabel } from '../../interp/results/text.js';
import { headName } from '../app/state.js';

/** A head. */
export interface Head {
  readonly layer: number;
  readonly head: number;
}

/** All patterns of a prompt. */
export interface Patterns {
  /** layer × head × query × key */
  readonly all: LabelledData;
  readonly layers: number;
  readonly heads: number;
  /** Tokens. */
  readonly n: number;
  /** `4:␣Mary` */
  readonly labels: readonly string[];
  readonly pieces: readonly string[];
  /** The largest weight. */
  readonly most: number;
  at(head: Head, query: number, key: number): number;
  /** The pattern of a head, row by row. */
  values(head: Head): Float32Array;
  /** Of a head: what its strongest colour stands for. */
  unit(head: Head): number;
  one(head: Head): LabelledData;
  /** The head that looks from the last token at one other than the first the most. */
  striking(): Head;
}

/** Reads a result of `attentionPatterns`. */
export function patternsOf(all: LabelledData): Patterns {
  const [layers, heads, n] = all.shape;
  const { labels } = all.axes[3];
  const attention = all.meta.metric === 'attention';
  const values = ({ layer, head }: Head) =>
    all.values.subarray((layer * heads + head) * n * n, (layer * heads + head + 1) * n * n);
  const largest = (list: Float32Array) => list.reduce((a, b) => Math.max(a, b), 1e-9);
  const every = Array.from({ length: layers * heads }, (_, i) => ({
    layer: Math.floor(i / heads),
    head: i % heads,
  }));
  return {
    ...{ all, layers, heads, n, labels, values },
    pieces: labels.map((label) => splitLabel(label)[1]),
    most: attention ? 1 : largest(all.values),
    at: (head, query, key) => values(head)[query * n + key],
    unit: (head) => (attention ? 1 : largest(values(head))),
    one: (head) =>
      labelled(values(head).slice(), all.axes.slice(2), {
        ...all.meta,
        head: headName(head.layer, head.head),
      }),
    striking() {
      const look = (head: Head) => largest(values(head).subarray((n - 1) * n + 1, n * n));
      return every.reduce((best, head) => (look(head) > look(best) ? head : best));
    },
  };
}
