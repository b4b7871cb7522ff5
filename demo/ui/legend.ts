/** A colour bar. */

import { hex, type Scale } from '../../interp/figures/draw/colour.js';
import { h } from './dom.js';

/** The two themes' scales. */
export interface Scales {
  readonly light: Scale;
  readonly dark: Scale;
}

/** What a colour bar may be told. */
export interface LegendOptions {
  /** Where the scale begins: −1 (default) or 0. It ends at 1. */
  readonly from?: -1 | 0;
  /** What stands at its ends. */
  readonly ends?: readonly [low: string, high: string];
}

/** The bar, and what it means. */
export function legend(scales: Scales, meaning: string, options: LegendOptions = {}): HTMLElement {
  const { from = -1, ends = [from ? '−1' : '0', '1'] } = options;
  const stops = (scale: Scale) =>
    Array.from({ length: 9 }, (_, i) => hex(scale(from + ((1 - from) * i) / 8))).join(',');
  const style = `--stops-light:${stops(scales.light)};--stops-dark:${stops(scales.dark)}`;
  return h(
    'div',
    { class: 'legend' },
    h('span', {}, ends[0]),
    h('div', { class: 'legend-bar', style, 'aria-hidden': 'true' }),
    h('span', {}, ends[1]),
    h('span', { class: 'legend-text' }, meaning),
  );
}
