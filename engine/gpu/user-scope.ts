/**
 * `scope(async () => …)`: whatever tensors are made inside and not returned go back to the pool at its end.
 * It knows the tensors that no run owns: results of calls, and of operations on them.
 *
 * In Node a scope follows the asynchronous context (user-scope-node.ts). A page has no such context: scopes
 * that overlap there are one, which ends with the last of them.
 */

/** What a scope keeps account of. */
export interface Owned {
  owner: UserScope | null;
  dispose(): void;
}

/** Internal: what an object with private fields holds, so that a scope that returns it leaves it alone. */
export const HOLDS: unique symbol = Symbol('glassbox.holds');

/** Tensors that end with a scope. */
export class UserScope {
  readonly #members = new Set<Owned>();
  readonly outer: UserScope | null;
  open = true;

  constructor(outer: UserScope | null = null) {
    this.outer = outer;
  }

  add(t: Owned): void {
    this.#members.add(t);
    t.owner = this;
  }

  remove(t: Owned): void {
    this.#members.delete(t);
    t.owner = null;
  }

  /** What a result holds is the scope's no longer, but that of `to`. */
  handOver(result: unknown, to: UserScope | null): void {
    const seen = new Set<unknown>();
    const walk = (value: unknown): void => {
      if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || seen.has(value)) return;
      seen.add(value);
      if (this.#members.has(value as Owned)) {
        this.remove(value as Owned);
        to?.add(value as Owned);
        return;
      }
      const holds = (value as { [HOLDS]?: () => Iterable<unknown> })[HOLDS];
      if (holds) for (const part of holds.call(value)) walk(part);
      else if (value instanceof Map || value instanceof Set || Array.isArray(value))
        for (const part of value.values()) walk(part);
      if (value instanceof Map) for (const key of value.keys()) walk(key);
      if (!Array.isArray(value)) for (const part of Object.values(value)) walk(part);
    };
    walk(result);
  }

  /** Disposes of everything still inside. */
  close(): void {
    this.open = false;
    for (const t of [...this.#members]) {
      this.remove(t);
      t.dispose();
    }
  }
}

/** How a platform finds the scope that is at work. */
export interface ScopeContext {
  current(): UserScope | null;
  enter<T>(f: () => T | Promise<T>): Promise<T>;
}

let shared: UserScope | null = null;
let overlapping = 0;

/** Without an asynchronous context: overlapping scopes are one. */
const together: ScopeContext = {
  current: () => shared,
  async enter(f) {
    shared ??= new UserScope();
    const own = shared;
    overlapping++;
    try {
      const result = await f();
      own.handOver(result, null);
      return result;
    } finally {
      if (--overlapping === 0) {
        shared = null;
        own.close();
      }
    }
  },
};

let context = together;

/** Registers the platform's context. @returns the one before */
export function setScopeContext(c: ScopeContext | null): ScopeContext {
  const before = context;
  context = c ?? together;
  return before;
}

/** Internal: the scope that a tensor joins which nobody else owns. */
export function currentScope(): UserScope | null {
  let own = context.current();
  while (own && !own.open) own = own.outer;
  return own;
}

/**
 * Runs a function, and frees the tensors, caches and results made inside that it does not return, also when
 * it throws. Scopes nest: what an inner one returns belongs to the outer one. What was made before, and what
 * is returned (in objects, lists and maps, too), stays.
 * @example const top = await scope(async () => (await model.forward(text)).slice({ pos: -1 }).topk(5))
 */
export async function scope<T>(f: () => T | Promise<T>): Promise<T> {
  if (typeof f !== 'function') throw new Error('scope: a function is needed, scope(async () => { … })');
  return context.enter(f);
}
