/** Vector-Jacobian products of norms (norm.ts): see tape.ts. */

import { type Gain, layernorm } from '../../../kernels/pointwise/layernorm.js';
import {
  layernormBackward,
  layernormScaleBackward,
  normalizeBackward,
} from '../../../kernels/pointwise/layernorm-backward.js';
import { launched, summed, sumOverRows } from '../../tensor/accumulate.js';
import { withDense } from '../../tensor/launches.js';
import type { Backward, Save } from '../../tensor/tape.js';
import type { Tensor } from '../../tensor/tensor.js';

type Make = (save: Save) => Backward;

/** What was applied: gain and bias where there are some. */
interface Applied {
  readonly w: Tensor | null;
  readonly b: Tensor | null;
  readonly gain: Gain;
  readonly rms: boolean;
}

/** Of a whole norm. Inputs: x, w, b. */
export const wholeNormBackward =
  (x: Tensor, { w, gain, eps, rms }: Applied & { eps: number }): Make =>
  (save) => {
    const [own, ownW] = [save(x), save(w)];
    const width = x.shape.at(-1)!;
    const rows = x.size / width;
    return (dy, context) => {
      const { constant, wants } = context;
      const { caps } = dy.gpu;
      const frozenScale = constant.has('scale');
      const o = { rows, width, gain: ownW ? gain : null, eps, rms, frozenScale };
      const dx =
        wants(0) &&
        summed(context, 0, dy, own.shape, ownW ? [own, ownW, dy] : [own, dy], (accumulate) =>
          layernormBackward({ ...o, accumulate }, caps),
        );
      const plain = () => launched(dy, own.shape, [own], layernorm({ rows, width, eps, rms }, caps));
      return [dx || null, ...gainAndBias(dy, width, plain, wants, 1)];
    };
  };

/** Gradients of w and b of a norm, where they are wanted as inputs i and i + 1. */
function gainAndBias(
  dy: Tensor,
  width: number,
  plain: () => Tensor,
  wants: (i: number) => boolean,
  i: number,
): [Tensor | null, Tensor | null] {
  return [wants(i) ? sumOverRows(dy, width, plain()) : null, wants(i + 1) ? sumOverRows(dy, width) : null];
}

/** Of a norm's scale. Input: x. */
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

/** Of a norm whose scale was given. Inputs: x, scale, w, b. */
export const normalizeByBackward =
  (x: Tensor, scale: Tensor, { w, gain, rms }: Applied): Make =>
  (save) => {
    const [own, s, ownW] = [save(x), save(scale), save(w)];
    const width = x.shape.at(-1)!;
    const rows = x.size / width;
    return (dy, context) => {
      const { caps } = dy.gpu;
      const dS = dy.empty(s.shape, dy.label);
      const before = context.sum(0);
      const dx = before ?? dy.empty(own.shape, dy.label);
      const o = { rows, width, gain: ownW ? gain : null, rms, accumulate: before !== null };
      withDense(ownW ? [own, s, ownW, dy] : [own, s, dy], (dense) =>
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
