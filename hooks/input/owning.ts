/** Results that hold GPU memory work with `using`. */

/** What can be given back. */
export interface Holder {
  /** Gives the memory back. Twice is once. */
  dispose(): void;
  /** The same as `dispose()`, for `using`. */
  [Symbol.dispose](): void;
}

/**
 * A result with `dispose()` and `[Symbol.dispose]()`, which give these parts back. The two do not show when
 * it is printed, compared or written as JSON.
 */
export function owning<T extends object>(result: T, ...parts: ({ dispose(): void } | null)[]): T & Holder {
  const value = () => {
    for (const part of parts) part?.dispose();
  };
  for (const key of ['dispose', Symbol.dispose]) Object.defineProperty(result, key, { value });
  return result as T & Holder;
}
