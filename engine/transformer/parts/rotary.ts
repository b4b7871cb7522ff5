/** Rotary positions: queries and keys turn by an angle that grows with their position. */

import { rotary } from '../../../kernels/attention/rotary.js';
import { taped } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import type { Batch } from '../batch.js';
import { withHeads } from './attention-windows.js';

/** How heads turn. */
export interface Turning {
  readonly pairs: 'halves' | 'adjacent';
  /** Dimensions of a head that turn, the first ones. */
  readonly dims: number;
  /** Cosines and sines of every position: [positions, dims]. */
  readonly angles: Tensor;
}

/** Heads [tokens, head, dHead], turned by the angles of their tokens' positions. */
export function turned(x: Tensor, batch: Batch, turning: Turning): Tensor {
  const out = Tensor.result(x.gpu, x.shape, [x], x.label);
  turnInto(x, out, batch, turning, false);
  return taped(out, [x], () => (dy) => {
    const dx = dy.empty(dy.shape, dy.label);
    turnInto(dy, dx, batch, turning, true);
    return [dx];
  });
}

function turnInto(x: Tensor, y: Tensor, batch: Batch, turning: Turning, backward: boolean): void {
  const { gpu } = x;
  const [tokens, heads, dHead] = x.shape;
  const { pairs, dims, angles } = turning;
  withHeads([x], ([at]) => {
    const o = { tokens, heads, dHead, dims, pairs, backward, positionsAt: tokens };
    const launch = rotary({ ...o, x: at, y: { stride: heads * dHead, offset: 0 } }, gpu.caps);
    gpu.launch(launch, [at.binding, angles.binding(), batch.table.binding(), y.binding()]);
  });
}
