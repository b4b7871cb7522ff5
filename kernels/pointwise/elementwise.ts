/**
 * Element-wise operations and their gradients, one kernel for all: inputs are views with strides (0 where an
 * axis is broadcast), or single numbers. Integers are read as numbers.
 */

import { type Caps, type Example, type Family, type Launch, noise } from '../core/kernel.js';
import {
  collapse,
  kernel,
  offsets,
  perElement,
  perElementMain,
  sizeOf,
  specialsWgsl,
  walkFields,
  walkParams,
  walkWgsl,
} from '../core/wgsl.js';
import {
  arithmetic,
  type BinaryOp,
  choices,
  functions,
  type Pointwise,
  type TernaryOp,
  type UnaryOp,
} from './operations.js';

export type { BinaryOp, TernaryOp, UnaryOp };

/** Name of an element-wise operation. */
export type PointwiseOp = UnaryOp | BinaryOp | TernaryOp;

const operations: Readonly<Record<string, Pointwise>> = { ...functions, ...arithmetic, ...choices };

/** What an operation is. */
export const pointwiseOf = (op: PointwiseOp): Pointwise => operations[op];

/** An input: a number, or where element [i, …] of a tensor lies. */
export type PointwiseInput =
  | number
  | { readonly strides: readonly number[]; readonly offset: number; readonly dtype?: 'f32' | 'u32' };

/** What is to be computed, element by element. */
export interface PointwiseLaunch {
  readonly op: PointwiseOp;
  readonly shape: readonly number[];
  readonly inputs: readonly PointwiseInput[];
  /** Where Y begins. */
  readonly outOffset?: number;
  /** The gradient of this input instead, from `dy`. */
  readonly gradient?: { readonly input: number; readonly dy: PointwiseInput };
}

/** Names of inputs in WGSL. */
const NAMES = ['a', 'b', 'c'] as const;

/** The inputs that the gradient of input i reads. */
export const gradientReads = (op: PointwiseOp, input: number): number[] => {
  const wgsl = pointwiseOf(op).gradients[input] ?? '';
  return [0, 1, 2].filter((i) => new RegExp(`\\b${NAMES[i]}\\b`).test(wgsl));
};

/**
 * Y [shape] = op(inputs), contiguous. Buffers: those of the inputs that are tensors, in order (of a gradient:
 * dY's first, then those that `gradientReads` names), then Y.
 */
export function pointwise(
  { op, shape, inputs, outOffset = 0, gradient }: PointwiseLaunch,
  _caps: Caps,
): Launch {
  const { wgsl, lib = '', gradientLib = lib, gives, gradients } = pointwiseOf(op);
  const read = gradient ? gradientReads(op, gradient.input) : inputs.map((_, i) => i);
  const all: [name: string, input: PointwiseInput][] = [
    ...(gradient ? [['dy', gradient.dy] as [string, PointwiseInput]] : []),
    ...read.map((i): [string, PointwiseInput] => [NAMES[i], inputs[i]]),
  ];
  const arrays = all.flatMap(([name, input]) => (typeof input === 'number' ? [] : [{ name, ...input }]));
  const numbers = all.flatMap(([name, input]) => (typeof input === 'number' ? [{ name, input }] : []));
  const walk = collapse({ shape, strides: Object.fromEntries(arrays.map((t) => [`${t.name}_`, t.strides])) });
  const expression = gradient ? gradients[gradient.input] : wgsl;
  const type = gradient ? 'f32' : gives === 'bool' ? 'bool' : (gives ?? 'f32');
  const used = (gradient ? gradientLib : lib).trim();
  const code = () => /* wgsl */ `
${arrays.map((t, i) => `@group(0) @binding(${i}) var<storage, read> ${t.name}All: array<${t.dtype ?? 'f32'}>;`).join('\n')}
@group(0) @binding(${arrays.length}) var<storage, read_write> Y: array<${type === 'f32' ? 'f32' : 'u32'}>;
struct Params {
  n: u32,
  outOffset: u32,
${arrays.map((t) => `  ${t.name}First: u32, // its first element`).join('\n')}
${numbers.map((t) => `  ${t.name}: f32,`).join('\n')}
${walkFields(walk)}
}
@group(1) @binding(0) var<uniform> params: Params;
${specialsWgsl}
fn notFinite(x: f32) -> bool { return (bitcast<u32>(x) & INFINITY) == INFINITY; }
${used}
fn op(${all.map(([name]) => `${name}: f32`).join(', ')}) -> ${type} { return ${expression}; }
${perElementMain()}
  ${walkWgsl(walk)}
  let y = op(${all.map(([name, input]) => (typeof input === 'number' ? `params.${name}` : `f32(${name}All[params.${name}First + ${name}_])`)).join(', ')});
  Y[params.outOffset + i] = ${type === 'bool' ? 'select(0u, 1u, y)' : 'y'};
}`;
  const kinds = all.map(([, input]) => (typeof input === 'number' ? 'number' : (input.dtype ?? 'f32')));
  const what = gradient ? `${op}/gradient-${NAMES[gradient.input]}` : op;
  const n = sizeOf(shape);
  return {
    kernel: kernel(`pointwise/${what}/${kinds.join('-')}/rank-${walk.shape.length}`, code),
    params: {
      n,
      outOffset,
      ...Object.fromEntries(arrays.map((t) => [`${t.name}First`, t.offset])),
      ...Object.fromEntries(numbers.map((t) => [t.name, t.input])),
      ...walkParams(walk),
    },
    grid: perElement(n),
  };
}

// ---- examples
// ----------------------------------------------------------------------------------------------------

const dense = (shape: readonly number[]): number[] => shape.map((_, i) => sizeOf(shape.slice(i + 1)));

/** Ways in which two inputs are laid. */
const WALKS = {
  'same shape': { shape: [3, 5, 7], strides: [dense([3, 5, 7]), dense([3, 5, 7])] },
  'row vector': {
    shape: [4, 39],
    strides: [
      [39, 1],
      [0, 1],
    ],
  },
  'column of both': {
    shape: [4, 5],
    strides: [
      [1, 0],
      [0, 1],
    ],
  },
  transposed: {
    shape: [4, 5],
    strides: [
      [1, 4],
      [5, 1],
    ],
  },
  'single number': { shape: [], strides: [[], []] },
  'six axes, none merge': {
    shape: [2, 3, 2, 3, 2, 3],
    strides: [
      [1, 2, 6, 12, 36, 72],
      [0, 1, 0, 3, 0, 9],
    ],
  },
};

/** Numbers that an operation is tried on: away from its kinks, and within its domain. */
function inputsOf(op: string, sizes: readonly number[]): Float32Array[] {
  const positive = ['log', 'sqrt', 'rsqrt', 'log1p'].includes(op);
  return sizes.map((n, i) =>
    noise(n, 3 + i, 3).map((v) => {
      const away = Math.abs(v % 0.5) < 0.02 ? v + 0.05 : v;
      if (op === 'pow') return i ? away : Math.abs(away) + 0.1;
      if (op === 'where' && i === 0) return Number(v > 0);
      if (op === 'clamp' && i > 0) return i === 1 ? -1 - Math.abs(v) / 3 : 1 + Math.abs(v) / 3;
      return positive ? Math.abs(away) + 1e-2 : away || 1;
    }),
  );
}

/** dY · ∂Y/∂input by central differences in float64. */
const slope = (f: (...x: number[]) => number, x: number[], i: number): number => {
  const h = 1e-5;
  const at = (d: number) => f(...x.map((v, j) => (j === i ? v + d : v)));
  return (at(h) - at(-h)) / (2 * h);
};

function examplesOf(op: PointwiseOp, caps: Caps): Example[] {
  const { f64, gradients, gives } = pointwiseOf(op);
  const arity = gradients.length;
  const examples: Example[] = [];
  const close = { atol: 2e-6, rtol: 1e-5 };
  const out = (values: number[]) => (gives ? Uint32Array.from(values) : values);
  const walks =
    arity === 2
      ? Object.entries(WALKS)
      : [['in a row', { shape: [131], strides: Array(arity).fill([1]) }] as const];
  for (const [title, { shape, strides }] of walks) {
    const at = strides.map((s) => offsets(shape, s));
    const data = inputsOf(
      op,
      at.map((o) => 1 + Math.max(...o)),
    );
    const inputs = strides.map((s) => ({ strides: s, offset: 0 }));
    const of = (i: number) => at.map((o, t) => data[t][o[i]]);
    const n = sizeOf(shape);
    const indices = Array.from({ length: n }, (_, i) => i);
    examples.push({
      title: `${op}, ${title} [${shape}]`,
      launch: pointwise({ op, shape, inputs }, caps),
      buffers: [...data, n],
      expected: [{ binding: arity, values: out(indices.map((i) => f64(...of(i)))), ...close }],
    });
    gradients.forEach((wgsl, input) => {
      if (wgsl === null) return;
      const dy = noise(n, 9);
      const read = gradientReads(op, input);
      examples.push({
        title: `gradient of ${op} in ${NAMES[input]}, ${title} [${shape}]`,
        launch: pointwise(
          { op, shape, inputs, gradient: { input, dy: { strides: dense(shape), offset: 0 } } },
          caps,
        ),
        buffers: [dy, ...read.map((i) => data[i]), n],
        expected: [
          {
            binding: 1 + read.length,
            values: indices.map((i) => dy[i] * slope(f64, of(i), input)),
            atol: 1e-5,
            rtol: 2e-5,
          },
        ],
      });
    });
  }
  // Zeros, infinities and NaN in every combination.
  const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
  const special = [0, -0, 1, -1, inf, -inf, nan, 3e38, 0.5, -2.5];
  const each =
    arity === 1
      ? special.map((a) => [a])
      : special.flatMap((a) => special.map((b) => (arity === 2 ? [a, b] : [a, b, -b])));
  const tried = each.filter(([, b, c]) => op !== 'clamp' || b <= c);
  examples.push({
    title: `${op} of zeros, infinities and NaN`,
    launch: pointwise(
      { op, shape: [tried.length], inputs: Array(arity).fill({ strides: [1], offset: 0 }) },
      caps,
    ),
    buffers: [
      ...Array.from({ length: arity }, (_, t) => Float32Array.from(tried, (x) => x[t])),
      tried.length,
    ],
    expected: [
      {
        binding: arity,
        values: out([...Float32Array.from(tried, (x) => f64(...x))]),
        atol: 1e-5,
        rtol: 1e-5,
      },
    ],
  });
  return examples;
}

/** Checks of the element-wise kernels. */
export const elementwiseFamily: Family = {
  name: 'elementwise',
  about: 'Y = op(A, B, C) with broadcasting, of tensors and numbers, and dA, dB, dC',
  examples(caps) {
    const x = noise(131, 3, 3).map((v) => v || 1);
    const ids = Uint32Array.from({ length: 70 }, (_, i) => i * 3);
    const view = { strides: [1], offset: 0 };
    return [
      ...(Object.keys(operations) as PointwiseOp[]).flatMap((op) => examplesOf(op, caps)),
      ...(['add', 'sub', 'mul', 'div'] as const).flatMap((op) =>
        [
          [view, -1.75],
          [-1.75, view],
        ].map(
          (inputs): Example => ({
            title: `${op}, ${typeof inputs[0] === 'number' ? 'number op X' : 'X op number'}`,
            launch: pointwise({ op, shape: [131], inputs }, caps),
            buffers: [x, 131],
            expected: [
              {
                binding: 1,
                values: Array.from(x, (v) =>
                  pointwiseOf(op).f64(...inputs.map((t) => (typeof t === 'number' ? t : v))),
                ),
                atol: 1e-6,
                rtol: 1e-6,
              },
            ],
          }),
        ),
      ),
      {
        title: 'integers times numbers, from the fourth on',
        launch: pointwise(
          { op: 'mul', shape: [60], inputs: [{ ...view, offset: 4, dtype: 'u32' }, 0.5] },
          caps,
        ),
        buffers: [ids, 60],
        expected: [{ binding: 1, values: Array.from(ids.subarray(4, 64), (v) => v / 2), atol: 0, rtol: 0 }],
      },
    ];
  },
};
