/** Vector-Jacobian products of layer norms (ops.ts): see tape.ts. */

import { layernorm } from '../kernels/layernorm.js';
import {
  layernormBackward,
  layernormScaleBackward,
  normalizeBackward,
} from '../kernels/layernorm-backward.js';
import { launched, summed, sumOverRows } from './accumulate.js';
import { withDense } from './launches.js';
import type { Backward, Save } from './tape.js';
import type { Tensor } from './tensor.js';
import type { Norm } from './weights.js';

type Make = (save: Save) => Backward;

/** Of a whole layer norm. Inputs: x, w, b. */
export const layerNormBackward =
  (x: Tensor, norm: Norm | null, eps: number, rms: boolean): Make =>
  (save) => {
    const [own, w] = [save(x), save(norm?.w)];
    const width = x.shape.at(-1)!;
    const rows = x.size / width;
    return (dy, context) => {
      const { constant, wants } = context;
      const { caps } = dy.gpu;
      const o = { rows, width, affine: w !== undefined, eps, rms, frozenScale: constant.has('scale') };
      const dx =
        wants(0) &&
        summed(context, 0, dy, own.shape, w ? [own, w, dy] : [own, dy], (accumulate) =>
          layernormBackward({ ...o, accumulate }, caps),
        );
      const plain = () =>
        launched(
          dy,
          own.shape,
          [own],
          layernorm({ rows, width, affine: false, eps, scaleOut: false, rms }, caps),
        );
      return [dx || null, ...gainAndBias(dy, width, plain, wants, 1)];
    };
  };

/** Gradients of w and b of a layer norm, where they are wanted as inputs i and i + 1. */
function gainAndBias(
  dy: Tensor,
  width: number,
  plain: () => Tensor,
  wants: (i: number) => boolean,
  i: number,
): [Tensor | null, Tensor | null] {
  return [wants(i) ? sumOverRows(dy, width, plain()) : null, wants(i + 1) ? sumOverRows(dy, width) : null];
}

/** Of a layer norm's scale. Input: x. */
export const scaleBackward =
  (x: Tensor, eps: number, rms: boolean): Make =>
  (save) => {
    const own = save(x);
    const width = x.shape.at(-1)!;
    return (dy, context) => {
      if (context.constant.has('scale')) return [null];
      const o = { rows: x.size / width, width, eps, rms };
      const { caps } = dy.gpu;
      return [
        summed(context, 0, dy, own.shape, [own, dy], (accumulate) =>
          layernormScaleBackward({ ...o, accumulate }, caps),
        ),
      ];
    };
  };

/** Of a layer norm whose scale was given. Inputs: x, scale, w, b. */
export const normalizeByBackward =
  (x: Tensor, scale: Tensor, norm: Norm | null, rms: boolean): Make =>
  (save) => {
    const [own, s, w] = [save(x), save(scale), save(norm?.w)];
    const width = x.shape.at(-1)!;
    const rows = x.size / width;
    return (dy, context) => {
      const { caps } = dy.gpu;
      const dS = dy.empty(s.shape, dy.label);
      const before = context.sum(0);
      const dx = before ?? dy.empty(own.shape, dy.label);
      const o = { rows, width, affine: w !== undefined, rms, accumulate: before !== null };
      withDense(w ? [own, s, w, dy] : [own, s, dy], (dense) =>
        dy.gpu.launch(
          normalizeBackward(o, caps),
          [...dense, dx, dS].map((t) => t.binding()),
        ),
      );
      const plain = () => plainNorm(own.detach(dy.scope), s, rms);
      return [context.wants(0) ? dx : null, dS, ...gainAndBias(dy, width, plain, context.wants, 2)];
    };
  };

/** (x − mean) / scale: what the gain of a norm with a given scale is multiplied with. */
function plainNorm(x: Tensor, s: Tensor, rms: boolean): Tensor {
  return (rms ? x : x.sub(x.mean(-1, { keepDims: true }))).div(s);
}
