/**
 * GPU memory. Buffers come in a few size classes and go back to a pool, so that a repeated run allocates
 * nothing, and gets the very same buffers again: always the free one with the lowest number. (So its bind
 * groups are found in the cache too.)
 */

import { IDLE_BYTES } from '../budgets.js';

/** Runs a GPU call under error scopes; an error is told to whoever waits next, with what was being done. */
export type Guard = <T>(doing: string, f: () => T) => T;

/** A GPU buffer with what the engine must know of it. */
export interface PoolBuffer {
  readonly id: number;
  /** Which device of its `Gpu` it is of: after a loss there is another. */
  readonly generation: number;
  readonly buffer: GPUBuffer;
  readonly bytes: number;
  /** Weights have exact sizes and are destroyed when released; everything else returns to the pool. */
  readonly pooled: boolean;
  /**
   * Number of the last command batch that used it: it must not be written from the host before that is
   * submitted.
   */
  lastBatch: number;
  /** Batch in which it became idle. */
  idleSince: number;
}

/** What `gpu.memory()` reports, in bytes. */
export interface MemoryReport {
  /** Held by tensors and weights. */
  readonly bytes: number;
  /** Held by the pool for the next run. */
  readonly idle: number;
  /** The most that was ever held by tensors and weights at once. */
  readonly peak: number;
  /** How many buffers tensors and weights hold. */
  readonly buffers: number;
}

const USAGE = { storage: 0x80, copySrc: 0x4, copyDst: 0x8 };

/** Size class: steps of a quarter power of two, at least 256 bytes. */
export function sizeClass(bytes: number): number {
  const n = Math.max(256, bytes);
  const step = Math.max(256, 2 ** Math.floor(Math.log2(n)) / 4);
  return Math.ceil(n / step) * step;
}

/** The buffers of one device. */
export class Pool {
  #free = new Map<number, PoolBuffer[]>(); // per size class, ascending by id
  #nextId = 1;
  #bytes = 0;
  #idle = 0;
  #peak = 0;
  #count = 0;

  readonly #device: GPUDevice;
  readonly #maxBufferBytes: number;
  readonly #guard: Guard;
  readonly #generation: number;
  readonly #onDestroy: (b: PoolBuffer) => void;

  constructor(
    device: GPUDevice,
    maxBufferBytes: number,
    guard: Guard,
    generation: number,
    onDestroy: (b: PoolBuffer) => void,
  ) {
    this.#device = device;
    this.#generation = generation;
    this.#maxBufferBytes = maxBufferBytes;
    this.#guard = guard;
    this.#onDestroy = onDestroy;
  }

  /**
   * A buffer of at least `bytes`. With `hostWrite` it is one that no unsubmitted command of batch `batch`
   * uses.
   * @throws when no single buffer of this adapter can be that large.
   */
  take(bytes: number, label: string, batch: number, { exact = false, hostWrite = false } = {}): PoolBuffer {
    const size = exact
      ? Math.ceil(Math.max(4, bytes) / 4) * 4
      : Math.min(sizeClass(bytes), Math.max(bytes, this.#maxBufferBytes));
    if (bytes > this.#maxBufferBytes)
      throw new Error(
        `${label} needs a buffer of ${mib(bytes)}, but this adapter allows ${mib(this.#maxBufferBytes)}: run fewer or shorter rows at once`,
      );
    let found: PoolBuffer | undefined;
    if (!exact) {
      const list = this.#free.get(size);
      const i = list ? list.findIndex((b) => !hostWrite || b.lastBatch < batch) : -1;
      if (i >= 0) found = list!.splice(i, 1)[0];
    }
    if (found) this.#idle -= size;
    else found = this.#create(size, label, !exact);
    this.#bytes += found.bytes;
    this.#count++;
    this.#peak = Math.max(this.#peak, this.#bytes);
    for (const watch of this.#watches) watch.peak = Math.max(watch.peak, this.#bytes);
    return found;
  }

  readonly #watches = new Set<{ peak: number }>();

  /** Follows the most that is held from now on; the function tells it, and ends that. */
  watchPeak(): () => number {
    const watch = { peak: this.#bytes };
    this.#watches.add(watch);
    return () => {
      this.#watches.delete(watch);
      return watch.peak;
    };
  }

  /**
   * Takes a buffer back. It may be handed out again at once: commands run in the order in which they were
   * encoded.
   */
  give(b: PoolBuffer, batch: number): void {
    this.#bytes -= b.bytes;
    this.#count--;
    b.idleSince = batch;
    if (!b.pooled) {
      this.#idle += b.bytes;
      this.#doomed.push(b);
      return;
    }
    this.#idle += b.bytes;
    let list = this.#free.get(b.bytes);
    if (!list) this.#free.set(b.bytes, (list = []));
    let i = list.length;
    while (i > 0 && list[i - 1].id > b.id) i--;
    list.splice(i, 0, b);
  }

  #doomed: PoolBuffer[] = [];

  /**
   * After a submit: destroys what is not to be kept. True if something was destroyed, in which case the queue
   * needs one more submit (Dawn gives memory back only then).
   */
  trim(maxIdle = IDLE_BYTES): boolean {
    const victims = this.#doomed.splice(0);
    let idle = this.#idle - victims.reduce((n, b) => n + b.bytes, 0);
    if (idle > maxIdle) {
      const all = [...this.#free.values()]
        .flat()
        .sort((a, b) => a.idleSince - b.idleSince || b.bytes - a.bytes);
      for (const b of all) {
        if (idle <= maxIdle) break;
        const list = this.#free.get(b.bytes)!;
        list.splice(list.indexOf(b), 1);
        victims.push(b);
        idle -= b.bytes;
      }
    }
    this.#idle = idle;
    for (const b of victims) {
      this.#onDestroy(b);
      b.buffer.destroy();
    }
    return victims.length > 0;
  }

  report(): MemoryReport {
    return { bytes: this.#bytes, idle: this.#idle, peak: this.#peak, buffers: this.#count };
  }

  #create(bytes: number, label: string, pooled: boolean): PoolBuffer {
    const id = this.#nextId++;
    // Error scopes only here, where memory is made: around every allocation from the pool they cost a quarter
    // of encoding.
    const buffer = this.#guard(`allocating ${mib(bytes)} for ${label}`, () =>
      this.#device.createBuffer({
        label: pooled ? `glassbox #${id}` : label,
        size: bytes,
        usage: USAGE.storage | USAGE.copySrc | USAGE.copyDst,
      }),
    );
    return { id, generation: this.#generation, buffer, bytes, pooled, lastBatch: -1, idleSince: 0 };
  }
}

/** Bytes as a person reads them. */
export const mib = (bytes: number): string =>
  bytes < 2 ** 20 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
