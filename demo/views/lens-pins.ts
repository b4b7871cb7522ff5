/** Tokens that are followed through the layers: their curves, and a list of them. */

import type { LensCurve } from '../../interp/figures/lens.js';
import type { LensResult } from '../../interp/logits/lens.js';
import { percent, visible, visibleLabel } from '../../interp/results/text.js';
import { type ChartData, chart, curveStyle } from '../ui/chart.js';
import { fill, h } from '../ui/dom.js';

/** A token at a position. */
export interface Pin {
  readonly token: number;
  readonly text: string;
  readonly pos: number;
  /** Of its curve. */
  readonly colour: number;
}

/** What curves show. */
export type PinMeasure = 'prob' | 'rank';

/** The curves with their list. */
export interface PinBoard {
  readonly element: HTMLElement;
  measure(measure: PinMeasure): void;
  /** What the curves show now. */
  readonly shows: PinMeasure;
  /** The curves of a lens, as its figure takes them. */
  curves(lens: LensResult, pins: readonly Pin[]): LensCurve[];
  /** @param row that is pointed at */
  show(lens: LensResult, pins: readonly Pin[], row: number | null): void;
}

/** Makes an empty board. */
export function pinBoard(react: {
  unpin(pin: Pin): void;
  preview(pin: Pin, row: number | null): void;
}): PinBoard {
  const curves = chart();
  const list = h('ul', { class: 'pins', 'aria-label': 'Pinned tokens' });
  let measure: PinMeasure = 'prob';
  let last: readonly [LensResult, readonly Pin[]] | null = null;
  let listed = '';
  const draw = () => {
    if (!last) return;
    const [lens, pins] = last;
    const known = pins.flatMap((pin) => {
      const values = trajectory(lens, pin, measure);
      return values ? [{ pin, values }] : [];
    });
    const name = ({ text, pos }: Pin) => `${visible(text)} after ${visibleLabel(lens.axes[1].labels[pos])}`;
    curves.draw({
      ...scaleOf(measure, Math.max(1, ...known.flatMap((k) => k.values))),
      curves: known.map(({ pin, values }) => ({ name: name(pin), colour: pin.colour, values })),
      labels: lens.axes[0].labels.map((l, i, all) =>
        l === 'final_post' ? `${Math.floor((i - 1) / (all[1] === '0_mid' ? 2 : 1))}_post` : l,
      ),
      label: known
        .map(({ pin, values }) => `${name(pin)}: ${show(values.at(-1)!, measure)} at the end`)
        .join('; '),
      preview: (row) => react.preview(pins[0] ?? { pos: 0 }, row),
    });
    const now = JSON.stringify([pins, measure, known.map((k) => k.values.at(-1))]);
    if (now === listed) return;
    listed = now;
    fill(
      list,
      pins.map((pin) => {
        const end = known.find((k) => k.pin === pin)?.values.at(-1);
        return h(
          'li',
          { style: curveStyle(pin.colour) },
          h('span', { class: 'swatch', 'aria-hidden': 'true' }),
          h('code', {}, visible(pin.text)),
          h('span', { class: 'faint' }, `after ${visibleLabel(lens.axes[1].labels[pin.pos])}`),
          h('span', { class: 'num' }, end === undefined ? '' : show(end, measure)),
          h(
            'button',
            {
              type: 'button',
              'aria-label': `Unpin ${name(pin)}`,
              title: 'Unpin',
              onclick: () => react.unpin(pin),
            },
            '×',
          ),
        );
      }),
    );
  };
  return {
    element: h('div', { class: 'pin-board' }, curves.element, list),
    measure(next) {
      measure = next;
      draw();
    },
    get shows() {
      return measure;
    },
    curves: (lens, pins) =>
      pins.flatMap(({ token, text, pos, colour }) => {
        const values = trajectory(lens, { token, text, pos, colour }, measure);
        const name = `${visible(text)} after ${visibleLabel(lens.axes[1].labels[pos])}`;
        return values ? [{ name, token, pos, colour, values }] : [];
      }),
    show(lens, pins, row) {
      if (last?.[0] !== lens || last[1] !== pins) {
        last = [lens, pins];
        draw();
      }
      curves.mark(row);
    },
  };
}

/** Probabilities or ranks (0 is the top) by layer; null while they are not known. */
function trajectory({ chosen, axes }: LensResult, { token, pos }: Pin, measure: PinMeasure): number[] | null {
  const part = chosen?.[measure];
  const t = part?.axes[0].labels.indexOf(`#${token}`) ?? -1;
  if (!part || t < 0) return null;
  const [layers, n] = axes.map((a) => a.labels.length);
  const from = t * layers * n + pos;
  return Array.from({ length: layers }, (_, l) => part.values[from + l * n]);
}

const show = (value: number, measure: PinMeasure): string =>
  measure === 'prob' ? percent(value) : `rank ${value}`;

/** Probabilities from 0 to 1; ranks from the worst to 0, with one added for their logarithm. */
function scaleOf(measure: PinMeasure, worst: number): Pick<ChartData, 'height' | 'ticks' | 'text'> {
  if (measure === 'prob')
    return {
      height: (v) => v,
      ticks: [0, 0.25, 0.5, 0.75, 1],
      text: (v) => ([0, 0.25, 0.5, 0.75, 1].includes(v) ? `${100 * v}%` : percent(v)),
    };
  const decades = Math.max(1, Math.ceil(Math.log10(worst + 1)));
  return {
    height: (v) => 1 - Math.log10(v + 1) / decades,
    ticks: Array.from({ length: decades + 1 }, (_, i) => (i ? 10 ** i : 0)),
    text: (v) => v.toLocaleString('en'),
  };
}
