/**
 * Element-wise operations, with NumPy's broadcasting: one kernel reads its inputs where they lie, views and integers too
 * (kernels/pointwise/operations.ts says what each operation is, and its derivative). The methods of tensors
 * that are element-wise stand here, under their own names.
 */

import {
  type BinaryOp,
  gradientReads,
  type PointwiseLaunch,
  type PointwiseOp,
  pointwise,
  pointwiseOf,
  type TernaryOp,
  type UnaryOp,
} from '../../kernels/pointwise/elementwise.js';
import { shownValue } from '../../weights/checks/kinds.js';
import { type Axes, merged } from '../shape/axes.js';
import { broadcastShape, broadcastStrides } from '../shape/shape.js';
import { type DType, GpuArray } from './array.js';
import { launchWalk } from './launches.js';
import { taped } from './tape.js';
import type { Tensor } from './tensor.js';
import { sumTo } from './tensor-backward.js';

/** A tensor of any kind, or a number. */
export type Operand = Tensor | Tensor<'u32'> | number;

/**
 * An element-wise operation on tensors and numbers, at least one a tensor: of the shape that they are broadcast to. Integers
 * are read as numbers. @throws when shapes do not go together.
 */
export function elementwise(op: PointwiseOp, inputs: readonly Operand[], what: string = op): Tensor {
  const arrays = inputs.filter((x) => typeof x !== 'number') as unknown as Tensor[];
  const shape = arrays
    .slice(1)
    .reduce<readonly number[]>((s, t) => broadcastShape(s, t.shape, what), arrays[0].shape);
  const { gives, gradients } = pointwiseOf(op);
  const first = arrays.find((t) => t.scope?.open) ?? arrays[0];
  const out = first.empty(shape, `${first.label}.${what}`, gives ? 'u32' : 'f32');
  for (const t of arrays) out.storage.flag(t.storage.flags);
  run({ op, inputs }, shape, out);
  out.named = axesOf(arrays, what);
  return taped(out, arrays, (save) => {
    const read = new Set(
      inputs.flatMap((t, i) =>
        typeof t !== 'number' && t.node && gradients[i] !== null ? gradientReads(op, i) : [],
      ),
    );
    const kept = inputs.map((t, i) => (typeof t === 'number' || read.has(i) ? t : null));
    const own = kept.map((t) => (typeof t === 'number' ? t : save(t as Tensor | null)));
    const places = inputs.flatMap((t, i) => (typeof t === 'number' ? [] : [{ i, shape: t.shape }]));
    return (dy, { wants }) =>
      places.map(({ i, shape: to }, j) => {
        if (!wants(j) || gradients[i] === null) return null;
        if (gradients[i] === 'dy') return sumTo(dy, to);
        const d = dy.empty(dy.shape, dy.label);
        run({ op, inputs: own as Operand[], gradient: { input: i, dy } }, dy.shape, d);
        return sumTo(d, to);
      });
  });
}

/** Launches it, in pieces where an input is too large to bind. */
function run(
  {
    op,
    inputs,
    gradient,
  }: { op: PointwiseOp; inputs: readonly Operand[]; gradient?: { input: number; dy: Tensor } },
  shape: readonly number[],
  out: Tensor,
): void {
  const read = gradient ? gradientReads(op, gradient.input) : inputs.map((_, i) => i);
  const all = [...(gradient ? [gradient.dy] : []), ...read.map((i) => inputs[i])];
  const sources = all.flatMap((t) => {
    if (typeof t === 'number') return [];
    const array = (t.stored === 'f32' ? t : t.dense()) as GpuArray<DType>;
    return [{ array, strides: broadcastStrides(array.shape, array.strides, shape), offset: array.offset }];
  });
  launchWalk(out, shape, sources, (piece) => {
    let next = 0;
    const place = (t: Operand) => {
      if (typeof t === 'number') return t;
      const { strides, offset } = piece.inputs[next++];
      return { strides, offset, dtype: t.dtype };
    };
    const dy = gradient && { input: gradient.input, dy: place(gradient.dy) };
    const placed: PointwiseLaunch['inputs'] = inputs.map((t, i) => (read.includes(i) ? place(t) : 0));
    const { outOffset } = piece;
    return pointwise(
      { op, shape: piece.shape, inputs: placed, outOffset, ...(dy && { gradient: dy }) },
      out.gpu.caps,
    );
  });
  const given = all.filter((t) => typeof t !== 'number') as GpuArray<DType>[];
  sources.forEach(({ array }, i) => {
    if (array !== given[i]) array.dispose();
  });
}

function axesOf(arrays: readonly Tensor[], what: string): Axes | null {
  if (!arrays.some((t) => t.named)) return null;
  let axes = arrays[0].named;
  let { shape } = arrays[0];
  for (const t of arrays.slice(1)) {
    axes = merged({ axes, shape }, { axes: t.named, shape: t.shape }, what);
    shape = broadcastShape(shape, t.shape, what);
  }
  return axes;
}

/** @throws when something is neither a tensor nor a number. */
export function operand(x: unknown, what: string): asserts x is Operand {
  if (typeof x === 'number' || x instanceof GpuArray) return;
  const said = Array.isArray(x) ? 'a list: model.tensor([...]) makes a tensor of it' : shownValue(x);
  throw new Error(`${what}: a tensor or a number is needed, not ${said}`);
}

/** Tensors with the operations that go element by element. Of integers the results are numbers. */
export abstract class ElementwiseArray<D extends DType = 'f32', R extends number = number> extends GpuArray<
  D,
  R
> {
  // ---- two numbers: with a tensor as NumPy broadcasts, or with a number ----------------------------------------

  /** a + b. */
  add(b: number): Tensor<'f32', R>;
  add(b: Operand): Tensor;
  add(b: Operand): Tensor {
    return this.#two('add', b);
  }
  /** a − b. */
  sub(b: number): Tensor<'f32', R>;
  sub(b: Operand): Tensor;
  sub(b: Operand): Tensor {
    return this.#two('sub', b);
  }
  /** a · b. */
  mul(b: number): Tensor<'f32', R>;
  mul(b: Operand): Tensor;
  mul(b: Operand): Tensor {
    return this.#two('mul', b);
  }
  /** a / b. */
  div(b: number): Tensor<'f32', R>;
  div(b: Operand): Tensor;
  div(b: Operand): Tensor {
    return this.#two('div', b);
  }
  /** a^b; NaN for a < 0 and a b that is not whole. */
  pow(b: Operand): Tensor {
    return this.#two('pow', b);
  }
  /** The larger of two; NaN where one is. Equal ones share the gradient. */
  maximum(b: Operand): Tensor {
    return this.#two('maximum', b);
  }
  /** The smaller of two; NaN where one is. Equal ones share the gradient. */
  minimum(b: Operand): Tensor {
    return this.#two('minimum', b);
  }

  // ---- comparisons: integers, 1 where true and 0 where not; false where one is NaN ------------------------------

  /** 1 where a > b. */
  gt(b: Operand): Tensor<'u32', R> {
    return this.#mask('gt', b);
  }
  /** 1 where a ≥ b. */
  ge(b: Operand): Tensor<'u32', R> {
    return this.#mask('ge', b);
  }
  /** 1 where a < b. */
  lt(b: Operand): Tensor<'u32', R> {
    return this.#mask('lt', b);
  }
  /** 1 where a ≤ b. */
  le(b: Operand): Tensor<'u32', R> {
    return this.#mask('le', b);
  }
  /** 1 where a = b. */
  eq(b: Operand): Tensor<'u32', R> {
    return this.#mask('eq', b);
  }
  /** 1 where a ≠ b, also where one is NaN. */
  ne(b: Operand): Tensor<'u32', R> {
    return this.#mask('ne', b);
  }

  // ---- one number ----------------------------------------------------------------------------------------------

  /** A function by its name: `t.map('exp')` is `t.exp()`. */
  map(op: UnaryOp): Tensor<'f32', R> {
    return this.#one(op);
  }
  /** −a. */
  neg(): Tensor<'f32', R> {
    return this.#one('neg');
  }
  /** |a|; at 0 its derivative is 0. */
  abs(): Tensor<'f32', R> {
    return this.#one('abs');
  }
  /** a². */
  square(): Tensor<'f32', R> {
    return this.#one('square');
  }
  /** √a; NaN below 0. */
  sqrt(): Tensor<'f32', R> {
    return this.#one('sqrt');
  }
  /** 1 / √a; ∞ at 0, NaN below. */
  rsqrt(): Tensor<'f32', R> {
    return this.#one('rsqrt');
  }
  /** e^a. */
  exp(): Tensor<'f32', R> {
    return this.#one('exp');
  }
  /** ln a; −∞ at 0, NaN below. */
  log(): Tensor<'f32', R> {
    return this.#one('log');
  }
  /** ln(1 + a), exact for small a. */
  log1p(): Tensor<'f32', R> {
    return this.#one('log1p');
  }
  /** −1, 0 or 1. No gradient flows. */
  sign(): Tensor<'f32', R> {
    return this.#one('sign');
  }
  /** To the nearest whole number, halves to the even one. No gradient flows. */
  round(): Tensor<'f32', R> {
    return this.#one('round');
  }
  /** The whole number below. No gradient flows. */
  floor(): Tensor<'f32', R> {
    return this.#one('floor');
  }
  /** The whole number above. No gradient flows. */
  ceil(): Tensor<'f32', R> {
    return this.#one('ceil');
  }
  /** max(a, 0). */
  relu(): Tensor<'f32', R> {
    return this.#one('relu');
  }
  /** a · Φ(a), exactly. */
  gelu(): Tensor<'f32', R> {
    return this.#one('gelu');
  }
  /** GPT-2's approximation of gelu by tanh. */
  geluNew(): Tensor<'f32', R> {
    return this.#one('geluNew');
  }
  /** a · σ(a). */
  silu(): Tensor<'f32', R> {
    return this.#one('silu');
  }
  /** tanh a. */
  tanh(): Tensor<'f32', R> {
    return this.#one('tanh');
  }
  /** σ(a) = 1 / (1 + e^(−a)). */
  sigmoid(): Tensor<'f32', R> {
    return this.#one('sigmoid');
  }
  /** ln(1 + e^a). */
  softplus(): Tensor<'f32', R> {
    return this.#one('softplus');
  }
  /** Within [low, high]; what is outside has no gradient. */
  clamp(low: number, high: number): Tensor<'f32', R> {
    if (!(low <= high)) throw new Error(`clamp: from ${low} to ${high}: two numbers, low ≤ high, are needed`);
    return elementwise('clamp', [this.#self, low, high]) as Tensor<'f32', R>;
  }
  /** A copy of another kind: `'f32'`, or `'u32'`, whole numbers towards 0, of which those below 0 and NaN are 0. */
  to<E extends DType>(dtype: E): Tensor<E, R> {
    if ((dtype as DType) !== 'f32' && (dtype as DType) !== 'u32')
      throw new Error(`to: 'f32' or 'u32' is needed, not ${shownValue(dtype)}`);
    if (dtype === (this.dtype as DType)) return this.copy() as unknown as Tensor<E, R>;
    return this.#one(dtype === 'f32' ? 'float' : 'integer') as unknown as Tensor<E, R>;
  }

  get #self(): Tensor {
    return this as unknown as Tensor;
  }
  #one(op: UnaryOp): Tensor<'f32', R> {
    return elementwise(op, [this.#self]) as Tensor<'f32', R>;
  }
  #two(op: BinaryOp, b: unknown): Tensor {
    operand(b, op);
    return elementwise(op, [this.#self, b]);
  }
  #mask(op: BinaryOp, b: unknown): Tensor<'u32', R> {
    return this.#two(op, b) as unknown as Tensor<'u32', R>;
  }
}

/** See `Tensor.where`. */
export function where(mask: Operand, a: Operand, b: Operand): Tensor {
  const op: TernaryOp = 'where';
  const all = [mask, a, b];
  for (const x of all) operand(x, op);
  if (all.every((x) => typeof x === 'number')) throw new Error('where: three numbers: a tensor is needed');
  return elementwise(op, all);
}
