/**
 * Helpers for writing kernels: bindings and parameters are read off the WGSL, so that they are stated once.
 */

import { type Access, define, type Kernel, line } from './kernel.js';

const BINDING = /@group\(0\) @binding\((\d+)\) var<storage, (read|read_write)>/g;
const PARAMS = /struct Params \{([^}]*)\}/;
const FIELD = /^\s*(\w+): (u32|f32),/gm;

/**
 * The kernel of that name from its source: `access` is read off the `@group(0)` declarations and `params` off
 * `struct Params` (one field a line).
 */
export function kernel(name: string, source: () => string): Kernel {
  return define(name, () => {
    const code = source();
    const access: Access[] = [];
    for (const [, binding, mode] of code.matchAll(BINDING))
      access[Number(binding)] = mode === 'read' ? 'read' : 'write';
    const params: Record<string, 'u32' | 'f32'> = {};
    for (const [, field, type] of (code.match(PARAMS)?.[1] ?? '').matchAll(FIELD))
      params[field] = type as 'u32' | 'f32';
    return { code, access, params };
  });
}

/** Grid with one thread an element, for kernels whose workgroups are `WG` threads in a row. */
export const perElement = (n: number): [number, number, number] => line(Math.ceil(n / WG));

/** Threads of a workgroup in the element-wise kernels. */
export const WG = 64;

/** Product of a shape: its number of elements. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Strides, in elements, of a contiguous row-major tensor. */
export function contiguous(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

/** Most axes a strided kernel handles. */
export const MAX_RANK = 6;

/** Left-pads a shape (with 1) or strides (with 0) to `MAX_RANK`, as parameters `${name}0` … `${name}5`. */
export function axes(name: string, values: readonly number[], fill: number): Record<string, number> {
  const missing = MAX_RANK - values.length;
  if (missing < 0) throw new Error(`a tensor of ${values.length} axes: kernels handle at most ${MAX_RANK}`);
  return Object.fromEntries(
    Array.from({ length: MAX_RANK }, (_, i) => [`${name}${i}`, i < missing ? fill : values[i - missing]]),
  );
}

/**
 * WGSL for where flat index `i` of a shape `n0 … n5` lies in strided memory: `var ${to} = Σ index_d · stride_d`
 * for every pair [variable, stride parameter]. Goes from the last axis to the first.
 */
export function stridedIndex(i: string, targets: readonly (readonly [to: string, stride: string])[]): string {
  const steps = Array.from({ length: MAX_RANK }, (_, k) => {
    const d = MAX_RANK - 1 - k;
    const at = targets.map(([to, stride]) => `${to} += index * params.${stride}${d};`).join(' ');
    return `{ let index = rest % params.n${d}; rest /= params.n${d}; ${at} }`;
  });
  return [`var rest = ${i};`, ...targets.map(([to]) => `var ${to} = 0u;`), ...steps].join('\n  ');
}

/** `name0: u32, … name5: u32,` for `struct Params`. */
export const axisFields = (name: string, about: string): string =>
  Array.from({ length: MAX_RANK }, (_, d) => `  ${name}${d}: u32,${d ? '' : ` // ${about}`}`).join('\n');

/**
 * WGSL `fn total(x: T, lane: u32) -> T`: sum over the `size` threads of a workgroup (a power of two), the same
 * bits in every thread and every run. To be called from uniform control flow.
 */
export const workgroupTotal = (type: string, size: number): string => /* wgsl */ `
var<workgroup> partial: array<${type}, ${size}>;
fn total(x: ${type}, lane: u32) -> ${type} {
  partial[lane] = x;
  workgroupBarrier();
  for (var half = ${size / 2}u; half > 0u; half >>= 1u) {
    if (lane < half) { partial[lane] += partial[lane + half]; }
    workgroupBarrier();
  }
  return workgroupUniformLoad(&partial[0]);
}`;
