/** Kinds of arguments that the engine adds to those of plain values. */

import { either, having, isList, type Kind, listOf, number, whole } from '../weights/checks/kinds.js';

export * from '../weights/checks/kinds.js';

/** A tensor on the GPU. */
export const tensor: Kind = having('a Tensor', 'shape', 'dtype', 'storage');
/** A device that `Gpu.open` gave, as a model has it: `model.gpu`. */
export const gpu: Kind = having('a Gpu (model.gpu)', 'adapter', 'caps', 'launch');
/** Which adapter. */
export const adapter: Kind = {
  ...either(
    { what: '', is: (v) => typeof v === 'string' && v !== '' },
    whole,
    having('', 'queue', 'createBuffer'),
  ),
  what: "'auto', 'hardware', 'software', 'opengles', an index, a part of a name (listAdapters()) or a GPUDevice",
};
/** The lengths of axes. */
export const shape: Kind = {
  ...listOf(number, 'a shape: a list of whole numbers'),
  is: (value) =>
    isList(value) && Array.prototype.every.call(value, (n) => Number.isSafeInteger(n) && (n as number) >= -1),
};
/** Keys and values of tokens that came before: what `model.prefix` gives. */
export const prefix: Kind = having('a prefix, as model.prefix(…) gives it', 'store', 'slots', 'tokens');
