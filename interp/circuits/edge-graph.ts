/**
 * A transformer as a graph (Elhage et al. 2021; Conmy et al. 2023). Every component reads the residual
 * stream, which is the sum of what the components before it wrote: so each pair of a writer and a later
 * reader is an edge. Writers are the embeddings (`input`), each head and each MLP; readers are the queries,
 * keys and values of each head, each MLP, and the `logits`. Biases b_O belong to no writer. GPT-2 small has
 * 157 writers, 445 readers and 32,491 edges.
 *
 * Heads that share keys and values share these readers: there are as many as there are heads of keys. In a
 * parallel block the MLP reads what the heads of its layer read, so that there is no edge between them.
 */

import type { Config } from '../../weights/config.js';

/** A circuit: 1 for each edge that is in it, 0 for the others, in the order of the graph. */
export type EdgeMask = Float32Array;

/** A component that writes to the residual stream, or something that reads it. */
export interface EdgeNode {
  /** `input`, `a0.h1` (a head), `m0` (an MLP); readers: `a1.h0<q>` (`<k>`, `<v>`), `m1`, `logits`. */
  readonly label: string;
  readonly kind: 'input' | 'head' | 'mlp' | 'logits';
  /** Null of `input` and `logits`. */
  readonly layer: number | null;
  readonly head: number | null;
  readonly part: 'q' | 'k' | 'v' | null;
}

/** What a graph follows from: a configuration has all of it. */
export interface GraphShape {
  readonly nLayers: number;
  readonly nHeads: number;
  readonly attnOnly: boolean;
  /** Heads of keys and values. Default nHeads. */
  readonly nKeyValueHeads?: number;
  /** Attention and MLP of a layer read the same stream. Default false. */
  readonly parallelAttnMlp?: boolean;
}

/** Readers that see the same writers: the heads of a layer, an MLP, or the logits. */
export interface ReaderGroup {
  readonly kind: 'head' | 'mlp' | 'logits';
  /** The number of layers for the logits. */
  readonly layer: number;
  /** First of its readers; those of heads are all queries, then all keys, then all values. */
  readonly first: number;
  readonly count: number;
  /** Writers before it: 0 … `senders` − 1. */
  readonly senders: number;
  /** Its first edge: edges are reader by reader, each with all its writers in order. */
  readonly firstEdge: number;
}

/** All nodes and edges of a model. Edge e goes from `senderOf(e)` to `receiverOf(e)`. */
export class EdgeGraph {
  /** In order of execution. */
  readonly senders: readonly EdgeNode[];
  readonly receivers: readonly EdgeNode[];
  /** In order of execution. */
  readonly groups: readonly ReaderGroup[];
  /** Number of edges. */
  readonly count: number;
  /** How many heads share their keys and values. */
  readonly #sharing: number;
  readonly #groupOf: Uint16Array;

  constructor(shape: GraphShape) {
    const { nLayers, nHeads, attnOnly, nKeyValueHeads = nHeads, parallelAttnMlp = false } = shape;
    this.#sharing = nHeads / nKeyValueHeads;
    const senders: EdgeNode[] = [{ ...outside, kind: 'input', label: 'input' }];
    const receivers: EdgeNode[] = [];
    const groups: ReaderGroup[] = [];
    let firstEdge = 0;
    const group = (
      kind: ReaderGroup['kind'],
      layer: number,
      nodes: readonly EdgeNode[],
      before = senders.length,
    ) => {
      const at = { first: receivers.length, count: nodes.length, senders: before, firstEdge };
      groups.push({ kind, layer, ...at });
      receivers.push(...nodes);
      firstEdge += nodes.length * before;
    };
    const heads = Array.from({ length: nHeads }, (_, head) => head);
    for (let layer = 0; layer < nLayers; layer++) {
      const one = (head: number, part: EdgeNode['part']): EdgeNode => {
        const label = `a${layer}.h${head}${part ? `<${part}>` : ''}`;
        return { kind: 'head', label, layer, head, part };
      };
      group(
        'head',
        layer,
        (['q', 'k', 'v'] as const).flatMap((part) =>
          heads.slice(0, part === 'q' ? nHeads : nKeyValueHeads).map((h) => one(h, part)),
        ),
      );
      const before = senders.length;
      senders.push(...heads.map((h) => one(h, null)));
      if (attnOnly) continue;
      const mlp: EdgeNode = { kind: 'mlp', label: `m${layer}`, layer, head: null, part: null };
      group('mlp', layer, [mlp], parallelAttnMlp ? before : senders.length);
      senders.push(mlp);
    }
    group('logits', nLayers, [{ ...outside, kind: 'logits', label: 'logits' }]);
    this.senders = senders;
    this.receivers = receivers;
    this.groups = groups;
    this.count = firstEdge;
    this.#groupOf = new Uint16Array(receivers.length);
    groups.forEach(({ first, count }, g) => {
      this.#groupOf.fill(g, first, first + count);
    });
  }

  /** The group of a reader. */
  group(receiver: number): ReaderGroup {
    return this.groups[this.#groupOf[receiver]];
  }

  /** Number of the edge, or null where the writer does not come before the reader. */
  edge(sender: number, receiver: number): number | null {
    const { first, senders, firstEdge } = this.group(receiver);
    return sender < senders ? firstEdge + (receiver - first) * senders + sender : null;
  }

  /** Writer and reader of an edge. */
  ends(edge: number): [sender: number, receiver: number] {
    let low = 0;
    for (let high = this.groups.length - 1; low < high; ) {
      const mid = (low + high + 1) >> 1;
      if (this.groups[mid].firstEdge <= edge) low = mid;
      else high = mid - 1;
    }
    const { first, senders, firstEdge } = this.groups[low];
    return [(edge - firstEdge) % senders, first + Math.floor((edge - firstEdge) / senders)];
  }

  /** First writer of a layer's heads. */
  firstHead(layer: number): number {
    return this.groups.find((g) => g.layer === layer && g.kind === 'head')!.senders;
  }

  /**
   * The edges of a set that lie on a way from `input` to `logits` within it: the others change nothing,
   * because a component that nothing reaches stays what it is, and one that reaches nothing is not heard.
   */
  connected(edges: Iterable<number>): Set<number> {
    const all = [...edges].map((e) => [e, ...this.ends(e)] as const).sort((a, b) => a[2] - b[2]);
    const reached = new Set([0]);
    const forward = all.filter(([, sender, receiver]) => {
      if (!reached.has(sender)) return false;
      for (const node of this.sendersBehind(receiver)) reached.add(node);
      return true;
    });
    const heard = new Set<number>();
    const kept = new Set<number>();
    for (const [e, sender, receiver] of forward.reverse()) {
      const nodes = this.sendersBehind(receiver);
      if (nodes.length && !nodes.some((node) => heard.has(node))) continue;
      heard.add(sender);
      kept.add(e);
    }
    return kept;
  }

  /**
   * What the components write that a reader belongs to: several of keys and values that heads share; none of
   * the logits.
   */
  sendersBehind(receiver: number): number[] {
    const { kind, layer, head, part } = this.receivers[receiver];
    if (kind === 'logits') return [];
    const first = this.firstHead(layer!);
    if (kind === 'mlp') return [this.mlpOf(layer!)];
    if (part === 'q') return [first + head!];
    return Array.from({ length: this.#sharing }, (_, i) => first + head! * this.#sharing + i);
  }

  /** The writer that a layer's MLP is. */
  mlpOf(layer: number): number {
    return this.senders.findIndex((node) => node.kind === 'mlp' && node.layer === layer);
  }
}

/** The shape alone, of a configuration; what is usual is left out. */
export const graphShape = ({ nLayers, nHeads, attnOnly, ...more }: GraphShape): GraphShape => ({
  ...{ nLayers, nHeads, attnOnly },
  ...(more.nKeyValueHeads && more.nKeyValueHeads !== nHeads && { nKeyValueHeads: more.nKeyValueHeads }),
  ...(more.parallelAttnMlp && { parallelAttnMlp: true }),
});

const outside = { layer: null, head: null, part: null } as const;

const graphs = new WeakMap<Config, EdgeGraph>();

/** The graph of a model. */
export function edgeGraph(config: Config): EdgeGraph {
  let graph = graphs.get(config);
  if (!graph) graphs.set(config, (graph = new EdgeGraph(config)));
  return graph;
}
