/**
 * Launching kernels on arrays that may be larger than one binding of the adapter: those whose rows are independent
 * run window by window. All arrays but the source of a copy are dense.
 */

import type { Launch } from '../../kernels/core/kernel.js';
import { isQuantised } from '../../kernels/core/stored.js';
import { fill, gatherStrided, scatterStrided } from '../../kernels/memory/copy.js';
import type { Binding, Gpu } from '../gpu/gpu.js';
import { broadcastStrides, type Region, sizeOf } from '../shape/shape.js';
import type { DType, GpuArray } from './array.js';
import type { Tensor } from './tensor.js';

/** A [rows, width] matrix in pieces that each fit one binding: GPT-2's embedding is 154 MB, many adapters bind 128. */
export interface Table {
  readonly rows: number;
  readonly width: number;
  readonly chunks: readonly { readonly row0: number; readonly rows: number; readonly tensor: Tensor }[];
  /** As an unembedding: its logits become softCap · tanh(logit / softCap). */
  readonly softCap?: number | null;
}

/** Bindings start at multiples of 64 elements (256 bytes). */
export const ALIGN = 64;

/** Windows [start, count] of rows such that each binding fits the adapter and starts where a binding may. */
export function* rowWindows(
  gpu: Gpu,
  rows: number,
  width: number,
): Generator<[start: number, count: number]> {
  const fit = Math.floor(gpu.adapter.maxBindingBytes / 4 / width);
  const step = fit >= rows ? rows : Math.floor(fit / ALIGN) * ALIGN;
  if (step < 1)
    throw new Error(
      `rows of ${width} numbers are too long for this adapter: ${ALIGN} of them must fit a binding`,
    );
  for (let start = 0; start < rows; start += step) yield [start, Math.min(step, rows - start)];
}

/** Whether one row of this many numbers is too long for a binding: whoever meets it goes through the row in parts. */
export const rowTooLong = (gpu: Gpu, width: number): boolean => 4 * width > gpu.adapter.maxBindingBytes;

/** Blocks of at most 64 rows, of which only some columns are read at a time. */
export const blocksOfRows = (gpu: Gpu, rows: number): Iterable<[start: number, count: number]> =>
  rowWindows(gpu, rows, Math.floor(gpu.adapter.maxBindingBytes / 4 / ALIGN));

/** Parts [from, to) of a long row such that `rows` of them fit a binding; they begin where a binding may. */
export function* columnParts(gpu: Gpu, rows: number, cols: number): Generator<[from: number, to: number]> {
  const fit = Math.floor(gpu.adapter.maxBindingBytes / 4 / rows);
  const step = Math.max(ALIGN, Math.floor(fit / ALIGN) * ALIGN);
  for (let from = 0; from < cols; from += step) yield [from, Math.min(cols, from + step)];
}

/**
 * Rows of which a binding takes some, but not 64, which is how far apart bindings begin: some at a time in memory of their own,
 * copied there and back.
 */
function launchFew(
  rows: number,
  arrays: readonly GpuArray<DType>[],
  widths: readonly number[],
  launch: (rows: number) => Launch,
): void {
  const { gpu } = arrays[0];
  const fit = Math.floor(gpu.adapter.maxBindingBytes / 4 / Math.max(...widths));
  for (let start = 0; start < rows; start += fit) {
    const n = Math.min(fit, rows - start);
    const parts = arrays.map((t, i) => ({
      shape: [n, widths[i]],
      strides: [widths[i], 1],
      offset: t.offset + start * widths[i],
    }));
    const own = arrays.map((t, i) => t.view(parts[i]).copy());
    gpu.launch(
      launch(n),
      own.map((t) => t.binding()),
    );
    own.forEach((t, i) => {
      writePart(arrays[i], parts[i], t);
      t.dispose();
    });
  }
}

/** Runs a kernel over all rows, in as many launches as the bindings need. `widths`: elements a row of each array. */
export function launchRows(
  rows: number,
  arrays: readonly GpuArray<DType>[],
  widths: readonly number[],
  launch: (rows: number) => Launch,
): void {
  const { gpu } = arrays[0];
  const widest = Math.max(...widths);
  if (!rowTooLong(gpu, widest) && rows > 1 && rowTooLong(gpu, Math.min(rows, ALIGN) * widest)) {
    launchFew(rows, arrays, widths, launch);
    return;
  }
  for (const [start, count] of rowWindows(gpu, rows, widest)) {
    const bindings = arrays.map((t, i) => t.binding(start * widths[i], count * widths[i]));
    gpu.launch(launch(count), bindings);
  }
}

/** Copies a strided part of `source` to elements [at, …) of `out`, in halves where either is too large to bind. */
export function copyInto(
  source: GpuArray<DType>,
  out: GpuArray<DType>,
  at = 0,
  shape: readonly number[] = source.shape,
  offset: number = source.offset,
): void {
  const { gpu, strides } = source;
  const { buffer, stored } = source.storage;
  source.storage.unread = false;
  const whole = isQuantised(stored);
  const [bytes, align] = stored === 'f16' ? [2, 2 * ALIGN] : [4, ALIGN];
  const first = whole ? 0 : Math.floor(offset / align) * align;
  const reach = shape.reduce((n, d, i) => n + (d - 1) * strides[i], offset) + 1;
  const size = sizeOf(shape);
  const outFirst = Math.floor(at / ALIGN) * ALIGN;
  const limit = gpu.adapter.maxBindingBytes / 4;
  const axis = shape.findIndex((d) => d > 1);
  if (axis >= 0 && ((!whole && reach - first > limit) || at - outFirst + size > limit)) {
    const half = Math.floor(shape[axis] / 2);
    const [a, b] = [half, shape[axis] - half].map((n) => shape.map((d, i) => (i === axis ? n : d)));
    copyInto(source, out, at, a, offset);
    copyInto(source, out, at + sizeOf(a), b, offset + half * strides[axis]);
    return;
  }
  const launch = gatherStrided(
    { shape, strides, offset: offset - first, outOffset: at - outFirst, stored },
    gpu.caps,
  );
  const from = whole
    ? { buffer, offset: 0, bytes: buffer.bytes }
    : { buffer, offset: bytes * first, bytes: 4 * Math.ceil((bytes * (reach - first)) / 4) };
  gpu.launch(launch, [from, out.binding(outFirst, at - outFirst + size)]);
}

/** Where an input of a walk lies: strides along its shape (0: repeated), and the first element. */
export interface WalkInput {
  readonly array: GpuArray<DType>;
  readonly strides: readonly number[];
  readonly offset: number;
}

/** What a launch has to know of a piece of a walk: offsets are counted from where the bindings begin. */
export interface WalkPiece {
  readonly shape: readonly number[];
  readonly inputs: readonly { readonly strides: readonly number[]; readonly offset: number }[];
  readonly outOffset: number;
}

/** A kernel that walks along a shape, inputs as they lie, results one after another: in halves where one is too large to bind. */
export function launchWalk(
  out: GpuArray<DType>,
  shape: readonly number[],
  inputs: readonly WalkInput[],
  launch: (piece: WalkPiece) => Launch,
  at = 0,
): void {
  const { gpu } = out;
  const size = sizeOf(shape);
  if (!size) return;
  const spans = inputs.map(({ strides, offset }) => {
    const first = Math.floor(offset / ALIGN) * ALIGN;
    return { first, count: shape.reduce((n, d, i) => n + (d - 1) * strides[i], offset) + 1 - first };
  });
  const outFirst = Math.floor(at / ALIGN) * ALIGN;
  const limit = gpu.adapter.maxBindingBytes / 4;
  const axis = shape.findIndex((d) => d > 1);
  if (axis >= 0 && (at - outFirst + size > limit || spans.some(({ count }) => count > limit))) {
    const half = Math.floor(shape[axis] / 2);
    const cut = (n: number) => shape.map((d, i) => (i === axis ? n : d));
    const later = inputs.map((t) => ({ ...t, offset: t.offset + half * t.strides[axis] }));
    launchWalk(out, cut(half), inputs, launch, at);
    launchWalk(out, cut(shape[axis] - half), later, launch, at + sizeOf(cut(half)));
    return;
  }
  const placed = inputs.map(({ strides, offset }, i) => ({ strides, offset: offset - spans[i].first }));
  const bindings = inputs.map(({ array }, i) => {
    array.storage.unread = false;
    return { buffer: array.storage.buffer, offset: 4 * spans[i].first, bytes: 4 * spans[i].count };
  });
  const piece = { shape, inputs: placed, outOffset: at - outFirst };
  gpu.launch(launch(piece), [...bindings, out.binding(outFirst, at - outFirst + size)]);
}

/** Writes a number into a part of a dense array, in halves where the part reaches further than one binding. */
export function fillPart(out: GpuArray<DType>, part: Region, value: number): void {
  forBindable(out, part, ({ shape, strides, offset }, target) => {
    out.gpu.launch(fill({ shape, strides, offset, value, dtype: out.dtype }, out.gpu.caps), [target]);
  });
}

/** Writes `value`, which broadcasts to the part's shape, into a part of a dense array. */
export function writePart(out: GpuArray<DType>, part: Region, value: GpuArray<DType>): void {
  const { gpu } = out;
  const strides = broadcastStrides(value.shape, value.strides, part.shape);
  forBindable(out, part, (piece, target, begin) => {
    const offset = begin.reduce((o, b, i) => o + b * strides[i], value.offset);
    const source = value.view({ shape: piece.shape, strides, offset });
    withDense([source], ([s]) => gpu.launch(scatterStrided(piece, gpu.caps), [s.binding(), target]));
    source.dispose();
  });
}

/** Calls f with pieces of a part that a binding can hold: the piece within the binding, and where it begins in the part. */
function forBindable(
  out: GpuArray<DType>,
  { shape, strides, offset }: Region,
  f: (piece: Region, target: Binding, begin: readonly number[]) => void,
  begin: readonly number[] = shape.map(() => 0),
): void {
  const first = Math.floor(offset / ALIGN) * ALIGN;
  const count = shape.reduce((n, d, i) => n + (d - 1) * strides[i], offset - first) + 1;
  const axis = shape.findIndex((d) => d > 1);
  if (axis >= 0 && count > out.gpu.adapter.maxBindingBytes / 4) {
    const half = Math.floor(shape[axis] / 2);
    for (const [from, n] of [
      [0, half],
      [half, shape[axis] - half],
    ])
      forBindable(
        out,
        { shape: shape.map((d, i) => (i === axis ? n : d)), strides, offset: offset + from * strides[axis] },
        f,
        begin.map((b, i) => (i === axis ? b + from : b)),
      );
    return;
  }
  f({ shape, strides, offset: offset - first }, out.binding(first, count), begin);
}

/** Calls f with dense versions of the arrays, and frees those that had to be made for it. */
export function withDense(arrays: readonly GpuArray<DType>[], f: (dense: GpuArray<DType>[]) => void): void {
  const ready = arrays.map((t) => t.dense());
  f(ready);
  ready.forEach((t, i) => {
    if (t !== arrays[i]) t.dispose();
  });
}
