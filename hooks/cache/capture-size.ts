/** How large what a run is to keep will be, before it runs. */

import { CAPTURE_BYTES } from '../../engine/budgets.js';
import type { RowInput } from '../../engine/transformer/batch.js';
import type { LayerRange } from '../input/input.js';
import type { Runnable } from '../input/model.js';
import { matchPoints, type NameFilter } from '../input/names.js';
import type { PosSlice } from '../run/positions.js';

/**
 * @param name of the function, for messages
 * @throws when what is kept needs more than `maxBytes`: the error says how much, and what would fit
 */
export function checkCaptureSize(
  { points, config }: Pick<Runnable, 'points' | 'config'>,
  inputs: readonly RowInput[],
  layers: LayerRange,
  {
    names,
    pos,
    maxBytes = CAPTURE_BYTES,
  }: { readonly names?: NameFilter; readonly pos?: PosSlice; readonly maxBytes?: number },
  name: string,
): void {
  const rows = inputs.map(({ tokens, prefix }) => {
    const length = typeof tokens === 'number' ? tokens : tokens.length;
    return { queries: kept(pos, length), keys: length + (prefix?.length ?? 0) };
  });
  const found = names === undefined ? points.always.map((n) => points.get(n)!) : matchPoints(names, points);
  let [count, plain, patterns] = [0, 0, 0];
  for (const { layer, pattern, heads, width } of found) {
    if (layer !== null && (layer < layers.from || layer >= (layers.to ?? config.nLayers))) continue;
    count++;
    for (const { queries, keys } of rows) {
      if (pattern) patterns += 4 * (heads ?? 1) * queries * keys;
      else plain += 4 * (heads ?? 1) * width * queries;
    }
  }
  const bytes = plain + patterns;
  if (bytes <= maxBytes) return;
  const positions = rows.reduce((n, { queries }) => n + queries, 0);
  const less =
    patterns > 0 && plain <= maxBytes
      ? `without patterns and scores it is ${size(plain)} (attentionPatterns reads parts of them)`
      : `a part of it fits: some names, or pos`;
  throw new Error(
    `${name}: ${count} hook points at ${positions} positions need ${size(bytes)}, and maxBytes is ${size(maxBytes)}: give names ('resid_post') or pos; ${less}`,
  );
}

/** How many of a row's positions are kept. */
function kept(pos: PosSlice | undefined, length: number): number {
  if (pos === undefined) return length;
  if (typeof pos === 'number') return 1;
  const [start, end] = pos.map((p) => (p < 0 ? p + length : p));
  return Math.max(0, Math.min(end, length) - start);
}

/** `3.8 GiB` */
const size = (bytes: number): string =>
  bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
