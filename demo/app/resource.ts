/** A result that follows the state: computed anew when what it depends on changes, and given up when it is not wanted. */

import type { State } from './state.js';
import type { Store } from './store.js';

/** What is known of a result. While a new one is computed, the old one stays. */
export interface ResourceState<T> {
  readonly status: 'idle' | 'busy' | 'done' | 'failed';
  readonly value: T | null;
  readonly error: string | null;
  /** 0–1 while busy, where it is known. */
  readonly progress: number | null;
}

/** For the function that computes. */
export interface Task {
  readonly signal: AbortSignal;
  progress(done: number, total: number): void;
}

/** How a result is made. */
export interface ResourceOptions<T> {
  /** Tells states apart that have different results; null: there is none. */
  key(state: State): string | null;
  run(state: State, task: Task): Promise<T>;
  /** Called on every change. */
  see(state: ResourceState<T>): void;
  /** Nothing is computed before `start` is called. Default false. */
  lazy?: boolean;
}

/** A result that follows the state. */
export interface Resource<T> {
  readonly state: ResourceState<T>;
  /** Of a lazy one: begins. */
  start(): void;
}

/** Makes a result follow the state. */
export function resource<T>(store: Store<State>, options: ResourceOptions<T>): Resource<T> {
  const { key, run, see, lazy = false } = options;
  let state: ResourceState<T> = { status: 'idle', value: null, error: null, progress: null };
  let started = !lazy;
  let controller: AbortController | null = null;
  let current: string | null = null;
  const change = (next: Partial<ResourceState<T>>) => {
    state = { ...state, ...next };
    see(state);
  };
  const update = async () => {
    const wanted = started ? key(store.state) : null;
    if (wanted === current) return;
    current = wanted;
    controller?.abort(new DOMException('not wanted any more', 'AbortError'));
    controller = null;
    if (wanted === null) return change({ status: 'idle', error: null, progress: null });
    const own = new AbortController();
    controller = own;
    change({ status: 'busy', error: null, progress: null });
    try {
      const value = await run(store.state, {
        signal: own.signal,
        progress: (done, total) => {
          if (controller === own) change({ progress: total ? done / total : null });
        },
      });
      if (controller === own) change({ status: 'done', value, progress: null });
    } catch (e) {
      if (controller === own) change({ status: 'failed', value: null, error: (e as Error).message });
    }
  };
  store.watch(key, update);
  return {
    get state() {
      return state;
    },
    start() {
      started = true;
      update();
    },
  };
}
