/** Parts of a cache as caches of their own: some rows, or one without its batch axis. */

import { axesOf } from '../../engine/shape/axes.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import { indices, type Selection } from '../input/selection.js';
import { type Layout, present, takeRow } from '../run/view.js';
import type { ActivationCache } from './cache.js';

/** Makes an empty cache of the same model. */
type Make = (layout: Layout) => ActivationCache;

/** See `ActivationCache.row`. */
export function rowOf(cache: ActivationCache, i: number, make: Make): ActivationCache {
  const { layout } = cache;
  const row = layout.rows[i];
  if (!row) throw new Error(`row ${i}: this cache has ${cache.batch} rows (0–${cache.batch - 1})`);
  const out = make({
    ...layout,
    rows: [{ ...row, start: 0, block: 0 }],
    equal: true,
    bare: false,
  });
  for (const [name, t] of cache) {
    if (!layout.bare) out.put(name, takeRow(name, t, layout, i).keep());
    else {
      const view = t.reshape([1, ...t.shape]).keep();
      view.named = t.axes && axesOf(['batch', ...t.axes]);
      out.put(name, view);
    }
  }
  return out;
}

/** See `ActivationCache.rows`. */
export function rowsOf(cache: ActivationCache, selection: Selection, make: Make): ActivationCache {
  const which = indices(selection, cache.batch, 'rows');
  if (which.length === 1) return rowOf(cache, which[0], make);
  const { points, rows: all } = cache.layout;
  const { nHeads } = cache.config;
  const chosen = which.map((i) => all[i]);
  const equal = chosen.every((r) => r.length === chosen[0].length && r.position === chosen[0].position);
  let [start, block] = [0, 0];
  const rows = chosen.map(({ length, position }) => {
    const row = { start, length, position, block };
    start += length;
    block += nHeads * length * (position + length);
    return row;
  });
  const layout: Layout = { rows, equal, points };
  const out = make(layout);
  for (const [name, t] of cache) {
    const parts = which.map((i) => takeRow(name, t, cache.layout, i));
    const pattern = points.get(name)?.pattern;
    const each = equal ? parts : parts.map((p) => p.reshape(pattern ? [-1] : p.shape.slice(1)));
    const joined = Tensor.concat(each).keep();
    if (equal) out.put(name, joined);
    else {
      const plain = joined.renamed(null);
      out.put(name, present(name, plain, layout).keep());
      plain.dispose();
      joined.dispose();
    }
    for (const p of new Set([...parts, ...each])) p.dispose();
  }
  return out;
}

/** See `ActivationCache.removeBatch`. */
export function withoutBatch(cache: ActivationCache, make: Make): ActivationCache {
  const { layout, batch } = cache;
  if (batch !== 1)
    throw new Error(
      `removeBatch: this cache has ${batch} rows: take one of them, cache.row(0).removeBatch()`,
    );
  const out = make({ ...layout, equal: false, bare: true });
  for (const [name, t] of cache) {
    const view = layout.bare ? t.alias(null) : t.reshape(t.shape.slice(1));
    view.named = layout.bare ? t.named : t.axes && axesOf(t.axes.slice(1));
    out.put(name, view.keep());
  }
  return out;
}
