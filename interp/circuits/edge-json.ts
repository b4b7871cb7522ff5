/**
 * Edges as JSON: our own format, and the one of EAP-IG and the MIB benchmark (`cfg`, `nodes`, `edges` with a
 * score and whether they are in the circuit), which `Graph.from_json` of EAP-IG reads.
 */

import { fileError, quoted, shownJson } from '../../weights/checks/messages.js';
import { duplicateKey, parseJson } from '../../weights/checks/text.js';
import type { EdgeGraph, GraphShape } from './edge-graph.js';

/** What a file says of edges: by number (ours) or by name (EAP-IG's). */
export interface ReadEdges {
  readonly shape: GraphShape;
  readonly indices?: readonly number[];
  /** `input->a0.h1<q>` */
  readonly names?: readonly string[];
  readonly scores: readonly number[];
  readonly meta: Readonly<Record<string, unknown>>;
  /** Of each edge, where the file says it. */
  readonly inGraph?: readonly boolean[];
}

const FORMAT = 'glassbox edges';
const WHAT = 'EdgeList.fromJson';
/** Heads of all layers; more are a mistake. */
const MOST_HEADS = 100_000;

/** Reads either format. @throws when it is neither, or damaged. */
export function readEdges(text: string): ReadEdges {
  const read = parseJson(text, WHAT) as Record<string, unknown> | null;
  const twice = duplicateKey(text, 2);
  if (twice !== undefined) throw fileError(WHAT, `${quoted(twice)} is there twice`);
  if (isObject(read) && isObject(read.cfg) && isObject(read.edges)) return readEapIg(read.cfg, read.edges);
  if (!isObject(read) || read.format !== FORMAT)
    throw fileError(
      WHAT,
      'neither edges that toJson has written nor a circuit of EAP-IG (cfg, nodes, edges)',
    );
  if (read.version !== 1)
    throw fileError(WHAT, `version ${shownJson(read.version)}, and this Glassbox reads version 1`);
  const { shape, indices, scores, meta = {} } = read;
  if (!Array.isArray(indices) || !Array.isArray(scores) || !isObject(meta) || !isObject(shape))
    throw fileError(WHAT, 'indices, scores, shape or meta are missing; the file is damaged');
  const bad = [
    ...indices.filter((i) => !Number.isSafeInteger(i) || i < 0),
    ...scores.filter((s) => !isScore(s)),
  ];
  if (bad.length) throw fileError(WHAT, `${shownJson(bad[0])} is no edge or score; the file is damaged`);
  if (indices.length !== scores.length)
    throw fileError(WHAT, `${scores.length} scores for ${indices.length} edges; the file is damaged`);
  return {
    shape: { ...shapeOf(shape.nLayers, shape.nHeads, shape.attnOnly === true), ...unusual(shape) },
    indices,
    scores: scores.map(Number),
    meta,
  };
}

function readEapIg(cfg: Record<string, unknown>, edges: Record<string, unknown>): ReadEdges {
  const names = Object.keys(edges);
  const each = names.map((name) => {
    const edge = edges[name];
    if (!isObject(edge) || !isScore(edge.score) || typeof edge.in_graph !== 'boolean')
      throw fileError(WHAT, `edge ${quoted(name)} is ${shownJson(edge)}: { score, in_graph } is needed`);
    return { score: Number(edge.score), in: edge.in_graph };
  });
  return {
    shape: {
      ...shapeOf(cfg.n_layers, cfg.n_heads, false),
      ...(cfg.parallel_attn_mlp === true && { parallelAttnMlp: true }),
    },
    names,
    scores: each.map((edge) => edge.score),
    inGraph: each.map((edge) => edge.in),
    meta: { format: 'EAP-IG', ...(Number.isInteger(cfg.d_model) && { dModel: cfg.d_model }) },
  };
}

function shapeOf(nLayers: unknown, nHeads: unknown, attnOnly: boolean): ReadEdges['shape'] {
  const isCount = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) > 0;
  if (!isCount(nLayers) || !isCount(nHeads) || nLayers * nHeads > MOST_HEADS)
    throw fileError(WHAT, `${shownJson(nLayers)} layers of ${shownJson(nHeads)} heads are no model`);
  return { nLayers, nHeads, attnOnly };
}

/** Shared keys and values, and parallel blocks. */
function unusual({ nHeads, nKeyValueHeads: n, parallelAttnMlp }: Record<string, unknown>) {
  if (
    n !== undefined &&
    !(Number.isSafeInteger(n) && (n as number) > 0 && (nHeads as number) % (n as number) === 0)
  )
    throw fileError(WHAT, `${shownJson(n)} heads of keys for ${shownJson(nHeads)} heads are no model`);
  return {
    ...(n !== undefined && { nKeyValueHeads: n as number }),
    ...(parallelAttnMlp === true && { parallelAttnMlp: true }),
  };
}

/** Writes our own format. */
export function edgesText(
  shape: ReadEdges['shape'],
  indices: ArrayLike<number>,
  scores: ArrayLike<number>,
  meta: Readonly<Record<string, unknown>>,
): string {
  const plain = Array.from(scores, (s) => (Number.isFinite(s) ? s : String(s)));
  return `${JSON.stringify({ format: FORMAT, version: 1, shape, meta, indices: Array.from(indices), scores: plain })}\n`;
}

/**
 * Writes EAP-IG's format: every edge of the graph, those that are not in the list with score 0.
 * @param inGraph which edges are in the circuit, by number
 */
export function eapIgText(
  graph: EdgeGraph,
  { nLayers, nHeads, parallelAttnMlp = false }: ReadEdges['shape'],
  score: ReadonlyMap<number, number>,
  inGraph: ReadonlySet<number>,
  dModel: unknown,
): string {
  const used = new Set<string>();
  const edges: Record<string, { score: number; in_graph: boolean }> = {};
  for (let e = 0; e < graph.count; e++) {
    const [from, to] = graph.ends(e);
    const [sender, receiver] = [graph.senders[from].label, graph.receivers[to].label];
    const value = score.get(e) ?? 0;
    if (!Number.isFinite(value))
      throw new Error(`edge ${sender}->${receiver} has the score ${value}, which JSON does not have`);
    edges[`${sender}->${receiver}`] = { score: value, in_graph: inGraph.has(e) };
    if (inGraph.has(e)) for (const label of [sender, receiver]) used.add(label.replace(/<.>$/, ''));
  }
  const labels = [...graph.senders.map((node) => node.label), 'logits'];
  const nodes = Object.fromEntries(labels.map((label) => [label, { in_graph: used.has(label) }]));
  const cfg = {
    n_layers: nLayers,
    n_heads: nHeads,
    parallel_attn_mlp: parallelAttnMlp,
    d_model: dModel ?? null,
  };
  return `${JSON.stringify({ cfg, nodes, edges })}\n`;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** JSON has no infinities; they are texts there. */
const isScore = (value: unknown): boolean =>
  typeof value === 'number' || value === 'NaN' || value === 'Infinity' || value === '-Infinity';
