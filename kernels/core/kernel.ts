/**
 * What a kernel is. A kernel family is one file in this folder: its WGSL, its bindings, its dispatch
 * geometry, a plain float64 reference next to it, and examples that hold the two against each other.
 *
 * Convention of every kernel: group 0 holds the storage buffers in the order inputs, outputs;
 * group 1 binding 0 is the uniform `params: Params` (absent when the kernel has no parameters).
 * This room knows nothing of a GPU device: a `Launch` is data, and `engine/gpu/gpu.ts` runs it.
 */

/** 'read' = `var<storage, read>`, 'write' = `var<storage, read_write>` (also for in-place buffers). */
export type Access = 'read' | 'write';

/** One variant of a kernel family: a compute shader with the entry point `main`. */
export interface Kernel {
  /** Unique name of the variant, e.g. `matmul/broadcast-8x4/768x2304/gelu`: pipeline key and GPU label. */
  readonly name: string;
  readonly code: string;
  /** Binding i of group 0. */
  readonly access: readonly Access[];
  /** Fields of `struct Params`, in order, 4 bytes each. */
  readonly params: Readonly<Record<string, 'u32' | 'f32'>>;
}

/** A kernel with its parameters and its grid: all that is needed to run it, but the buffers. */
export interface Launch {
  readonly kernel: Kernel;
  readonly params: Readonly<Record<string, number>>;
  readonly grid: readonly [x: number, y: number, z: number];
}

/** What a family may ask of the adapter when it chooses a variant. */
export interface Caps {
  /**
   * `software`: a CPU behind Vulkan or GLES (SwiftShader, lavapipe, llvmpipe); there, loads cost 30 times an
   * fma.
   */
  readonly adapterClass: 'software' | 'hardware';
  readonly subgroups: boolean;
  readonly subgroupMinSize: number;
  readonly subgroupMaxSize: number;
  readonly maxInvocations: number;
  readonly maxWorkgroupStorage: number;
}

/** Contents of a buffer on the host. */
export type Host = Float32Array | Uint32Array;

/** One check of a kernel against its reference: `npm run kernels` and the tests run all of them. */
export interface Example {
  readonly title: string;
  readonly launch: Launch;
  /** Contents of the bindings: data for inputs (and in-place buffers), an element count for outputs. */
  readonly buffers: readonly (Host | number)[];
  /**
   * What some bindings hold afterwards, by float64 reference; compared as `|x - ref| <= atol + rtol * |ref|`.
   */
  readonly expected: readonly { binding: number; values: ArrayLike<number>; atol?: number; rtol?: number }[];
}

/** A kernel family, as lists and checks see it. */
export interface Family {
  readonly name: string;
  /** One line: what it computes, with shapes. */
  readonly about: string;
  /** Examples for this adapter: every variant that `caps` can run, awkward sizes included. */
  examples(caps: Caps): Example[];
}

const kernels = new Map<string, Kernel>();

/** The kernel of that name, made once: `make` runs only the first time. */
export function define(name: string, make: () => Omit<Kernel, 'name'>): Kernel {
  let kernel = kernels.get(name);
  if (!kernel) kernels.set(name, (kernel = { name, ...make() }));
  return kernel;
}

/** WebGPU allows 65535 workgroups along an axis: longer lines are folded into rows of this many. */
const LINE = 32768;

/** Grid for `n` workgroups in a line; in WGSL the index is `wg.y * 32768u + wg.x` (see `lineIndex`). */
export function line(n: number): [number, number, number] {
  return n <= LINE ? [Math.max(1, n), 1, 1] : [LINE, Math.ceil(n / LINE), 1];
}

/** WGSL for the number of this workgroup in a `line` grid. */
export const lineIndex = `(wg.y * ${LINE}u + wg.x)`;

/** `f(0) … f(n - 1)`, joined: for unrolled WGSL. */
export const repeat = (n: number, f: (i: number) => string, join = '\n'): string =>
  Array.from({ length: n }, (_, i) => f(i)).join(join);

/** Small deterministic numbers in [-scale, scale) for examples. */
export function noise(n: number, seed: number, scale = 1): Float32Array {
  const a = new Float32Array(n);
  let s = (seed * 2654435761 + 12345) >>> 0;
  for (let i = 0; i < n; i++) {
    s = (Math.imul(s, 1664525) + 1013904223) >>> 0;
    a[i] = ((s >>> 8) / 8388608 - 1) * scale;
  }
  return a;
}
