/** The scale of heat maps: a ramp with its numbers and what they mean. */

import { exact } from '../../results/text.js';
import type { Heatmap } from '../heatmap.js';
import { hex } from './colour.js';
import { round, type SvgTheme, small, textWidth, ticks, tint } from './svg-parts.js';

const RAMP = 192;
const STEPS = 48;
const STRIPE = 9;

/** A drawn colour bar; it begins at (0, 0). */
export interface ColourBar {
  readonly body: string;
  readonly width: number;
  readonly height: number;
}

/**
 * A ramp over the common scale of the maps, with numbers below and the meaning beside. Maps of another hue
 * have a stripe of their own.
 */
export function colourBar(maps: readonly Heatmap[], meaning: string, theme?: SvgTheme): ColourBar {
  const stripes = [...new Map(maps.map((map) => [hex(map.colour(map.max, 'light')), map])).values()];
  const [{ min, max }] = stripes;
  const at = (value: number) => (RAMP * (value - min)) / (max - min);
  const out = stripes.flatMap((map, row) =>
    Array.from({ length: STEPS }, (_, i) => {
      const value = min + ((max - min) * (i + 0.5)) / STEPS;
      const place = `x="${(i * RAMP) / STEPS}" y="${row * STRIPE}" width="${RAMP / STEPS + 0.5}" height="${STRIPE - 1}"`;
      return `<rect class="f" ${place} ${tint('fill', (t) => map.colour(value, t), theme)}/>`;
    }),
  );
  const low = textWidth(exact(min), 10);
  const high = textWidth(exact(max), 10);
  const inner = ticks(min, max, 4).filter((v) => {
    const half = textWidth(exact(v), 10) / 2 + 5;
    return at(v) - half > low && at(v) + half < RAMP - high;
  });
  const height = stripes.length * STRIPE + 12;
  out.push(small(exact(min), 0, height - 1, 'start'), small(exact(max), RAMP, height - 1, 'end'));
  for (const v of inner) out.push(small(exact(v), round(at(v)), height - 1, 'middle'));
  const text = meaning && small(meaning, RAMP + 12, (stripes.length * STRIPE) / 2 + 3, 'start');
  return { body: out.join('') + text, width: RAMP + 12 + textWidth(meaning, 10), height: height + 4 };
}
