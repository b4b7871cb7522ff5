/**
 * Helpers for writing kernels: bindings and parameters are read off the WGSL, so that they are stated once.
 */

import { type Access, type Caps, define, type Kernel, line, lineIndex } from './kernel.js';

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

/**
 * WGSL for numbers that are none. Told by their bits, because compilers may take it that there are none: `x
 * != x` folds to false, and `max` passes over NaN. NaN and infinities are made of bits at run time; WGSL has
 * no literals for them.
 */
export const specialsWgsl = /* wgsl */ `
const NAN = 0x7fc00000u;
const INFINITY = 0x7f800000u;
fn isNan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > INFINITY; }
fn special(bits: u32) -> f32 { return bitcast<f32>(bits); }
fn larger(a: f32, b: f32) -> f32 { return select(select(max(a, b), b, isNan(b)), a, isNan(a)); }
fn smaller(a: f32, b: f32) -> f32 { return select(select(min(a, b), b, isNan(b)), a, isNan(a)); }`;

/** Threads of a workgroup in the element-wise kernels. */
export const WG = 64;

/** Product of a shape: its number of elements. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Most axes a strided kernel handles, after neighbouring axes have been merged. */
export const MAX_RANK = 6;

/** A shape and, for each tensor that is walked along it, strides in elements (0 = broadcast). */
export interface Walk<Name extends string> {
  readonly shape: readonly number[];
  readonly strides: Readonly<Record<Name, readonly number[]>>;
}

/**
 * Drops axes of length 1 and merges neighbours that all tensors walk in one go: a contiguous tensor becomes
 * one axis. At least one axis remains.
 */
export function collapse<Name extends string>({ shape, strides }: Walk<Name>): Walk<Name> {
  const names = Object.keys(strides) as Name[];
  const kept: number[] = []; // the innermost axis of each group
  const lengths: number[] = [];
  shape.forEach((n, d) => {
    if (n === 1) return;
    const last = kept.at(-1);
    if (last !== undefined && names.every((t) => strides[t][last] === strides[t][d] * n)) {
      kept[kept.length - 1] = d;
      lengths[lengths.length - 1] *= n;
    } else {
      kept.push(d);
      lengths.push(n);
    }
  });
  if (kept.length > MAX_RANK)
    throw new Error(`a walk along ${kept.length} axes: kernels handle at most ${MAX_RANK}; reshape first`);
  const pick = (t: Name) => (kept.length ? kept.map((d) => strides[t][d]) : [0]);
  return {
    shape: kept.length ? lengths : [1],
    strides: Object.fromEntries(names.map((t) => [t, pick(t)])) as Record<Name, number[]>,
  };
}

/** The fields of `struct Params` for a collapsed walk: lengths `n1` … and, for each tensor, strides. */
export function walkFields<Name extends string>({ shape, strides }: Walk<Name>): string {
  const lengths = shape.slice(1).map((_, d) => `  n${d + 1}: u32, // length of axis ${d + 1}`);
  const steps = (Object.keys(strides) as Name[]).flatMap((t) =>
    shape.map((_, d) => `  ${t}${d}: u32, // stride of ${t} along axis ${d}`),
  );
  return [...lengths, ...steps].join('\n');
}

/** The values of `walkFields`. */
export function walkParams<Name extends string>({ shape, strides }: Walk<Name>): Record<string, number> {
  const params: Record<string, number> = {};
  shape.forEach((n, d) => {
    if (d) params[`n${d}`] = n;
    for (const t of Object.keys(strides) as Name[]) params[`${t}${d}`] = strides[t][d];
  });
  return params;
}

/** WGSL: `var ${t} = …` for each tensor, where flat index `i` of the shape lies in it. */
export function walkWgsl<Name extends string>({ shape, strides }: Walk<Name>): string {
  const names = Object.keys(strides) as Name[];
  const add = (d: number, index: string) => names.map((t) => `${t} += ${index} * params.${t}${d};`).join(' ');
  const inner = shape
    .slice(1)
    .map((_, at) => shape.length - 1 - at) // last axis first
    .map((d) => `  { let index = rest % params.n${d}; rest /= params.n${d}; ${add(d, 'index')} }`);
  const start = `var rest = i; ${names.map((t) => `var ${t} = 0u;`).join(' ')}`;
  return [start, ...inner, `  ${add(0, 'rest')}`].join('\n');
}

/** Where each index of a shape lies, for references: flat offsets in row-major order of the indices. */
export function offsets(shape: readonly number[], strides: readonly number[], offset = 0): number[] {
  let at = [offset];
  shape.forEach((n, d) => {
    at = at.flatMap((o) => Array.from({ length: n }, (_, i) => o + i * strides[d]));
  });
  return at;
}

/** The threads of a workgroup that work on one row, and how they combine what each has found. */
export interface Team {
  /** For kernel names: `subgroup-4`, `workgroup-64`. */
  readonly name: string;
  /** Threads, a power of two: thread `lane` takes elements lane, lane + threads, … */
  readonly threads: number;
  /** The workgroup is one subgroup: no barriers, values go from lane to lane. */
  readonly subgroup: boolean;
  /** First line of the shader. */
  readonly enable: string;
  /**
   * WGSL `fn ${name}(x: T, lane: u32) -> T`: all threads' x combined; the same bits in every thread and every
   * run. To be called from uniform control flow.
   * @param combine WGSL of `a` and `b`, commutative
   */
  reduce(name: string, type: string, combine?: string): string;
}

/**
 * The team for an adapter. A CPU runs the threads of a workgroup by turns and pays dearly for every barrier
 * (SwiftShader, layer norm of 120 rows of 768: 6.5 ms with 64 threads a row, 0.5 ms with 4): there a row is
 * left to one subgroup, where its size is known, else to a few threads.
 */
export function teamFor({ adapterClass, subgroups, subgroupMinSize, subgroupMaxSize }: Caps): Team {
  if (adapterClass === 'hardware') return workgroupTeam(64);
  const known = subgroups && subgroupMinSize === subgroupMaxSize && subgroupMaxSize <= 16;
  return known ? subgroupTeam(subgroupMinSize) : workgroupTeam(16);
}

/** Threads that combine through workgroup memory, with barriers. */
export const workgroupTeam = (threads: number): Team => ({
  name: `workgroup-${threads}`,
  threads,
  subgroup: false,
  enable: '',
  // Mesa's OpenGL ES driver lets a load sink below a barrier, into the next call's stores: hence two sides in
  // turn.
  reduce: (name, type, combine = 'a + b') => /* wgsl */ `
var<workgroup> ${name}Parts: array<${type}, ${2 * threads}>;
var<private> ${name}Side = 0u;
fn ${name}(x: ${type}, lane: u32) -> ${type} {
  let side = ${name}Side;
  ${name}Side = ${threads}u - side;
  ${name}Parts[side + lane] = x;
  workgroupBarrier();
  for (var half = ${threads / 2}u; half > 0u; half >>= 1u) {
    if (lane < half) {
      let a = ${name}Parts[side + lane];
      let b = ${name}Parts[side + lane + half];
      ${name}Parts[side + lane] = ${combine};
    }
    workgroupBarrier();
  }
  return ${name}Parts[side];
}`,
});

/** Threads that are just one subgroup. */
export const subgroupTeam = (threads: number): Team => ({
  name: `subgroup-${threads}`,
  threads,
  subgroup: true,
  enable: 'enable subgroups;',
  reduce: (name, type, combine = 'a + b') => {
    const steps = Array.from({ length: Math.log2(threads) }, (_, i) => 1 << i);
    const step = (far: number) => `{ let b = subgroupShuffleXor(a, ${far}u); a = ${combine}; }`;
    return /* wgsl */ `
fn ${name}(x: ${type}, lane: u32) -> ${type} {
  var a = x;
  ${steps.map(step).join('\n  ')}
  return a;
}`;
  },
});

/** Capabilities of other kinds of adapters, whose variants this one can run too: for examples. */
export const otherKinds = (caps: Caps): Caps[] => [
  { ...caps, adapterClass: caps.adapterClass === 'software' ? 'hardware' : 'software', subgroups: false },
  ...(caps.subgroups && caps.adapterClass === 'software' ? [{ ...caps, subgroups: false }] : []),
];

/** Terms that a thread adds up before it adds the result to its total. */
const BLOCK = 32;

/**
 * WGSL: `var ${name}` = Σ term(i) over i = first, first + step, … < end. Taken in blocks, so that the
 * rounding error grows with the number of blocks, not of terms.
 * @param combine of `a` and `b`; with a maximum, `neutral` may be any of the terms
 */
export const accumulate = (o: {
  name: string;
  first: string;
  step: string;
  end: string;
  term: (i: string) => string;
  combine?: (a: string, b: string) => string;
  neutral?: string;
}): string => {
  const { name, first, step, end, term, combine = (a, b) => `${a} + ${b}`, neutral = '0f' } = o;
  return /* wgsl */ `
  var ${name} = ${neutral};
  for (var block = ${first}; block < ${end}; block += ${BLOCK}u * ${step}) {
    var part = ${neutral};
    let stop = min(${end}, block + ${BLOCK}u * ${step});
    for (var i = block; i < stop; i += ${step}) { part = ${combine('part', term('i'))}; }
    ${name} = ${combine(name, 'part')};
  }`;
};

/** WGSL: opens `main` with one thread an element; `at` names the element's variable, below `params.n`. */
export const perElementMain = (at = 'i'): string => /* wgsl */ `
@compute @workgroup_size(${WG})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let ${at} = ${lineIndex} * ${WG}u + lane;
  if (${at} >= params.n) { return; }`;

/**
 * WGSL: y, but x where that is NaN: max, min and clamp pass over NaN. By its bits, because a compiler may
 * forget NaN when floats are compared.
 * @param type of x and y: `f32` or `vec4f`
 */
export const orNan = (y: string, x: string, type: 'f32' | 'vec4f' = 'f32'): string => {
  const u = type === 'f32' ? 'u32' : 'vec4u';
  return `select(${y}, ${x}, (bitcast<${u}>(${x}) & ${u}(0x7fffffffu)) > ${u}(0x7f800000u))`;
};

/** WGSL: whether a number is infinite or NaN. */
export const notFinite = (x: string): string => `((bitcast<u32>(${x}) & 0x7f800000u) == 0x7f800000u)`;

/**
 * WGSL `fn rank(x)`: a number as an integer of the same order, NaN highest, −0 = 0. (Comparing floats, a
 * compiler may forget NaN.)
 */
export const rankWgsl = /* wgsl */ `
fn rank(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return 0xfffffffeu; }
  if ((bits & 0x7fffffffu) == 0u) { return 0x80000000u; }
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}`;
