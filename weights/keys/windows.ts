/** Which layers have a window, in `config.json`. */

import type { Config } from '../config.js';
import type { Given } from './given.js';

type Windows = NonNullable<Config['windows']>;

/**
 * A window a layer: from `layer_types` where the file has it, else by the family's own rule.
 * @param window positions that a query of a layer with a window sees; null: no layer has one
 * @throws for layers of other kinds than `full_attention` and `sliding_attention`
 */
export function layerWindows(
  c: Given,
  nLayers: number,
  window: number | null,
  slides: (layer: number) => boolean,
): Windows {
  const types = c.or<unknown>('layer_types', null);
  if (types !== null && (!Array.isArray(types) || types.length !== nLayers))
    throw c.wrong('layer_types', types, `a list of ${nLayers}, one a layer`);
  return Array.from({ length: nLayers }, (_, layer) => {
    const type = Array.isArray(types) ? types[layer] : null;
    if (type !== null && type !== 'full_attention' && type !== 'sliding_attention')
      throw c.unsupported(
        'layer_types',
        type,
        'layers are of kind "full_attention" or "sliding_attention"; no part does another',
      );
    return (type === null ? slides(layer) : type === 'sliding_attention') ? window : null;
  });
}

/** `layer_types`, as it is written. */
export const layerTypes = ({ windows, nLayers }: Config): string[] =>
  Array.from({ length: nLayers }, (_, l) =>
    (windows?.[l] ?? null) === null ? 'full_attention' : 'sliding_attention',
  );

/** The window of those layers that have one; null where none has. */
export const commonWindow = ({ windows }: Config): number | null => windows?.find((w) => w !== null) ?? null;

/** Qwen's: layers from `max_window_layers` on have a window, if `use_sliding_window` says so. */
export const qwenWindows = (c: Given, nLayers: number): Windows => {
  const first = c.number('max_window_layers', 28)!;
  const window =
    c.or<unknown>('use_sliding_window', false) === true ? c.number('sliding_window', 4096) : null;
  return layerWindows(c, nLayers, window, (layer) => layer >= first);
};

/** What `qwenWindows` reads. */
export const qwenWindowKeys = (config: Config): Record<string, unknown> => ({
  use_sliding_window: config.windows !== null,
  sliding_window: commonWindow(config),
  layer_types: layerTypes(config),
});
