/**
 * Soft caps: x ← C · tanh(x / C), of scores and of logits (Gemma 2). Attention's kernels cap scores
 * themselves.
 */

import { softCap, softCapBackward } from '../../../kernels/pointwise/soft-cap.js';
import { launchRows, withDense } from '../../tensor/launches.js';
import { taped } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';

/** C · tanh(x / C). */
export function softCapped(x: Tensor, cap: number): Tensor {
  const { gpu } = x;
  const out = Tensor.result(gpu, x.shape, [x], x.label);
  withDense([x], ([x]) => launchRows(x.size, [x, out], [1, 1], (n) => softCap({ n, cap }, gpu.caps)));
  return taped(out, [x], (save) => {
    const own = save(out);
    return (dy) => [softCapGradient(own, dy, cap)];
  });
}

/**
 * The gradient before a cap from that behind it. @param y what the cap gave; 0 where that is not finite
 * (masked)
 */
export function softCapGradient(y: Tensor, dy: Tensor, cap: number): Tensor {
  const out = dy.empty(y.shape, dy.label);
  withDense([y, dy], ([y, d]) =>
    launchRows(y.size, [y, d, out], [1, 1, 1], (n) => softCapBackward({ n, cap }, dy.gpu.caps)),
  );
  return out;
}
