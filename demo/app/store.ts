/** A small reactive store: one object, listeners for parts of it. Changes of one tick are told once. */

/** Holds a state that is replaced, never changed in place. */
export class Store<S extends object> {
  #state: S;
  readonly #watchers = new Set<() => void>();
  #told = true;

  constructor(state: S) {
    this.#state = state;
  }

  /** The state now. */
  get state(): S {
    return this.#state;
  }

  /** Puts in new values; watchers hear of it after the current task. */
  set(change: Partial<S>): void {
    this.#state = { ...this.#state, ...change };
    if (!this.#told) return;
    this.#told = false;
    queueMicrotask(() => {
      this.#told = true;
      for (const watcher of [...this.#watchers]) watcher();
    });
  }

  /**
   * Calls `see` now and whenever what `pick` gives has changed: values are compared with `===`, the entries
   * of an array one by one.
   * @returns ends it
   */
  watch<T>(pick: (state: S) => T, see: (value: T, state: S) => void): () => void {
    let last = pick(this.#state);
    const watcher = () => {
      const value = pick(this.#state);
      if (same(value, last)) return;
      last = value;
      see(value, this.#state);
    };
    this.#watchers.add(watcher);
    see(last, this.#state);
    return () => this.#watchers.delete(watcher);
  }
}

function same(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((x, i) => x === b[i]);
  return a === b;
}
