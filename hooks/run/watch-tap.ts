/**
 * The tap of a run whose gradients are wanted: each watched hook point becomes a point of its own on the
 * tape.
 */

import type { Tape } from '../../engine/tensor/tape.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import type { Tap } from '../../engine/transformer/tap.js';

/** Watches what another tap hands back. */
export class WatchTap implements Tap {
  readonly #inner: Tap;
  readonly #tape: Tape;
  readonly #watched: ReadonlySet<string>;
  readonly #before: ReadonlySet<string>;

  /** @param before of these, what comes to the other tap is watched, not what it hands back */
  constructor(inner: Tap, tape: Tape, watched: ReadonlySet<string>, before: ReadonlySet<string> = new Set()) {
    this.#before = before;
    this.#inner = inner;
    this.#tape = tape;
    this.#watched = watched;
  }

  wants(...names: string[]): boolean {
    return this.#inner.wants(...names) || names.some((n) => this.#watched.has(n));
  }

  at(name: string, t: Tensor): Tensor | Promise<Tensor> {
    if (this.#before.has(name)) return this.#inner.at(name, this.#tape.watch(t, name));
    const seen = this.#inner.at(name, t);
    if (!this.#watched.has(name)) return seen;
    return seen instanceof Promise
      ? seen.then((s) => this.#tape.watch(s, name))
      : this.#tape.watch(seen, name);
  }
}
