/**
 * The maps of TransformerLens' Attribution_Patching_Demo (Nanda 2023), by the names of its functions. Each is
 * Σ gradient · (clean − corrupted), normalised, 0 = the corrupted run and 1 = the clean run; the first
 * differs (attribution-attention.ts).
 *
 *     create_attention_attr             attentionAttribution      [prompt, layer, head, query, key]
 *     attr_patch_residual               attributeResidual         [component, pos]: 0_pre, 0_mid, 1_pre, …, final_post
 *     attr_patch_layer_out              attributeLayerOutputs     [component, pos]: embed, pos_embed, 0_attn_out, …
 *     attr_patch_head_out               attributeHeadOutputs      [head, pos]: L0H0, L0H1, …
 *     attr_patch_head_vector            attributeHeadVectors      [vector, head, pos]: k, q, v, z
 *     attr_patch_head_pattern           attributeHeadPatterns     [head, query, key]
 *     attr_patch_head_path              headPathAttribution       [receiver, sender, pos] (head-paths.ts)
 *     get_attr_patch_block_every …      attributeBlocks, attributeHeads, attributeHeadsByPos
 *
 * `attributionMaps` has all of them but the attention from one pair of runs.
 */

import { pointName } from '../../engine/transformer/points.js';
import { is, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import { forReaders, readersOf } from '../patching/shared-columns.js';
import { positionLabels } from '../results/provenance.js';
import { type Axis, type Labelled, labelled } from '../results/result.js';
import { about, blocksOf, headsByPosOf, headsOf, using } from './attribution-patching.js';
import { ATTRIBUTION, type AttributionPair, type AttributionRuns } from './attribution-runs.js';
import { sumsAlong, withPrompts } from './attribution-sites.js';

const takes = signatures({
  headNames: { config: is.config },
  attributeResidual: { model: is.model, options: ATTRIBUTION },
  attributeLayerOutputs: { model: is.model, options: ATTRIBUTION },
  attributeHeadOutputs: { model: is.model, options: ATTRIBUTION },
  attributeHeadVectors: { model: is.model, options: ATTRIBUTION },
  attributeHeadPatterns: { model: is.model, options: ATTRIBUTION },
  attributionMaps: { model: is.model, options: ATTRIBUTION },
});

/**
 * States of the residual stream by position: TransformerLens' accumulated_resid(-1, incl_mid=True),
 * attributed.
 */
export const attributeResidual = takes.attributeResidual(
  async (model: Model, options: AttributionPair): Promise<Labelled> =>
    using(model, options, hooksIn(streams(model)), residualOf),
);

/** Embeddings, and what attention layers and MLPs write, by position: decompose_resid(-1), attributed. */
export const attributeLayerOutputs = takes.attributeLayerOutputs(
  async (model: Model, options: AttributionPair): Promise<Labelled> =>
    using(model, options, hooksIn(outputs(model)), layerOutputsOf),
);

/**
 * What heads write, by position: stack_head_results(-1), attributed. It is read off z, of which it is a
 * linear map.
 */
export const attributeHeadOutputs = takes.attributeHeadOutputs(
  async (model: Model, options: AttributionPair): Promise<Labelled> =>
    using(model, options, vectorNames(model, ['z']), headOutputsOf),
);

/** Keys, queries, values and z of each head, by position. */
export const attributeHeadVectors = takes.attributeHeadVectors(
  async (model: Model, options: AttributionPair): Promise<Labelled> =>
    using(model, options, vectorNames(model, VECTORS), headVectorsOf),
);

/** Each number of each head's pattern. */
export const attributeHeadPatterns = takes.attributeHeadPatterns(
  async (model: Model, options: AttributionPair): Promise<Labelled> =>
    using(model, options, vectorNames(model, ['pattern']), headPatternsOf),
);

/** All maps of one pair of prompts. */
export interface AttributionMaps {
  readonly residual: Labelled;
  readonly layerOutputs: Labelled;
  readonly headOutputs: Labelled;
  readonly headVectors: Labelled;
  readonly headPatterns: Labelled;
  readonly blocks: Labelled;
  readonly heads: Labelled;
  readonly headsByPos: Labelled;
}

/** All maps of the demo that compare two prompts, from two forward passes and one backward pass. */
export const attributionMaps = takes.attributionMaps(
  async (model: Model, options: AttributionPair): Promise<AttributionMaps> =>
    using(model, options, mapNames(model), mapsOf),
);

/** The hook points that `mapsOf` needs. */
export const mapNames = (model: Model): string[] => [
  ...hooksIn(streams(model)),
  ...hooksIn(outputs(model)),
  ...vectorNames(model, [...VECTORS, 'pattern']),
];

/** `attributionMaps` of runs that are there. */
export const mapsOf = async (runs: AttributionRuns): Promise<AttributionMaps> => ({
  residual: await residualOf(runs),
  layerOutputs: await layerOutputsOf(runs),
  headOutputs: await headOutputsOf(runs),
  headVectors: await headVectorsOf(runs),
  headPatterns: await headPatternsOf(runs),
  blocks: await blocksOf(runs),
  heads: await headsOf(runs),
  headsByPos: await headsByPosOf(runs),
});

// ---- of runs that are there
// ----------------------------------------------------------------------------------------

/** `attributeResidual` of runs that hold its hook points. */
const residualOf = (runs: AttributionRuns) => components(runs, streams(runs.model), 'residual stream');

const layerOutputsOf = (runs: AttributionRuns) => components(runs, outputs(runs.model), 'layer outputs');

const headOutputsOf = async (runs: AttributionRuns): Promise<Labelled> => {
  const values = await sumsAlong(runs, vectorNames(runs.model, ['z']), { order: ['point', 'head', 'pos'] });
  return map(runs, values, [heads(runs.model), positions(runs, 'pos')], 'head outputs');
};

const headVectorsOf = async (runs: AttributionRuns): Promise<Labelled> => {
  const order = ['point', 'head', 'pos'];
  const pos = positions(runs, 'pos');
  const inner = pos.labels.length * (runs.metric.per === 'prompt' ? runs.pair.changed.length : 1);
  const rows = [];
  for (const x of VECTORS) {
    const values = await sumsAlong(runs, vectorNames(runs.model, [x]), { order });
    rows.push(forReaders(values, readersOf(runs.model, x), inner));
  }
  const vectors = { name: 'vector', labels: [...VECTORS] };
  return map(runs, Float32Array.from(rows.flat()), [vectors, heads(runs.model), pos], 'head vectors');
};

const headPatternsOf = async (runs: AttributionRuns): Promise<Labelled> => {
  const order = ['point', 'head', 'query', 'key'];
  const values = await sumsAlong(runs, vectorNames(runs.model, ['pattern']), { order });
  return map(runs, values, [heads(runs.model), positions(runs, 'query'), positions(runs, 'key')], 'patterns');
};

// ---- inside
// --------------------------------------------------------------------------------------------------------

/** In the order of TransformerLens' demo. */
const VECTORS = ['k', 'q', 'v', 'z'] as const;

/** A row of a map: what it is called, and its hook point. */
type Component = readonly [label: string, name: string];

const layersOf = ({ config }: Model) => Array.from({ length: config.nLayers }, (_, l) => l);

/**
 * Those rows whose hook points the model has: parallel blocks have no `1_mid`, rotary models no `pos_embed`.
 */
const present = ({ points }: Model, rows: readonly Component[]): Component[] =>
  rows.filter(([, name]) => points.get(name));

function streams(model: Model): Component[] {
  const blocks = layersOf(model).flatMap((l): Component[] => [
    [`${l}_pre`, pointName('hook_resid_pre', l)],
    [`${l}_mid`, pointName('hook_resid_mid', l)],
  ]);
  const last = pointName('hook_resid_post', model.config.nLayers - 1);
  return present(model, [...blocks, ['final_post', last]]);
}

function outputs(model: Model): Component[] {
  const blocks = layersOf(model).flatMap((l): Component[] => [
    [`${l}_attn_out`, pointName('hook_attn_out', l)],
    [`${l}_mlp_out`, pointName('hook_mlp_out', l)],
  ]);
  return present(model, [['embed', 'hook_embed'], ['pos_embed', 'hook_pos_embed'], ...blocks]);
}

const hooksIn = (rows: readonly Component[]): string[] => rows.map(([, name]) => name);

/** Hook points of heads, all layers of the first, then all of the second … */
const vectorNames = (model: Model, vectors: readonly ((typeof VECTORS)[number] | 'pattern')[]): string[] =>
  vectors.flatMap((x) => layersOf(model).map((l) => pointName(`attn.hook_${x}`, l)));

async function components(runs: AttributionRuns, rows: readonly Component[], at: string): Promise<Labelled> {
  const axes = [{ name: 'component', labels: rows.map(([label]) => label) }, positions(runs, 'pos')];
  return map(runs, await sumsAlong(runs, hooksIn(rows), { order: ['point', 'pos'] }), axes, at);
}

const map = (runs: AttributionRuns, values: Float32Array, axes: readonly Axis[], at: string): Labelled =>
  labelled(values, withPrompts(runs, axes), about(runs, { at }, values.length));

/** Heads of all layers in one axis. */
const heads = (model: Model): Axis => ({ name: 'head', labels: headNames(model.config) });

/** `L0H0`, `L0H1`, … */
export const headNames = takes.headNames(
  ({ nLayers, nHeads }: { nLayers: number; nHeads: number }): string[] =>
    Array.from({ length: nLayers * nHeads }, (_, i) => `L${Math.floor(i / nHeads)}H${i % nHeads}`),
);

/** @throws where prompts have no common positions. */
function positions({ model, pair }: AttributionRuns, name: string): Axis {
  const { length } = pair.changed[0];
  if (pair.changed.some((row) => row.length !== length))
    throw new Error(
      'attribution: prompts of different lengths have no common positions: take prompts of one length',
    );
  return { name, labels: positionLabels(model, pair.changed[0], pair.from[0]) };
}
