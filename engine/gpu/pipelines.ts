/**
 * Compiled kernels and bind groups, made once and found again: a repeated run makes none; and the parameters
 * of dispatches.
 */

import type { Kernel, Launch } from '../../kernels/core/kernel.js';
import { type Guard, mib, type PoolBuffer } from './pool.js';

/** A part of a buffer, in bytes; the offset is a multiple of 256. */
export interface Binding {
  readonly buffer: PoolBuffer;
  readonly offset: number;
  readonly bytes: number;
}

/** Counters since the device was opened. */
export interface GpuStats {
  dispatches: number;
  submits: number;
  bindGroups: number;
  pipelines: number;
  uploadedBytes: number;
  readBytes: number;
}

const MAX_BIND_GROUPS = 8192;
const COMPUTE_STAGE = 4;

interface Compiled {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  /** Kernels with the same accesses share bind groups. */
  readonly signature: string;
}

/** The caches of one device. */
export class Pipelines {
  readonly #device: GPUDevice;
  readonly #maxBindingBytes: number;
  readonly #uniformLayout: GPUBindGroupLayout;
  readonly #stats: GpuStats;
  readonly #guard: Guard;
  readonly #compiled = new Map<string, Compiled>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #groups = new Map<string, GPUBindGroup>();
  readonly #groupsOf = new Map<number, string[]>(); // buffer id → keys of the bind groups that use it

  constructor(
    device: GPUDevice,
    maxBindingBytes: number,
    uniformLayout: GPUBindGroupLayout,
    stats: GpuStats,
    guard: Guard,
  ) {
    this.#device = device;
    this.#maxBindingBytes = maxBindingBytes;
    this.#uniformLayout = uniformLayout;
    this.#stats = stats;
    this.#guard = guard;
  }

  /** What one dispatch needs. @throws when the bindings do not fit the kernel or the adapter. */
  prepare(
    kernel: Kernel,
    bindings: readonly Binding[],
  ): { pipeline: GPUComputePipeline; group: GPUBindGroup } {
    const { pipeline, layout, signature } = this.#compiled.get(kernel.name) ?? this.#compile(kernel);
    let key = signature;
    for (const b of bindings) key += `|${b.buffer.id},${b.offset},${b.bytes}`;
    return { pipeline, group: this.#groups.get(key) ?? this.#bind(key, layout, kernel, bindings) };
  }

  /** Drops the bind groups of a buffer that is about to be destroyed. */
  forget(b: PoolBuffer): void {
    for (const key of this.#groupsOf.get(b.id) ?? []) this.#groups.delete(key);
    this.#groupsOf.delete(b.id);
  }

  #compile(kernel: Kernel): Compiled {
    const uniform = Object.keys(kernel.params).length > 0;
    const signature = kernel.access.map((a) => a[0]).join('') + (uniform ? '+' : '');
    const layout = this.#layouts.get(signature) ?? this.#layout(signature, kernel);
    const pipeline = this.#guard(`compiling kernel ${kernel.name}`, () =>
      this.#device.createComputePipeline({
        label: kernel.name,
        // One for each pipeline: wgpu (Deno, Firefox before about 151) keeps the binding sizes of the first
        // pipeline that uses a layout object (gfx-rs/wgpu#7359), and then refuses the bindings of the next.
        layout: this.#device.createPipelineLayout({
          label: kernel.name,
          bindGroupLayouts: uniform ? [layout, this.#uniformLayout] : [layout],
        }),
        compute: {
          module: this.#device.createShaderModule({ label: kernel.name, code: kernel.code }),
          entryPoint: 'main',
        },
      }),
    );
    this.#stats.pipelines++;
    const compiled = { pipeline, layout, signature };
    this.#compiled.set(kernel.name, compiled);
    return compiled;
  }

  #layout(signature: string, kernel: Kernel): GPUBindGroupLayout {
    const layout = this.#device.createBindGroupLayout({
      label: signature,
      entries: kernel.access.map((access, binding) => ({
        binding,
        visibility: COMPUTE_STAGE,
        buffer: { type: access === 'read' ? ('read-only-storage' as const) : ('storage' as const) },
      })),
    });
    this.#layouts.set(signature, layout);
    return layout;
  }

  #bind(key: string, layout: GPUBindGroupLayout, kernel: Kernel, bindings: readonly Binding[]): GPUBindGroup {
    if (bindings.length !== kernel.access.length)
      throw new Error(
        `kernel ${kernel.name} has ${kernel.access.length} bindings, ${bindings.length} were given`,
      );
    for (const b of bindings)
      if (b.bytes > this.#maxBindingBytes)
        throw new Error(
          `kernel ${kernel.name}: a binding of ${mib(b.bytes)}, but this adapter allows ${mib(this.#maxBindingBytes)}`,
        );
    if (this.#groups.size >= MAX_BIND_GROUPS) {
      this.#groups.clear();
      this.#groupsOf.clear();
    }
    const group = this.#device.createBindGroup({
      label: kernel.name,
      layout,
      entries: bindings.map(({ buffer, offset, bytes }, binding) => ({
        binding,
        resource: { buffer: buffer.buffer, offset, size: Math.max(4, Math.ceil(bytes / 4) * 4) },
      })),
    });
    this.#stats.bindGroups++;
    this.#groups.set(key, group);
    for (const { buffer } of bindings) {
      const keys = this.#groupsOf.get(buffer.id);
      if (keys) keys.push(key);
      else this.#groupsOf.set(buffer.id, [key]);
    }
    return group;
  }
}

/** Bytes of a slot: WebGPU's alignment of offsets. */
const SLOT = 256;
/** Dispatches between two submits. */
const SLOTS = 2048;

/**
 * The parameters of one batch of commands: a uniform buffer in slots, one a dispatch, written before the
 * batch is submitted.
 */
export class Parameters {
  readonly layout: GPUBindGroupLayout;
  readonly group: GPUBindGroup;
  readonly #device: GPUDevice;
  readonly #buffer: GPUBuffer;
  readonly #slots = new DataView(new ArrayBuffer(SLOT * SLOTS));
  #used = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
    this.#buffer = device.createBuffer({ label: 'parameters', size: SLOT * SLOTS, usage: 0x40 | 0x8 }); // UNIFORM | COPY_DST
    this.layout = device.createBindGroupLayout({
      label: 'parameters',
      entries: [{ binding: 0, visibility: 4, buffer: { type: 'uniform', hasDynamicOffset: true } }],
    });
    this.group = device.createBindGroup({
      label: 'parameters',
      layout: this.layout,
      entries: [{ binding: 0, resource: { buffer: this.#buffer, size: SLOT } }],
    });
  }

  /** No slot is left: the batch must be submitted first. */
  get full(): boolean {
    return this.#used === SLOTS;
  }

  /** Writes the parameters of a dispatch; gives the offset of their slot. @throws when one is missing. */
  add({ kernel, params }: Launch, names: readonly string[]): number {
    const at = this.#used++ * SLOT;
    names.forEach((name, i) => {
      const value = params[name];
      if (value === undefined) throw new Error(`kernel ${kernel.name}: parameter "${name}" is missing`);
      if (kernel.params[name] === 'u32') this.#slots.setUint32(at + 4 * i, value, true);
      else this.#slots.setFloat32(at + 4 * i, value, true);
    });
    return at;
  }

  /** Before a submit: hands the slots to the GPU and begins anew. */
  upload(): void {
    if (this.#used)
      this.#device.queue.writeBuffer(
        this.#buffer,
        0,
        this.#slots.buffer as ArrayBuffer,
        0,
        this.#used * SLOT,
      );
    this.#used = 0;
  }
}
