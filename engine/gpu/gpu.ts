/**
 * The GPU device: encodes launches into one pass, submits once, reads back. Nothing runs until somebody reads
 * (or the event loop turns): a whole forward pass is one submit.
 */

import type { Caps, Host, Launch } from '../../kernels/core/kernel.js';
import { checkedMethods, optional, options } from '../../weights/checks/options.js';
import * as is from '../kinds.js';
import {
  type AdapterChoice,
  type AdapterDescription,
  describe,
  gpuProvider,
  isSoftware,
  type OpenOptions,
} from './adapter.js';
import { Pressure } from './collector.js';
import { DeviceParts, type Opened, openDevice } from './device.js';
import { lostDevice, lostTensor } from './error-scopes.js';
import type { Binding, GpuStats } from './pipelines.js';
import type { MemoryReport, PoolBuffer } from './pool.js';

export type { Binding, GpuStats } from './pipelines.js';

const GPU_MAP_READ = 1;
/** Milliseconds in which a device that fails may still say that it is lost. */
const LOSS_MS = 100;

const shared = new Map<string, Promise<Gpu>>();

/**
 * A GPU device with its memory, kernels and command stream. A device that is lost (the driver was reset, the machine slept) is
 * opened again before the next run, and what was registered with `onRestore` (the weights of models) is uploaded again.
 */
export class Gpu {
  /** Work done since the device was opened. */
  readonly stats: GpuStats = {
    dispatches: 0,
    submits: 0,
    bindGroups: 0,
    pipelines: 0,
    uploadedBytes: 0,
    readBytes: 0,
  };
  readonly #pressure = new Pressure();
  /** Opens another device of the same kind; null where the device was the user's. */
  readonly #reopen: (() => Promise<Opened>) | null;
  readonly #restorers = new Set<() => void | Promise<void>>();
  #held!: DeviceParts;
  /** Counts devices: memory of an earlier one is gone. */
  #generation = 0;
  #batch = 0;
  #encoder: GPUCommandEncoder | null = null;
  #pass: GPUComputePassEncoder | null = null;
  readonly #waiting = new Set<(lost: Error) => void>();
  #lost: Error | null = null;
  #restoring: Promise<void> | null = null;
  #destroyed = false;
  #autoFlush = false;

  /**
   * Opens a GPU.
   * @param source which adapter (devices are shared between models), or a `GPUDevice` of yours.
   * @throws an Error with the remedy when there is no such adapter.
   */
  static async open(source: AdapterChoice | GPUDevice = 'auto', options: OpenOptions = {}): Promise<Gpu> {
    if (typeof source === 'object') {
      const info = source.adapterInfo ?? ({} as GPUAdapterInfo);
      const software = isSoftware({ info } as GPUAdapter);
      return new Gpu({ device: source, adapter: describe({ info }, source, software) }, null);
    }
    const key = JSON.stringify([source, options.powerPreference]);
    let opening = shared.get(key);
    const forget = () => shared.get(key) === opening && shared.delete(key);
    if (!opening) {
      const request = () => openDevice(source, options);
      opening = request().then((opened) => new Gpu(opened, request));
      shared.set(key, opening);
      opening.catch(forget);
    }
    const gpu = await opening;
    if (gpu.#destroyed && forget()) return Gpu.open(source, options);
    await gpu.ready();
    return gpu;
  }

  private constructor(opened: Opened, reopen: (() => Promise<Opened>) | null) {
    this.#reopen = reopen;
    this.#attach(opened);
  }

  /** The adapter in one line, and its limits. */
  get adapter(): AdapterDescription {
    return this.#held.adapter;
  }

  /** What the kernels want to know of it. */
  get caps(): Caps {
    return this.#held.adapter.caps;
  }

  /** Begins with a device that nothing has been done on. */
  #attach({ device, adapter }: Opened): void {
    this.#held = new DeviceParts({ device, adapter }, ++this.#generation, this.stats);
    this.#encoder = null;
    this.#pass = null;
    this.#lost = null;
    device.lost.then((info) => {
      if (this.#held.device === device) this.#lose(info);
    });
  }

  // ---- losing the device -------------------------------------------------------------------------------------

  #lose(info: GPUDeviceLostInfo): void {
    const lost = lostDevice(info, this.#destroyed ? 'destroyed' : this.#reopen ? 'ours' : 'theirs');
    this.#lost = lost;
    for (const reject of this.#waiting) reject(lost);
    this.#waiting.clear();
  }

  /**
   * Registers what uploads again what a lost device held; it is called, in the order of registering, when another is open.
   * @returns ends that
   */
  onRestore(restore: () => void | Promise<void>): () => void {
    const entry = () => restore();
    this.#restorers.add(entry);
    return () => this.#restorers.delete(entry);
  }

  /**
   * To be awaited before a run: opens another device where this one is lost. Null where there is no need.
   * @throws the loss, where it is for good; what a restorer throws.
   */
  ready(): Promise<void> | null {
    if (this.#restoring) return this.#restoring;
    if (!this.#lost) return null;
    if (!this.#reopen || this.#destroyed) return Promise.reject(this.#lost);
    this.#restoring = this.#restore().finally(() => {
      this.#restoring = null;
    });
    return this.#restoring;
  }

  async #restore(): Promise<void> {
    const lost = this.#lost;
    try {
      this.#attach(await this.#reopen!());
    } catch (e) {
      const why = `${lost!.message.split(': call')[0]}, and none could be opened: ${(e as Error).message}`;
      throw new Error(why, { cause: e });
    }
    const failures: unknown[] = [];
    const restored = async (restore: () => void | Promise<void>) => restore();
    for (const restore of [...this.#restorers]) await restored(restore).catch((e) => failures.push(e));
    if (failures.length) throw failures[0];
  }

  // ---- memory ------------------------------------------------------------------------------------------------

  /** Bytes of GPU memory in use, idle in the pool, and at the peak. */
  memory(): MemoryReport {
    return this.#held.pool.report();
  }

  /** Follows the most bytes that are in use from now on; the function tells them, and ends that. */
  watchPeak(): () => number {
    return this.#held.pool.watchPeak();
  }

  /**
   * To be awaited before a run: opens a lost device again (`ready`); where memory is short, waits for what was dropped without
   * `dispose()` to be found and freed. Null where there is no need.
   */
  makeRoom(): Promise<void> | null {
    return this.ready() ?? this.#pressure.relieve(() => this.memory().bytes);
  }

  /** Uninitialised memory. `exact` is for weights: no rounding up, and destroyed rather than pooled when freed. */
  alloc(bytes: number, label: string, { exact = false } = {}): PoolBuffer {
    this.#alive();
    return this.#held.pool.take(bytes, label, this.#batch, { exact });
  }

  /** Memory with the given contents. */
  upload(data: Host, label: string, { exact = false } = {}): PoolBuffer {
    this.#alive();
    const b = this.#held.pool.take(data.byteLength, label, this.#batch, { exact, hostWrite: true });
    this.write(b, 0, data);
    return b;
  }

  /** Writes into a buffer that no unsubmitted command uses. */
  write(b: PoolBuffer, offset: number, data: Host): void {
    this.#alive(b);
    if (b.lastBatch === this.#batch) this.flush();
    this.#held.device.queue.writeBuffer(
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
    if (b.generation === this.#generation && !this.#lost) this.#held.pool.give(b, this.#batch);
  }

  /** After bulk uploads: lets Dawn give back their staging memory, which it does at a submit only. */
  reclaim(): void {
    this.flush();
    this.#held.device.queue.submit([]);
  }

  // ---- running -----------------------------------------------------------------------------------------------

  /** Encodes one kernel. Bindings in the kernel's order. */
  launch(launch: Launch, bindings: readonly Binding[]): void {
    for (const b of bindings) this.#alive(b.buffer);
    const { kernel, grid } = launch;
    const { pipelines, parameters } = this.#held;
    const names = Object.keys(kernel.params);
    if (names.length && parameters.full) this.flush();
    const pass = this.#beginPass();
    const { pipeline, group } = pipelines.prepare(kernel, bindings);
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    if (names.length) pass.setBindGroup(1, parameters.group, [parameters.add(launch, names)]);
    pass.dispatchWorkgroups(grid[0], grid[1], grid[2]);
    this.stats.dispatches++;
    for (const b of bindings) b.buffer.lastBatch = this.#batch;
  }

  /** Submits what was encoded. Reading does it by itself, and so does the next turn of the event loop. */
  flush(): void {
    if (!this.#encoder) return;
    const encoder = this.#encoder;
    const { device, errors, parameters } = this.#held;
    this.#pass?.end();
    this.#pass = null;
    this.#encoder = null;
    parameters.upload();
    this.#batch++;
    errors.guard('running GPU commands', () => device.queue.submit([encoder.finish()]));
    this.stats.submits++;
    this.#trim();
  }

  /** Waits until the GPU has done everything that was asked of it. */
  async finish(): Promise<void> {
    this.flush();
    await this.#wait(this.#held.device.queue.onSubmittedWorkDone());
    this.#trim();
  }

  /**
   * Copies bytes back to the host.
   * @throws the first GPU error since the last read (validation, out of memory, lost device): never wrong numbers.
   */
  async read({ buffer, offset, bytes }: Binding): Promise<ArrayBuffer> {
    this.#alive(buffer);
    const held = this.#held;
    const staging = held.staging(bytes);
    const encoder = this.#begin();
    this.#pass?.end();
    this.#pass = null;
    encoder.copyBufferToBuffer(buffer.buffer, offset, staging, 0, Math.ceil(bytes / 4) * 4);
    buffer.lastBatch = this.#batch;
    this.flush();
    try {
      await this.#wait(staging.mapAsync(GPU_MAP_READ, 0, staging.size));
    } catch (e) {
      staging.destroy();
      throw e;
    }
    const data = staging.getMappedRange(0, Math.ceil(bytes / 4) * 4).slice(0, bytes);
    staging.unmap();
    this.stats.readBytes += bytes;
    held.recycle(staging);
    return data;
  }

  /** Destroys the device, for good: models on it can no longer be used. */
  destroy(): void {
    this.#destroyed = true;
    this.#held.device.destroy();
  }

  // ---- inside ------------------------------------------------------------------------------------------------

  /** @throws when the device is lost, or a buffer is of one that was. */
  #alive(b?: PoolBuffer): void {
    if (this.#lost) throw this.#lost;
    if (b && b.generation !== this.#generation) throw lostTensor();
  }

  async #wait<T>(promise: Promise<T>): Promise<T> {
    const { device, errors } = this.#held;
    const all = Promise.all([promise.catch((e: Error) => e), ...errors.pending]);
    // Not a race against one promise of the lost device: that would keep every read's reactions for ever.
    const [value] = await gpuProvider().wait(
      new Promise<Awaited<typeof all>>((resolve, reject) => {
        this.#waiting.add(reject);
        const settled = () => this.#waiting.delete(reject);
        all.then(resolve, reject).then(settled);
        if (this.#lost) reject(this.#lost);
      }),
    );
    errors.throwFirst();
    if (value instanceof Error) {
      // Maps of a lost device fail a little before it says that it is lost.
      await Promise.race([device.lost, new Promise((done) => setTimeout(done, LOSS_MS))]);
      throw this.#held.device === device ? (this.#lost ?? value) : lostTensor();
    }
    return value as T;
  }

  #begin(): GPUCommandEncoder {
    if (!this.#encoder) {
      this.#encoder = this.#held.device.createCommandEncoder({ label: `batch ${this.#batch}` });
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
    if (this.#held.pool.trim()) this.#held.device.queue.submit([]);
  }
}

const OPEN = options<OpenOptions>({ powerPreference: is.oneOf('low-power', 'high-performance') });
checkedMethods<typeof Gpu>(Gpu, { open: { source: optional(is.adapter), options: OPEN } }, 'Gpu.');
const methods = { ready: {}, memory: {}, watchPeak: {}, makeRoom: {}, finish: {}, destroy: {}, reclaim: {} };
const inner = { alloc: null, upload: null, write: null, free: null, launch: null, read: null, flush: null };
checkedMethods(Gpu.prototype, { ...methods, onRestore: { restore: is.callback }, ...inner }, 'gpu.');
