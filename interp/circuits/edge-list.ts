/**
 * Edges of a model with a score each: all of them, the best, or a circuit. A compact structure that prints
 * and saves itself.
 */

import { checkedMethods, is, optional, options, signature } from '../../hooks/input/check.js';
import { quoted, shownJson } from '../../weights/checks/messages.js';
import { csvField } from '../results/export.js';
import { EdgeGraph, type EdgeNode, type GraphShape, graphShape } from './edge-graph.js';
import { eapIgText, edgesText, readEdges } from './edge-json.js';

export type { EdgeNode, GraphShape } from './edge-graph.js';

/** An edge from a sender to a receiver, with its score. */
export interface Edge {
  /** `input`, `a0.h1`, `m0`. */
  readonly sender: string;
  /** `a1.h0<q>`, `m1`, `logits`. */
  readonly receiver: string;
  readonly score: number;
  /** Its number in the model's graph. */
  readonly index: number;
}

/** Edges and their scores; `for (const { sender, receiver, score } of edges)`. */
export class EdgeList {
  /** Internal: the graph whose edges these are. */
  readonly graph: EdgeGraph;
  readonly shape: GraphShape;
  /** Numbers of the edges in the graph, in the order of this list. */
  readonly indices: Uint32Array;
  /** One an edge. */
  readonly scores: Float32Array;
  /** Where they come from: model, prompts, metric, adapter, work done. */
  readonly meta: Readonly<Record<string, unknown>>;

  /** @throws when there are not as many scores as edges, or an edge is not in the graph. */
  constructor(
    shape: GraphShape,
    indices: Uint32Array,
    scores: Float32Array,
    meta: Readonly<Record<string, unknown>> = {},
    ...more: []
  ) {
    this.shape = graphShape(shape);
    takes(this.shape, indices, scores, meta, ...more);
    this.graph = new EdgeGraph(this.shape);
    const { count } = this.graph;
    if (scores.length !== indices.length)
      throw new Error(`${scores.length} scores for ${indices.length} edges`);
    const bad = indices.find((e) => e >= count);
    if (bad !== undefined) throw new Error(`edge ${bad}: this model has ${count} edges (0–${count - 1})`);
    this.indices = indices;
    this.scores = scores;
    this.meta = meta;
  }

  /**
   * Edges by name, for a circuit of your own: `EdgeList.of(model.config, [['a0.h1', 'a1.h0<q>'], ['a1.h0',
   * 'logits']])`.
   * @throws when there is no such node, or a sender does not come before its receiver.
   */
  static of(shape: GraphShape, edges: Iterable<readonly [sender: string, receiver: string]>): EdgeList {
    const graph = new EdgeGraph(shape);
    const indices = Array.from(edges, ([from, to]) => edgeNumber(graph, from, to));
    return new EdgeList(shape, Uint32Array.from(indices), new Float32Array(indices.length).fill(1));
  }

  /** Number of edges. */
  get length(): number {
    return this.indices.length;
  }

  /** Components that write, in order of execution. */
  get senders(): readonly EdgeNode[] {
    return this.graph.senders;
  }

  /** Inputs that are read, in order of execution. */
  get receivers(): readonly EdgeNode[] {
    return this.graph.receivers;
  }

  /** The i-th edge of the list. */
  at(i: number): Edge {
    const index = this.indices[i];
    const [sender, receiver] = this.graph.ends(index);
    return {
      sender: this.senders[sender].label,
      receiver: this.receivers[receiver].label,
      score: this.scores[i],
      index,
    };
  }

  /** The edges, in the order of the list. */
  *[Symbol.iterator](): IterableIterator<Edge> {
    for (let i = 0; i < this.length; i++) yield this.at(i);
  }

  /** The score of an edge; undefined where it is not in the list. @throws when the model has no such edge. */
  score(sender: string, receiver: string): number | undefined {
    const i = this.indices.indexOf(edgeNumber(this.graph, sender, receiver));
    return i < 0 ? undefined : this.scores[i];
  }

  /**
   * The n edges of the largest scores, descending.
   * @param by magnitude (the default; Syed et al.), or the score itself
   */
  topEdges(n: number, { by = 'magnitude' }: { by?: 'magnitude' | 'score' } = {}): EdgeList {
    const key = by === 'score' ? (x: number) => x : Math.abs;
    const order = this.#order((i, j) => key(this.scores[j]) - key(this.scores[i]) || i - j);
    return this.#take(order.subarray(0, Math.max(0, n)));
  }

  /** The edges of at least this magnitude, in the order of the list. */
  threshold(least: number): EdgeList {
    return this.#take(this.#order(null).filter((i) => Math.abs(this.scores[i]) >= least));
  }

  /**
   * Without edges that are on no way from `input` to `logits` within the list: they change nothing in a
   * circuit.
   */
  connected(): EdgeList {
    const kept = this.graph.connected(this.indices);
    return this.#take(this.#order(null).filter((i) => kept.has(this.indices[i])));
  }

  /** Internal: 1 for each edge of the graph that is in the list. */
  mask(): Float32Array {
    const mask = new Float32Array(this.graph.count);
    for (const e of this.indices) mask[e] = 1;
    return mask;
  }

  /** `sender,receiver,score`, a line an edge (RFC 4180). */
  toCsv(): string {
    const lines = Array.from(this, (e) => `${csvField(e.sender)},${csvField(e.receiver)},${e.score}`);
    return `${['sender,receiver,score', ...lines].join('\n')}\n`;
  }

  /**
   * For `EdgeList.fromJson`; with `format: 'eap-ig'` as EAP-IG and the MIB benchmark read it. In the circuit
   * are then the edges that were when the list was read from such a file, else those of this list.
   */
  toJson({ format }: { format?: 'eap-ig' } = {}): string {
    if (format === undefined) return edgesText(this.shape, this.indices, this.scores, this.meta);
    if (format !== 'eap-ig')
      throw new Error(`format ${shownJson(format)}: only 'eap-ig' is written besides our own`);
    if (this.shape.attnOnly)
      throw new Error("format 'eap-ig': an attention-only model has no MLPs, which EAP-IG expects");
    const score = new Map(Array.from(this.indices, (e, i) => [e, this.scores[i]]));
    const { inGraph, dModel } = this.meta as { inGraph?: readonly number[]; dModel?: number };
    const held = inGraph?.filter((e) => score.has(e)) ?? this.indices;
    return eapIgText(this.graph, this.shape, score, new Set(held), dModel);
  }

  /**
   * Reads what `toJson` wrote, or a circuit of EAP-IG and the MIB benchmark: all its edges with their scores;
   * `meta.inGraph` holds the numbers of those in the circuit.
   * @param only `'circuit'`: only the edges that the file says are in the circuit
   * @throws when it is something else
   */
  static fromJson(text: string, { only }: { only?: 'circuit' } = {}): EdgeList {
    const { shape, names, inGraph, meta, ...read } = readEdges(text);
    const graph = new EdgeGraph(shape);
    const numbers = names ? edgeNumbers(graph, names) : read.indices!;
    const seen = new Set<number>();
    const twice = numbers.find((e) => seen.size === seen.add(e).size);
    if (twice !== undefined) throw new Error(`EdgeList.fromJson: edge ${twice} is there twice`);
    if (only !== undefined && (only !== 'circuit' || !inGraph))
      throw new Error(
        `EdgeList.fromJson: only ${shownJson(only)}: 'circuit' is known, and the file must say what is in it`,
      );
    const kept = numbers.map((_, i) => i).filter((i) => only === undefined || inGraph![i]);
    const more = inGraph && { inGraph: numbers.filter((_, i) => inGraph[i]) };
    return new EdgeList(
      shape,
      Uint32Array.from(kept, (i) => numbers[i]),
      Float32Array.from(kept, (i) => read.scores[i]),
      { ...meta, ...more },
    );
  }

  #order(compare: ((i: number, j: number) => number) | null): Uint32Array {
    const all = Uint32Array.from(this.indices, (_, i) => i);
    return compare ? all.sort(compare) : all;
  }

  #take(places: Uint32Array): EdgeList {
    const indices = places.map((i) => this.indices[i]);
    const scores = Float32Array.from(places, (i) => this.scores[i]);
    return new EdgeList(this.shape, indices, scores, this.meta);
  }
}

const shape = is.having("a model's config", 'nLayers', 'nHeads');
const takes = signature('EdgeList', {
  shape,
  indices: is.tokens,
  scores: is.either(is.numbers, is.listOf({ what: '', is: (v) => typeof v === 'number' }, '')),
  meta: optional(is.plainObject),
});
const ends = { sender: is.text, receiver: is.text };
checkedMethods<Pick<typeof EdgeList, 'of' | 'fromJson'>>(
  EdgeList,
  {
    of: { shape, edges: is.iterable },
    fromJson: { text: is.text, options: options<{ only?: 'circuit' }>({ only: is.oneOf('circuit') }) },
  },
  'EdgeList.',
);
checkedMethods(
  EdgeList.prototype,
  {
    at: { i: is.whole },
    score: ends,
    topEdges: {
      n: is.whole,
      options: options<{ by?: 'magnitude' | 'score' }>({ by: is.oneOf('magnitude', 'score') }),
    },
    threshold: { least: is.number },
    connected: {},
    mask: null,
    toCsv: {},
    toJson: { options: options<{ format?: 'eap-ig' }>({ format: is.oneOf('eap-ig') }) },
  },
  'EdgeList.',
);

/** Edges by their names in EAP-IG, `a0.h1->a1.h0<q>`. @throws when the graph has no such edge. */
function edgeNumbers(graph: EdgeGraph, names: readonly string[]): number[] {
  const senders = new Map(graph.senders.map((node, i) => [node.label, i]));
  const receivers = new Map(graph.receivers.map((node, i) => [node.label, i]));
  return names.map((name) => {
    const [from, to, more] = name.split('->');
    const [sender, receiver] = [senders.get(from), receivers.get(to)];
    const edge =
      sender === undefined || receiver === undefined || more !== undefined
        ? null
        : graph.edge(sender, receiver);
    if (edge === null) throw new Error(`EdgeList.fromJson: ${quoted(name)} is no edge of this model's graph`);
    return edge;
  });
}

function edgeNumber(graph: EdgeGraph, from: string, to: string): number {
  const [sender, receiver] = [
    graph.senders.findIndex((n) => n.label === from),
    graph.receivers.findIndex((n) => n.label === to),
  ];
  const names = (nodes: readonly EdgeNode[]) =>
    `${nodes[0].label}, ${nodes[1].label}, …, ${nodes.at(-1)!.label}`;
  if (sender < 0) throw new Error(`edge from "${from}": writers are ${names(graph.senders)}`);
  if (receiver < 0) throw new Error(`edge to "${to}": readers are ${names(graph.receivers)}`);
  const edge = graph.edge(sender, receiver);
  if (edge === null)
    throw new Error(`edge from "${from}" to "${to}": the writer does not come before the reader`);
  return edge;
}
