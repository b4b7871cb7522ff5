/** A line chart of a few curves over the layers, as wide as its place. */

import { hex, lineColour } from '../../interp/figures/draw/colour.js';
import { visibleLabel } from '../../interp/results/text.js';
import { fill, h } from './dom.js';
import { hideTip, showTip } from './tip.js';

/** A curve. */
export interface Curve {
  readonly name: string;
  /** Of its colour. */
  readonly colour: number;
  readonly values: readonly number[];
}

/** What a chart shows. */
export interface ChartData {
  readonly curves: readonly Curve[];
  /** One an x. */
  readonly labels: readonly string[];
  /** 0–1, the height of a value. */
  height(value: number): number;
  /** Values with lines across. */
  readonly ticks: readonly number[];
  text(value: number): string;
  /** For screen readers. */
  readonly label: string;
  /** An x is pointed at; null: none is. */
  preview(x: number | null): void;
}

/** A chart on the page. */
export interface Chart {
  readonly element: HTMLElement;
  draw(data: ChartData): void;
  /** A vertical line at x. */
  mark(x: number | null): void;
}

const HEIGHT = 168;
const PAD = { left: 44, right: 28, top: 10, bottom: 24 };
const SVG = 'http://www.w3.org/2000/svg';

type Attributes = Readonly<Record<string, string | number>>;

function svg(tag: string, attributes: Attributes, text = ''): SVGElement {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  if (text) element.textContent = text;
  return element;
}

/** The colour of a curve in both themes, for a `style` attribute. */
export const curveStyle = (i: number): string =>
  `--l:${hex(lineColour(i, 'light'))};--d:${hex(lineColour(i, 'dark'))}`;

/** Makes an empty chart. */
export function chart(): Chart {
  const element = h('div', { class: 'chart' });
  let data: ChartData | null = null;
  let marked: number | null = null;
  let width = 0;
  const draw = () => {
    if (!data || !width) return;
    const { curves, labels, height, ticks, text, label } = data;
    const [w, tall] = [width - PAD.left - PAD.right, HEIGHT - PAD.top - PAD.bottom];
    const px = (i: number) => PAD.left + (labels.length > 1 ? (w * i) / (labels.length - 1) : w / 2);
    const py = (value: number) => PAD.top + tall * (1 - height(value));
    const step = Math.ceil((labels.length * 52) / w);
    const picture = svg('svg', { width, height: HEIGHT, role: 'img', 'aria-label': label });
    for (const v of ticks) {
      picture.append(
        svg('line', { class: 'rule', x1: PAD.left, x2: width - PAD.right, y1: py(v), y2: py(v) }),
        svg('text', { x: PAD.left - 8, y: py(v) + 3.5, 'text-anchor': 'end' }, text(v)),
      );
    }
    labels.forEach((name, i) => {
      if (i % step === 0)
        picture.append(svg('text', { x: px(i), y: HEIGHT - 6, 'text-anchor': 'middle' }, visibleLabel(name)));
    });
    if (marked !== null)
      picture.append(
        svg('line', {
          ...{ class: 'cursor', x1: px(marked), x2: px(marked) },
          ...{ y1: PAD.top, y2: HEIGHT - PAD.bottom },
        }),
      );
    for (const { values, colour } of curves) {
      const points = values.map((v, i) => `${px(i).toFixed(1)} ${py(v).toFixed(1)}`);
      const style = curveStyle(colour);
      picture.append(svg('path', { class: 'curve', d: `M${points.join('L')}`, style }));
      values.forEach((v, i) => {
        const r = i === marked ? 4 : 2.4;
        picture.append(svg('circle', { class: 'dot', cx: px(i), cy: py(v), r, style }));
      });
    }
    fill(element, picture);
  };
  const nearest = (event: PointerEvent): number => {
    const x = event.clientX - element.getBoundingClientRect().left - PAD.left;
    const n = data!.labels.length;
    const i = Math.round((x / (width - PAD.left - PAD.right)) * (n - 1));
    return Math.max(0, Math.min(n - 1, i));
  };
  let pointed: number | null = null;
  const point = (x: number | null) => {
    if (x === pointed) return;
    pointed = x;
    data?.preview(x);
  };
  element.addEventListener('pointermove', (event) => {
    if (!data) return;
    const x = nearest(event);
    point(x);
    const { labels, curves, text } = data;
    const beside = element.querySelector('.cursor') ?? element;
    const lines = curves.map(({ name, values }) => [name, text(values[x])] as const);
    showTip(beside, { title: visibleLabel(labels[x]), lines });
  });
  element.addEventListener('pointerleave', () => {
    point(null);
    hideTip();
  });
  new ResizeObserver(() => {
    const now = Math.floor(element.clientWidth);
    if (now === width) return;
    width = now;
    draw();
  }).observe(element);
  return {
    element,
    draw(next) {
      data = next;
      draw();
    },
    mark(x) {
      if (x === marked) return;
      marked = x;
      draw();
    },
  };
}
