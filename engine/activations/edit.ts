/**
 * Changing parts of an activation where it lies. All segments of a call have the same width and are changed
 * by one dispatch; offsets are in elements, counted from the first of their tensor.
 */

import type { Launch } from '../../kernels/core/kernel.js';
import { blendSegments, projectOutSegments } from '../../kernels/memory/edit.js';
import type { Binding } from '../gpu/gpu.js';
import { isContiguous, showShape } from '../shape/shape.js';
import { ALIGN } from '../tensor/launches.js';
import { Tensor } from '../tensor/tensor.js';

/**
 * A segment of x becomes keep · x + add · value. A factor of 0 leaves its side unread, be it NaN or infinite.
 */
export interface Blend {
  /** First element in x, and in the values. */
  readonly target: number;
  readonly value: number;
  readonly keep: number;
  readonly add: number;
}

/**
 * Blends values into segments of `x`, in place. Segments must not overlap.
 * @param x contiguous; the caller owns it and nobody else may need what it held
 * @param width elements of a segment
 * @param broadcast one value a segment instead of `width`
 * @throws when x is not contiguous, a segment reaches beyond x or the values, or a tensor is too large for a
 * binding
 */
export function blendInto(
  x: Tensor,
  segments: readonly Blend[],
  values: Tensor,
  width: number,
  broadcast = false,
): void {
  const table = new Uint32Array(4 * segments.length);
  const factors = new Float32Array(table.buffer);
  segments.forEach(({ target, value, keep, add }, i) => {
    table.set([target, value], 4 * i);
    factors.set([keep, add], 4 * i + 2);
  });
  const launch = blendSegments({ n: segments.length, width, broadcast }, x.gpu.caps);
  edit(x, { segments, table, launch, values, width, valueWidth: broadcast ? 1 : width });
}

/**
 * Removes from each segment of `x` its component along a direction of any length, in place; a direction of
 * zeros removes nothing. Segments must not overlap.
 * @throws as `blendInto` does
 */
export function projectOutOf(
  x: Tensor,
  segments: readonly { target: number; value: number }[],
  directions: Tensor,
  width: number,
): void {
  const table = Uint32Array.from(segments.flatMap(({ target, value }) => [target, value]));
  const launch = projectOutSegments({ n: segments.length, width }, x.gpu.caps);
  edit(x, { segments, table, launch, values: directions, width, valueWidth: width });
}

/** Runs an edit with the tables' offsets moved to where the bindings start. */
function edit(
  x: Tensor,
  o: {
    segments: readonly { target: number; value: number }[];
    table: Uint32Array;
    launch: Launch;
    values: Tensor;
    width: number;
    valueWidth: number;
  },
): void {
  const { segments, table, width, valueWidth } = o;
  if (!segments.length || !width) return;
  const { gpu } = x;
  if (!isContiguous(x.shape, x.strides))
    throw new Error(
      `edit of ${x.label} ${showShape(x.shape)}: a view with gaps; edit a copy (clone()) of it`,
    );
  for (const s of segments) {
    inside('to', s.target, width, x);
    inside('from', s.value, valueWidth, o.values);
  }
  // A buffer cannot be read and written by one dispatch.
  const values = o.values.storage === x.storage ? o.values.clone() : o.values.dense();
  const [to, from] = [whole(x), whole(values)];
  const stride = table.length / segments.length;
  for (let i = 0; i < table.length; i += stride) {
    table[i] += to.skip;
    table[i + 1] += from.skip;
  }
  const uploaded = Tensor.from<'u32'>(gpu, table, [table.length], { label: 'segments' });
  gpu.launch(o.launch, [uploaded.binding(), from.binding, to.binding]);
  uploaded.dispose();
  if (values !== o.values) values.dispose();
}

function inside(what: string, first: number, width: number, t: Tensor): void {
  if (!Number.isInteger(first) || first < 0 || first + width > t.size)
    throw new Error(
      `edit: elements ${first} to ${first + width} ${what} ${t.label} ${showShape(t.shape)}, which has ${t.size}`,
    );
}

/** The memory of a contiguous tensor from the last place before it where a binding may start. */
function whole(t: Tensor): { binding: Binding; skip: number } {
  const skip = t.offset % ALIGN;
  const binding = t.binding(-skip, skip + t.size);
  if (binding.bytes > t.gpu.adapter.maxBindingBytes)
    throw new Error(
      `edit of ${t.label} ${showShape(t.shape)}: ${binding.bytes} bytes are more than this adapter can bind (${t.gpu.adapter.maxBindingBytes}): edit fewer rows at once`,
    );
  return { binding, skip };
}
