/** Tensors in order: the largest entries along an axis, and all of them. */

import { ALL_FINITE, firstNotFinite } from '../../kernels/vocabulary/not-finite.js';
import { sortFinish, sortStart, sortStep, sortSteps } from '../../kernels/vocabulary/sort.js';
import { topk } from '../../kernels/vocabulary/topk.js';
import { notFinite } from '../../weights/checks/finite.js';
import { boolean } from '../../weights/checks/kinds.js';
import { check, options } from '../../weights/checks/options.js';
import type { Gpu } from '../gpu/gpu.js';
import { inScope } from '../gpu/storage.js';
import { reduced, withLast } from '../shape/axes.js';
import { showIndex } from '../shape/shape.js';
import { type Axis, acrossRows, allRows, axisNumber, concatAt, handOver, perRow } from './along.js';
import { columnParts, copyInto, launchRows, rowTooLong, rowWindows, withDense } from './launches.js';
import { axisKind, withLastAxis } from './reductions.js';
import { taped } from './tape.js';
import type { Tensor } from './tensor.js';
import { gatherBackward } from './tensor-backward.js';

/** Options of `topk`. */
export interface TopkOptions {
  /** By number or name; the last by default. */
  readonly axis?: Axis;
  /** False: the smallest. */
  readonly largest?: boolean;
}

/** Options of `sort`. */
export interface SortOptions {
  /** By number or name; the last by default. */
  readonly axis?: Axis;
  /** True: the largest first. */
  readonly descending?: boolean;
}

/** Entries in order, and where they stood along the axis. */
export interface Ordered<R extends number = number> {
  readonly values: Tensor<'f32', R>;
  readonly indices: Tensor<'u32', R>;
}

const topkOptions = options<TopkOptions>({ axis: axisKind, largest: boolean });
const sortOptions = options<SortOptions>({ axis: axisKind, descending: boolean });

/** More than this many are picked out of a sorted row. */
const MANY = 128;

/** The largest part into which rows of `cols` can be cut evenly so that a binding takes it: all of them, as a rule. */
function longestPart(gpu: Gpu, cols: number): number {
  let parts = 1;
  while (cols % parts || rowTooLong(gpu, cols / parts)) parts++;
  return cols / parts;
}

/**
 * Of logits, NaN must not come out as an index that looks right: the kernel notes what is not finite, and the next read of the
 * order, or of what was made from it, fetches the note and refuses.
 */
function noted<T extends Readonly<Record<string, Tensor | Tensor<'u32'>>> | Ordered>(
  t: Tensor,
  results: T,
): T {
  const { guarded } = t.storage;
  if (!guarded) return results;
  const { gpu, shape } = t;
  const cols = longestPart(gpu, shape.at(-1) ?? 1);
  const rows = t.size / cols;
  const out = t.empty([rows, 2], 'not finite', 'u32');
  withDense([t], ([x]) =>
    launchRows(rows, [x, out], [cols, 2], (n) => firstNotFinite({ rows: n, cols }, gpu.caps)),
  );
  const error = (found: Uint32Array) => {
    const row = found.findIndex((column, i) => i % 2 === 0 && column !== ALL_FINITE) / 2;
    if (row < 0) return null;
    const value = new Float32Array(found.slice(2 * row + 1, 2 * row + 2).buffer)[0];
    return notFinite(`${guarded} ${showIndex(shape, row * cols + found[2 * row])}`, value);
  };
  for (const r of Object.values(results)) r.storage.flag([{ storage: out.storage, count: 2 * rows, error }]);
  out.dispose();
  return results;
}

/** The k largest or smallest along an axis. */
export function topkAxis(t: Tensor, k: number, given: Axis | TopkOptions): Ordered {
  const all = axisKind.is(given) ? { axis: given as Axis } : (given as TopkOptions);
  check('topk', topkOptions, all);
  return noted(t, largestOf(t, k, all));
}

function largestOf(t: Tensor, k: number, { axis = -1, largest = true }: TopkOptions): Ordered {
  return ordered(t, axis, 'topk', (x) => {
    const cols = x.shape.at(-1)!;
    if (!Number.isInteger(k) || k < 1 || k > cols)
      throw new Error(`topk: k = ${k} of an axis of length ${cols}`);
    if (k > MANY) {
      const whole = sortLast(x, largest);
      const first = <T extends Tensor | Tensor<'u32'>>(of: T) => {
        const part = of.window([...x.shape.slice(0, -1).map(() => null), [0, k]]).copy() as T;
        of.dispose();
        return part;
      };
      return { values: first(whole.values), indices: first(whole.indices) };
    }
    if (rowTooLong(x.gpu, cols)) return largestOfParts(x, k, largest);
    const made = pair(x, k, 'topk');
    const launch = (rows: number) => topk({ rows, cols, k, smallest: !largest }, x.gpu.caps);
    withDense([x], ([d]) => launchRows(x.size / cols, [d, made.values, made.indices], [cols, k, k], launch));
    return recorded(x, made);
  });
}

/** Of rows that no binding takes: the largest of the largest of each part. */
function largestOfParts(t: Tensor, k: number, largest: boolean): Ordered {
  return inScope((own) => {
    const x = t.detach(own).renamed(null);
    const lead = x.shape.slice(0, -1).map(() => null);
    const parts = [...columnParts(x.gpu, 1, x.shape.at(-1)!)].map(([from, to]) => {
      const part = x.window([...lead, [from, to]]).copy();
      const { values, indices } = largestOf(part, Math.min(k, to - from), { largest });
      return { values, indices: indices.add(from) };
    });
    const places = concatAt(
      parts.map((p) => p.indices),
      lead.length,
    );
    const values = concatAt(
      parts.map((p) => p.values),
      lead.length,
    );
    const best = largestOf(values, k, { largest });
    const made = pair(t, k, 'topk');
    const indices = places.gather(best.indices).to('u32');
    copyInto(best.values, made.values);
    copyInto(indices, made.indices);
    return recorded(t, made);
  });
}

/** All entries along an axis in order. See `Tensor.sort`. */
export function sortAxis(t: Tensor, given: Axis | SortOptions): Ordered {
  const all = axisKind.is(given) ? { axis: given as Axis } : (given as SortOptions);
  check('sort', sortOptions, all);
  const { axis = -1, descending = false } = all;
  return noted(
    t,
    ordered(t, axis, 'sort', (x) => sortLast(x, descending)),
  );
}

/** Index of the largest along an axis. */
export function argmaxAxis(t: Tensor, axis: Axis): Tensor<'u32'> {
  return noted(t, { indices: placeOfLargest(t, axis, 'argmax') }).indices;
}

function placeOfLargest(t: Tensor, axis: Axis, what: string): Tensor<'u32'> {
  if (acrossRows(t, axis)) {
    const each = (row: Tensor) => placeOfLargest(row, axis, what) as unknown as Tensor;
    return perRow(t, allRows(t), each, what) as unknown as Tensor<'u32'>;
  }
  const a = axisNumber(t, axis, what);
  const plain = t.detach(t.scope);
  const { values, indices } = largestOf(plain, 1, { axis: a - t.shape.length });
  for (const done of [plain, values]) done.dispose();
  const out = indices.reshape(t.shape.filter((_, i) => i !== a));
  out.named = reduced(t.named, a, false);
  indices.dispose();
  return out;
}

/** Index of the smallest along an axis. */
export function argminAxis(t: Tensor, axis: Axis): Tensor<'u32'> {
  const plain = t.detach(t.scope);
  const down = plain.neg();
  try {
    return noted(t, { indices: placeOfLargest(down, axis, 'argmin') }).indices;
  } finally {
    for (const done of [plain, down]) done.dispose();
  }
}

/** f orders along the last axis: along any axis of t, and along one in which packed rows differ. */
function ordered(t: Tensor, axis: Axis, what: string, f: (x: Tensor) => Ordered): Ordered {
  if (acrossRows(t, axis)) {
    const part = (which: 'values' | 'indices') =>
      perRow(t, allRows(t), (row) => ordered(row, axis, what, f)[which] as Tensor, what);
    return { values: part('values'), indices: part('indices') as unknown as Tensor<'u32'> };
  }
  const a = axisNumber(t, axis, what);
  if (a === t.shape.length - 1) return f(t);
  return inScope((own) => {
    const { swap, moved } = withLastAxis(t.alias(own), a);
    const found = f(moved);
    const back = <T extends Tensor | Tensor<'u32'>>(x: T) =>
      handOver(x.transpose(swap).copy() as unknown as Tensor, t.scope) as unknown as T;
    const values = back(found.values);
    values.storage.unread = false;
    return { values, indices: back(found.indices) };
  });
}

function pair(t: Tensor, k: number, what: string): Ordered {
  const shape = [...t.shape.slice(0, -1), k];
  const values = t.empty(shape, `${t.label}.${what}`);
  const indices = t.empty(shape, `${t.label}.${what}`, 'u32') as unknown as Tensor<'u32'>;
  values.named = what === 'sort' ? t.named : withLast(t.named, null);
  indices.named = values.named;
  return { values, indices };
}

function recorded(t: Tensor, { values, indices }: Ordered): Ordered {
  taped(values, [t], gatherBackward(t.shape, t.shape.length - 1, indices));
  values.storage.unread = false; // who reads the indices needs no values
  return { values, indices };
}

/** Rows sorted by a network of comparisons; equal ones keep their order, NaN counts as the largest. */
function sortLast(t: Tensor, descending: boolean): Ordered {
  const { gpu } = t;
  const cols = t.shape.at(-1)!;
  const padded = 2 ** Math.ceil(Math.log2(cols));
  const made = pair(t, cols, 'sort');
  const steps = sortSteps(padded);
  withDense([t], ([x]) => {
    for (const [start, rows] of rowWindows(gpu, t.size / cols, 2 * padded)) {
      const keys = t.empty([rows, padded, 2], 'keys', 'u32');
      const at = (of: { binding: Tensor['binding'] }) => of.binding(start * cols, rows * cols);
      const sizes = { rows, cols, padded };
      gpu.launch(sortStart({ ...sizes, descending }, gpu.caps), [at(x), keys.binding()]);
      for (const [block, distance] of steps)
        gpu.launch(sortStep({ n: rows * padded, padded, block, distance }, gpu.caps), [keys.binding()]);
      gpu.launch(sortFinish(sizes, gpu.caps), [at(x), keys.binding(), at(made.values), at(made.indices)]);
      keys.dispose();
    }
  });
  return recorded(t, made);
}
