/** Gradients of a function of one's own: probes, dictionaries and whatever else is trained beside a model. */

import { callback, several } from '../../weights/checks/kinds.js';
import { signatures } from '../../weights/checks/options.js';
import { tensor } from '../kinds.js';
import { Tape } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';

/** A number and its derivatives, in the shapes of the tensors. The caller disposes of them. */
export interface ValueAndGradients {
  readonly value: Tensor<'f32', 0>;
  readonly grads: readonly Tensor[];
}

const takes = signatures({
  gradientsOf: { f: callback, tensors: several(tensor, 'a list of tensors') },
});

/**
 * The value of a function of tensors, and its gradient in each of them: zeros where it does not depend on
 * one. Tensors that the function makes are freed.
 * @param f gives a tensor with one number; called once, at once
 * @throws when it gives something else
 * @example const { value, grads } = await gradientsOf((w) => x.matmul(w).sub(y).square().mean(), [w])
 */
export const gradientsOf = takes.gradientsOf(async function gradientsOf(
  f: (...tensors: Tensor[]) => Tensor | Promise<Tensor>,
  tensors: readonly Tensor[],
): Promise<ValueAndGradients> {
  const tape = new Tape();
  try {
    const watched = tensors.map((t, i) => tape.watch(t, `${i}`, tape.scope));
    const y = await f(...watched);
    if (!(y instanceof Tensor) || y.size !== 1)
      throw new Error(
        'gradientsOf: the function must give a tensor with one number: sum() or mean() makes one',
      );
    const grads: (Tensor | undefined)[] = tensors.map(() => undefined);
    const seed = Tensor.ones(y, [1]).reshape([...y.shape]);
    const at = (name: string, gradient: Tensor) => {
      grads[Number(name)] = gradient.clone();
      return gradient;
    };
    const value = y.detach().reshape([]).clone();
    await tape.backward([[y, seed]], { at });
    seed.dispose();
    return { value, grads: grads.map((g, i) => g ?? Tensor.zeros(tensors[i], tensors[i].shape)) };
  } finally {
    tape.close();
  }
});
