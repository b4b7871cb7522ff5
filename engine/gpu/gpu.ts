/**
 * The GPU device: encodes launches into one pass, submits once, reads back. Nothing runs until somebody reads
 * (or the event loop turns): a whole forward pass is one submit.
 */

import type { Caps, Host, Launch } from '../../kernels/core/kernel.js';
import {
  type AdapterChoice,
  type AdapterDescription,
  describe,
  gpuProvider,
  isSoftware,
  requestDevice,
} from './adapter.js';
import { Pressure } from './collector.js';
import { ErrorScopes } from './error-scopes.js';
import { type Binding, type GpuStats, Pipelines } from './pipelines.js';
import { type Guard, type MemoryReport, mib, Pool, type PoolBuffer } from './pool.js';

export type { Binding, GpuStats } from './pipelines.js';

/** One uniform slot: the parameters of one dispatch. WebGPU's offset alignment is 256. */
const SLOT = 256;
const SLOTS = 2048;
const GPU_MAP_READ = 1;

const shared = new Map<string, Promise<Gpu>>();

/** A GPU device with its memory, kernels and command stream. */
export class Gpu {
  /** The adapter in one line, and its limits. */
  readonly adapter: AdapterDescription;
  /** What the kernels want to know of it. */
  readonly caps: Caps;
  /** Work done since the device was opened. */
  readonly stats: GpuStats = {
    dispatches: 0,
    submits: 0,
    bindGroups: 0,
    pipelines: 0,
    uploadedBytes: 0,
    readBytes: 0,
  };
  readonly #pool: Pool;
  readonly #pressure = new Pressure();
  #batch = 0;
  #encoder: GPUCommandEncoder | null = null;
  #pass: GPUComputePassEncoder | null = null;
  readonly #pipelines: Pipelines;
  readonly #uniforms: GPUBuffer;
  readonly #uniformLayout: GPUBindGroupLayout;
  readonly #uniformGroup: GPUBindGroup;
  readonly #slots = new DataView(new ArrayBuffer(SLOT * SLOTS));
  #slot = 0;
  #readers = new Map<number, GPUBuffer[]>(); // idle staging buffers by size
  readonly #waiting = new Set<(lost: Error) => void>();
  readonly #errors: ErrorScopes;
  #lost: Error | null = null;
  #autoFlush = false;

  /**
   * Opens a GPU.
   * @param source an adapter choice (devices are shared between models), or a `GPUDevice` of yours.
   * @throws an Error with the remedy when there is no such adapter.
   */
  static async open(source: AdapterChoice | GPUDevice = 'auto'): Promise<Gpu> {
    if (typeof source !== 'string') {
      const info = source.adapterInfo ?? ({} as GPUAdapterInfo);
      return new Gpu(source, describe({ info }, source, isSoftware({ info } as GPUAdapter)));
    }
    let opening = shared.get(source);
    if (!opening) {
      opening = Gpu.#request(source);
      shared.set(source, opening);
      const forget = () => shared.delete(source);
      opening.then((gpu) => gpu.#device.lost.then(forget), forget);
    }
    return opening;
  }

  static async #request(choice: AdapterChoice): Promise<Gpu> {
    const adapter = await gpuProvider().requestAdapter(choice);
    const device = await requestDevice(adapter);
    return new Gpu(device, describe(adapter, device, isSoftware(adapter)));
  }

  readonly #device: GPUDevice;

  private constructor(device: GPUDevice, adapter: AdapterDescription) {
    this.#device = device;
    this.adapter = adapter;
    this.caps = adapter.caps;
    this.#errors = new ErrorScopes(device, () => this.memory());
    const guard: Guard = (doing, f) => this.#errors.guard(doing, f);
    this.#pool = new Pool(device, adapter.maxBufferBytes, guard, (b) => this.#pipelines.forget(b));
    this.#uniforms = device.createBuffer({ label: 'parameters', size: SLOT * SLOTS, usage: 0x40 | 0x8 }); // UNIFORM | COPY_DST
    this.#uniformLayout = device.createBindGroupLayout({
      label: 'parameters',
      entries: [{ binding: 0, visibility: 4, buffer: { type: 'uniform', hasDynamicOffset: true } }],
    });
    this.#uniformGroup = device.createBindGroup({
      label: 'parameters',
      layout: this.#uniformLayout,
      entries: [{ binding: 0, resource: { buffer: this.#uniforms, size: SLOT } }],
    });
    this.#pipelines = new Pipelines(device, adapter.maxBindingBytes, this.#uniformLayout, this.stats, guard);
    device.lost.then((info) => {
      const lost = new Error(
        `the GPU device was lost (${info.reason}${info.message ? `: ${info.message}` : ''}): load the model again to open a new one`,
      );
      this.#lost = lost;
      for (const reject of this.#waiting) reject(lost);
      this.#waiting.clear();
    });
    device.addEventListener?.('uncapturederror', (e) => {
      (e as Event).preventDefault?.();
      this.#errors.note(new Error(`GPU error: ${(e as GPUUncapturedErrorEvent).error.message}`));
    });
  }

  // ---- memory ------------------------------------------------------------------------------------------------

  /** Bytes of GPU memory in use, idle in the pool, and at the peak. */
  memory(): MemoryReport {
    return this.#pool.report();
  }

  /** Follows the most bytes that are in use from now on; the function tells them, and ends that. */
  watchPeak(): () => number {
    return this.#pool.watchPeak();
  }

  /**
   * To be awaited before a run: where memory is short, waits for what was dropped without `dispose()` to be found and freed.
   * Null where there is no need.
   */
  makeRoom(): Promise<void> | null {
    return this.#pressure.relieve(() => this.memory().bytes);
  }

  /** Uninitialised memory. `exact` is for weights: no rounding up, and destroyed rather than pooled when freed. */
  alloc(bytes: number, label: string, { exact = false } = {}): PoolBuffer {
    this.#alive();
    return this.#pool.take(bytes, label, this.#batch, { exact });
  }

  /** Memory with the given contents. */
  upload(data: Host, label: string, { exact = false } = {}): PoolBuffer {
    this.#alive();
    const b = this.#pool.take(data.byteLength, label, this.#batch, { exact, hostWrite: true });
    this.write(b, 0, data);
    return b;
  }

  /** Writes into a buffer that no unsubmitted command uses. */
  write(b: PoolBuffer, offset: number, data: Host): void {
    this.#alive();
    if (b.lastBatch === this.#batch) this.flush();
    this.#device.queue.writeBuffer(
      b.buffer,
      offset,
      data.buffer as ArrayBuffer,
      data.byteOffset,
      data.byteLength,
    );
    this.stats.uploadedBytes += data.byteLength;
  }

  /** Gives memory back: to the pool, or (weights) to the system at the next submit. */
  free(b: PoolBuffer): void {
    if (!this.#lost) this.#pool.give(b, this.#batch);
  }

  /** After bulk uploads: lets Dawn give back their staging memory, which it does at a submit only. */
  reclaim(): void {
    this.flush();
    this.#device.queue.submit([]);
  }

  // ---- running -----------------------------------------------------------------------------------------------

  /** Encodes one kernel. Bindings in the kernel's order. */
  launch({ kernel, params, grid }: Launch, bindings: readonly Binding[]): void {
    this.#alive();
    const names = Object.keys(kernel.params);
    if (names.length && this.#slot === SLOTS) this.flush();
    const pass = this.#beginPass();
    const { pipeline, group } = this.#pipelines.prepare(kernel, bindings);
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    if (names.length) {
      const at = this.#slot++ * SLOT;
      names.forEach((name, i) => {
        const value = params[name];
        if (value === undefined) throw new Error(`kernel ${kernel.name}: parameter "${name}" is missing`);
        if (kernel.params[name] === 'u32') this.#slots.setUint32(at + 4 * i, value, true);
        else this.#slots.setFloat32(at + 4 * i, value, true);
      });
      pass.setBindGroup(1, this.#uniformGroup, [at]);
    }
    pass.dispatchWorkgroups(grid[0], grid[1], grid[2]);
    this.stats.dispatches++;
    for (const b of bindings) b.buffer.lastBatch = this.#batch;
  }

  /** Submits what was encoded. Reading does it by itself, and so does the next turn of the event loop. */
  flush(): void {
    if (!this.#encoder) return;
    const encoder = this.#encoder;
    this.#pass?.end();
    this.#pass = null;
    this.#encoder = null;
    if (this.#slot)
      this.#device.queue.writeBuffer(
        this.#uniforms,
        0,
        this.#slots.buffer as ArrayBuffer,
        0,
        this.#slot * SLOT,
      );
    this.#slot = 0;
    this.#batch++;
    this.#errors.guard('running GPU commands', () => this.#device.queue.submit([encoder.finish()]));
    this.stats.submits++;
    this.#trim();
  }

  /** Waits until the GPU has done everything that was asked of it. */
  async finish(): Promise<void> {
    this.flush();
    await this.#wait(this.#device.queue.onSubmittedWorkDone());
    this.#trim();
  }

  /**
   * Copies bytes back to the host.
   * @throws the first GPU error since the last read (validation, out of memory, lost device): never wrong numbers.
   */
  async read({ buffer, offset, bytes }: Binding): Promise<ArrayBuffer> {
    this.#alive();
    const size = 2 ** Math.ceil(Math.log2(Math.max(256, bytes)));
    const staging =
      this.#readers.get(size)?.pop() ??
      this.#errors.guard(`reading ${mib(bytes)} back`, () =>
        this.#device.createBuffer({ label: 'read-back', size, usage: GPU_MAP_READ | 0x8 }),
      );
    const encoder = this.#begin();
    this.#pass?.end();
    this.#pass = null;
    encoder.copyBufferToBuffer(buffer.buffer, offset, staging, 0, Math.ceil(bytes / 4) * 4);
    buffer.lastBatch = this.#batch;
    this.flush();
    try {
      await this.#wait(staging.mapAsync(GPU_MAP_READ, 0, size));
    } catch (e) {
      staging.destroy();
      throw e;
    }
    const data = staging.getMappedRange(0, Math.ceil(bytes / 4) * 4).slice(0, bytes);
    staging.unmap();
    this.stats.readBytes += bytes;
    this.#recycleReader(staging, size);
    return data;
  }

  /** Destroys the device. Models on it can no longer be used. */
  destroy(): void {
    this.#device.destroy();
  }

  // ---- inside ------------------------------------------------------------------------------------------------

  #alive(): void {
    if (this.#lost) throw this.#lost;
  }

  async #wait<T>(promise: Promise<T>): Promise<T> {
    const all = Promise.all([promise.catch((e: Error) => e), ...this.#errors.pending]);
    // Not a race against one promise of the lost device: that would keep every read's reactions for ever.
    const [value] = await gpuProvider().wait(
      new Promise<Awaited<typeof all>>((resolve, reject) => {
        this.#waiting.add(reject);
        const settled = () => this.#waiting.delete(reject);
        all.then(resolve, reject).then(settled);
        if (this.#lost) reject(this.#lost);
      }),
    );
    this.#errors.throwFirst();
    if (value instanceof Error) throw this.#lost ?? value;
    return value as T;
  }

  #begin(): GPUCommandEncoder {
    if (!this.#encoder) {
      this.#encoder = this.#device.createCommandEncoder({ label: `batch ${this.#batch}` });
      if (!this.#autoFlush) {
        this.#autoFlush = true;
        setTimeout(() => {
          this.#autoFlush = false;
          if (!this.#lost) this.flush();
        }, 0);
      }
    }
    return this.#encoder;
  }

  #beginPass(): GPUComputePassEncoder {
    return (this.#pass ??= this.#begin().beginComputePass());
  }

  #trim(): void {
    // Destroyed and staging memory only comes back with a later submit (Dawn).
    if (this.#pool.trim()) this.#device.queue.submit([]);
  }

  #recycleReader(staging: GPUBuffer, size: number): void {
    const idle = this.#readers.get(size) ?? [];
    if (idle.length < 2 && size <= 2 ** 24) {
      idle.push(staging);
      this.#readers.set(size, idle);
    } else staging.destroy();
  }
}
