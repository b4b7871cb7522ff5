/**
 * Axes of results: what their entries are called. A method of one's own makes them so that figures know them.
 */

import { is, optional, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import { positionLabels } from './provenance.js';
import type { Axis } from './result.js';

const takes = signatures({
  layerAxis: { model: is.model, layers: optional(is.numbers) },
  headAxis: { model: is.model, heads: optional(is.numbers) },
  posAxis: { model: is.model, tokens: is.tokens },
  axis: { name: is.text, labels: is.texts },
});

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i);

/** `L0`, `L1`, …: all layers of a model, or those listed. */
export const layerAxis = takes.layerAxis(function layerAxis(
  model: Model,
  layers: readonly number[] = upTo(model.config.nLayers),
): Axis<'layer'> {
  return { name: 'layer', labels: layers.map((l) => `L${l}`) };
});

/** `H0`, `H1`, …: all heads of a layer, or those listed. */
export const headAxis = takes.headAxis(function headAxis(
  model: Model,
  heads: readonly number[] = upTo(model.config.nHeads),
): Axis<'head'> {
  return { name: 'head', labels: heads.map((h) => `H${h}`) };
});

/** `0:<|endoftext|>`, `1:When`, …: the positions of a prompt. */
export const posAxis = takes.posAxis(function posAxis(model: Model, tokens: readonly number[]): Axis<'pos'> {
  return { name: 'pos', labels: positionLabels(model, tokens) };
});

/** An axis of any other kind: `axis('metric', ['loss', 'accuracy'])`. */
export const axis = takes.axis(function axis<const Name extends string>(
  name: Name,
  labels: readonly string[],
): Axis<Name> {
  return { name, labels };
});
