/** A colour bar. */

import { hex, type Scale } from '../../interp/plots/colour.js';
import { h } from './dom.js';

/** The two themes' scales. */
export interface Scales {
  readonly light: Scale;
  readonly dark: Scale;
}

/** From −1 to 1; what 0 and 1 mean. */
export function legend(scales: Scales, zero: string, one: string): HTMLElement {
  const stops = (scale: Scale, from: number) =>
    Array.from({ length: 9 }, (_, i) => hex(scale(from + ((1 - from) * i) / 8))).join(',');
  const style = `--stops-light:${stops(scales.light, -1)};--stops-dark:${stops(scales.dark, -1)}`;
  return h(
    'div',
    { class: 'legend' },
    h('span', {}, '−1'),
    h('div', { class: 'legend-bar', style, 'aria-hidden': 'true' }),
    h('span', {}, '1'),
    h('span', { class: 'legend-text' }, `${zero} · ${one}`),
  );
}
