/**
 * A result that follows the state: computed anew when what it depends on changes, and given up when it is not
 * wanted. It is held together with the experiment that it belongs to, and only as long as it is the result of
 * what is asked now.
 */

import { type Ask, frozen } from './ask.js';
import type { Asked, Found, State } from './state.js';
import type { Store } from './store.js';

/** What is known of a result. */
export interface ResourceState<T> {
  /**
   * `empty`: there can be none; `waiting`: nothing is computed yet, but will be; `busy`: it is being
   * computed.
   */
  readonly status: 'empty' | 'waiting' | 'busy' | 'done' | 'failed';
  /** With the experiment that it belongs to; null unless `done`. */
  readonly found: Found<T> | null;
  /** Why it is empty or failed. */
  readonly why: string | null;
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
  /** What it needs. */
  ask(state: State): Ask;
  run(of: Asked, task: Task): Promise<T>;
  /** Called on every change. */
  see(state: ResourceState<T>): void;
  /** Nothing is computed before `start` is called. Default false. */
  lazy?: boolean;
}

/** A result that follows the state. */
export interface Resource<T> {
  readonly state: ResourceState<T>;
  /**
   * Whether that is of what is asked in this very moment: a change is told to resources only after the
   * current task.
   */
  readonly fresh: boolean;
  /** Of a lazy one: begins. */
  start(): void;
}

/** Makes a result follow the state. */
export function resource<T>(store: Store<State>, options: ResourceOptions<T>): Resource<T> {
  const { run, see, lazy = false } = options;
  let state: ResourceState<T> = { status: 'waiting', found: null, why: null, progress: null };
  let started = !lazy;
  let controller: AbortController | null = null;
  let current = '';
  const change = (status: ResourceState<T>['status'], more: Partial<ResourceState<T>> = {}) => {
    state = { status, found: null, why: null, progress: null, ...more };
    see(state);
  };
  const ask = (of: State) => {
    const { key, why } = options.ask(of);
    return JSON.stringify([started || key === null, key, why]);
  };
  const update = async (asked: string) => {
    if (asked === current) return;
    current = asked;
    const [begin, key, why] = JSON.parse(asked) as [boolean, string | null, string | null];
    controller?.abort(new DOMException('not wanted any more', 'AbortError'));
    controller = null;
    if (key === null) return change(why === null ? 'waiting' : 'empty', { why });
    if (!begin) return change('waiting');
    const own = new AbortController();
    controller = own;
    const of = frozen(store.state);
    change('busy');
    try {
      const value = await run(of, {
        signal: own.signal,
        progress: (done, total) => {
          if (controller === own) change('busy', { progress: total ? done / total : null });
        },
      });
      if (controller === own) change('done', { found: { value, of } });
    } catch (e) {
      if (controller === own) change('failed', { why: (e as Error).message });
    }
  };
  store.watch(ask, update);
  return {
    get state() {
      return state;
    },
    get fresh() {
      return ask(store.state) === current;
    },
    start() {
      started = true;
      update(ask(store.state));
    },
  };
}
