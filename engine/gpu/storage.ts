/**
 * Who owns GPU memory. A `Storage` is a buffer with a reference count: tensors that are views of each other
 * share it. A `Scope` is a list of tensors that are disposed together: an operation's result joins the scope of
 * its inputs, so whatever a forward pass (or a hook in it) makes goes back to the pool by itself.
 */

import type { Stored } from '../../kernels/core/stored.js';
import type { Gpu } from './gpu.js';
import type { PoolBuffer } from './pool.js';
import type { Owned } from './user-scope.js';

/**
 * What a read has to look at first: made beside an operation that hides NaN, fetched with the next read of what it gave, and of
 * what was made from that.
 */
export interface Flag {
  /** u32, `count` of them. */
  readonly storage: Storage;
  readonly count: number;
  /** The error that they tell of, or null. */
  error(found: Uint32Array): Error | null;
}

/** A reference-counted buffer. */
export class Storage {
  readonly gpu: Gpu;
  /** Another one after the device was lost, where what it holds can be uploaded again. */
  buffer: PoolBuffer;
  /** How its elements are stored: weights may be float16 or in blocks. Operations see float32. */
  readonly stored: Stored;
  /** What it holds, where reading NaN or infinity from it is an error: `logits`. */
  guarded: string | null = null;
  /** It holds the result of an operation that nothing has read or kept since. */
  unread = false;
  #flags: readonly Flag[] = [];
  #refs = 0;

  constructor(gpu: Gpu, buffer: PoolBuffer, stored: Stored = 'f32') {
    this.gpu = gpu;
    this.buffer = buffer;
    this.stored = stored;
  }

  /** More than one tensor holds it. */
  get shared(): boolean {
    return this.#refs > 1;
  }

  /** What a read has to look at first. */
  get flags(): readonly Flag[] {
    return this.#flags;
  }

  /** Adds flags that are not there yet; they are kept as long as this is. */
  flag(flags: readonly Flag[]): void {
    const added = flags.filter((f) => !this.#flags.includes(f));
    if (!added.length) return;
    for (const { storage } of added) storage.retain();
    this.#flags = [...this.#flags, ...added];
  }

  retain(): void {
    this.#refs++;
  }

  release(): void {
    if (--this.#refs > 0) return;
    this.gpu.free(this.buffer);
    for (const { storage } of this.#flags) storage.release();
    this.#flags = [];
  }
}

interface Member extends Owned {
  scope: Scope | null;
}

/** Tensors that end together. */
export class Scope {
  #members = new Set<Member>();
  #open = true;

  /** False once `close` has been called: results no longer join it. */
  get open(): boolean {
    return this.#open;
  }

  add(t: Member): void {
    this.#members.add(t);
    t.owner?.remove(t);
    t.scope = this;
  }

  /** Takes a tensor out: whoever does so now owns it. */
  remove(t: Member): void {
    if (this.#members.delete(t)) t.scope = null;
  }

  /** Whether one of its tensors is like that. */
  some(test: (t: Owned) => boolean): boolean {
    return [...this.#members].some(test);
  }

  /** Disposes of everything still inside. */
  close(): void {
    this.#open = false;
    const members = [...this.#members];
    this.#members.clear();
    for (const t of members) {
      t.scope = null;
      t.dispose();
    }
  }
}

/**
 * Runs a function with a scope of its own, and closes it when the function (or the promise it returns) is through, also after
 * an error. What is to outlive it is kept (`keep()`), or handed to another scope.
 */
export function inScope<T>(f: (scope: Scope) => T): T {
  const scope = new Scope();
  let result: T;
  try {
    result = f(scope);
  } catch (e) {
    scope.close();
    throw e;
  }
  if (result instanceof Promise) return result.finally(() => scope.close()) as T;
  scope.close();
  return result;
}
