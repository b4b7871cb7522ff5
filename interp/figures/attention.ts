/**
 * Attention on a page: the prompt tinted by where a head looks, its pattern as a heat map, and a thumbnail of
 * every head. The figure is drawn by the page's script (page-script.ts) from the numbers in it; the heat map
 * is there without.
 */

import { is, signatures } from '../../hooks/input/check.js';
import type { LabelledData } from '../results/result.js';
import { escapeHtml, jsonForScript, splitLabel } from '../results/text.js';
import { hex, hues, inkOn, sequential } from './draw/colour.js';
import { heatmapSvg } from './draw/svg.js';
import { heatmap } from './heatmap.js';
import { tokenStrip } from './page/html.js';

const takes = signatures({
  attentionFigure: {
    value: is.having(
      '{ pattern, layer, head, layers, heads, all }',
      'pattern',
      'layer',
      'head',
      'layers',
      'heads',
      'all',
    ),
  },
});

/** What `attentionFigure` draws. */
export interface AttentionFigure {
  /** [query, key] of the head that is shown first. */
  readonly pattern: LabelledData;
  readonly layer: number;
  readonly head: number;
  readonly layers: number;
  readonly heads: number;
  /** [layer, head, query, key] of all heads, to choose from; null: only the one. */
  readonly all: Float32Array | null;
}

/** Colours of attention from 0 to 1. */
const STEPS = 65;

/** The figure; a page holds one. */
export const attentionFigure = takes.attentionFigure(function attentionFigure({
  pattern,
  layer,
  head,
  layers,
  heads,
  all,
}: AttentionFigure): string {
  const map = heatmap(pattern, { scale: 'sequential', hue: hues.attention, max: 1 });
  const n = map.rows.length;
  const side = Math.max(6, Math.min(23, Math.floor(360 / n)));
  const svg = heatmapSvg(map, {
    cell: [side, side],
    title: `head ${layer}.${head}`,
    captions: ['from', 'to'],
    numbers: false,
    skip: (query, key) => key > query, // the future, which no token sees
  });
  const name = `<span class="head-name">${layer}.${head}</span>`;
  const tokens = map.columns.map((label) => splitLabel(label)[1]);
  const data = {
    labels: map.columns,
    layer,
    head,
    heads,
    single: all === null,
    ...colours(),
    patterns: base64(Uint16Array.from(all ?? pattern.values, (p) => Math.round(p * 65535))),
  };
  return `<div id="attention">${tokenStrip(tokens)}
<p class="note">from <code class="from-label">${escapeHtml(map.rows[n - 1])}</code></p>
<div class="side"><div><h3>Head ${name}: from each token (row) to each earlier one</h3><div class="scroll">${svg}</div></div>
${all ? `<div><h3>All heads: click one</h3><div class="scroll">${headGrid(layers, heads)}</div></div>` : ''}</div>
<script type="application/json" id="attention-data">${jsonForScript(data)}</script></div>`;
});

function colours(): Record<'light' | 'dark' | 'inkLight' | 'inkDark', string[]> {
  const ramp = (theme: 'light' | 'dark') => {
    const scale = sequential(hues.attention, theme);
    return Array.from({ length: STEPS }, (_, i) => scale(i / (STEPS - 1)));
  };
  const [light, dark] = [ramp('light'), ramp('dark')];
  return {
    light: light.map(hex),
    dark: dark.map(hex),
    inkLight: light.map(inkOn).map(hex),
    inkDark: dark.map(inkOn).map(hex),
  };
}

/** Little-endian bytes of 16-bit numbers in base64. */
function base64(values: Uint16Array): string {
  let binary = '';
  for (const v of values) binary += String.fromCharCode(v & 255, v >> 8);
  return btoa(binary);
}

/** A button with a small pattern for each head; a row is a layer. */
function headGrid(layers: number, heads: number): string {
  const size = Math.max(16, Math.min(64, Math.floor(380 / heads) - 5));
  const button = (l: number, h: number) =>
    `<button type="button" data-layer="${l}" data-head="${h}" aria-label="head ${l}.${h}" data-tip="head ${l}.${h}"><canvas></canvas></button>`;
  const rows = Array.from({ length: layers }, (_, l) => {
    const buttons = Array.from({ length: heads }, (_, h) => button(l, h));
    return `<span class="layer">L${l}</span>${buttons.join('')}`;
  });
  return `<div class="heads" style="--thumb:${size}px;grid-template-columns:auto repeat(${heads},auto)">${rows.join('')}</div>`;
}
