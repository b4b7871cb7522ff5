/** A figure of curves: one a series, with bands. */

import { is, needed, options, signatures } from '../../hooks/input/check.js';
import type { LabelledData } from '../results/result.js';
import { drawnFigure, type Figure } from './draw/drawing.js';
import { linesSvg } from './draw/lines-svg.js';
import { type LinesOptions, lineLines, lines } from './lines.js';

/** Options of `curveFigure`. */
export interface CurveOptions extends LinesOptions {
  readonly title: string;
  /** How to read it, a sentence or two. */
  readonly about?: string;
  /** Below the plot, e.g. what the bands are. */
  readonly note?: string;
}

const CURVE = options<CurveOptions>({
  title: needed(is.text),
  about: is.text,
  note: is.text,
  band: is.labelled,
  y: is.text,
  x: is.text,
});

const takes = signatures({
  curveFigure: { result: is.labelled, options: CURVE },
});

/**
 * Curves of a result of axes [x] or [series, x], e.g. average effects by token role, or the logit lens over
 * half layers.
 * @throws when the result has more axes, or the band another shape.
 */
export const curveFigure = takes.curveFigure(function curveFigure(
  result: LabelledData,
  { title, about, note, ...options }: CurveOptions,
): Figure {
  const plot = lines(result, options);
  return drawnFigure({
    title,
    about,
    meta: result.meta,
    svg: (frame) => linesSvg(plot, { ...frame, heading: title, note }),
    lines: (terminal) => lineLines(plot, terminal),
  });
});
