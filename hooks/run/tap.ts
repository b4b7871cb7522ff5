/** The tap of one run: calls the user's hooks and fills the cache. Nothing of it outlives the run. */

import type { Gpu } from '../../engine/gpu/gpu.js';
import { Scope } from '../../engine/gpu/storage.js';
import { numbersOf } from '../../engine/numbers.js';
import { sameShape, showShape } from '../../engine/shape/shape.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import type { Tap } from '../../engine/transformer/tap.js';
import type { Hook, HookContext } from '../input/hook.js';
import { checkChangeable } from '../input/names.js';
import { type Layout, pack, present, putRow, takeRow } from './view.js';

/** Calls hooks and captures activations of one run. */
export class HookTap implements Tap {
  readonly #hooks: ReadonlyMap<string, readonly Hook[]>;
  readonly #capture: ReadonlySet<string>;
  readonly #onCapture: (name: string, t: Tensor) => void;
  readonly #layout: Layout;
  readonly #scope: Scope;

  /** `scope` is the run's; `capture` names what `onCapture` is given (it owns those tensors). */
  constructor(
    layout: Layout,
    scope: Scope,
    hooks: ReadonlyMap<string, readonly Hook[]>,
    capture: ReadonlySet<string> = new Set(),
    onCapture: (name: string, t: Tensor) => void = () => {},
  ) {
    this.#layout = layout;
    this.#scope = scope;
    this.#hooks = hooks;
    this.#capture = capture;
    this.#onCapture = onCapture;
  }

  wants(...names: string[]): boolean {
    return names.some((n) => this.#hooks.has(n) || this.#capture.has(n));
  }

  at(name: string, t: Tensor): Tensor | Promise<Tensor> {
    const hooks = this.#hooks.get(name);
    if (hooks) return this.#call(name, t, hooks);
    if (this.#capture.has(name)) this.#handOver(name, t);
    return t;
  }

  async #call(name: string, t: Tensor, hooks: readonly Hook[]): Promise<Tensor> {
    let seen = t;
    for (const hook of hooks) seen = (await this.#callOne(name, seen, hook, t.scope ?? this.#scope)) ?? seen;
    if (this.#capture.has(name)) this.#handOver(name, seen);
    return seen;
  }

  async #callOne(name: string, t: Tensor, hook: Hook, owner: Scope): Promise<Tensor | null> {
    const scope = new Scope();
    const shown = this.#show(name, t);
    scope.add(shown);
    try {
      const result = await hook(shown, this.#context(name, t.gpu, scope));
      if (result === undefined || result === null || result === shown) {
        checkNothingLost(name, shown, scope);
        return null;
      }
      const point = this.#layout.points.get(name);
      if (point) checkChangeable(point);
      checkResult(name, result, shown);
      const packed = pack(name, result, this.#layout);
      const owned = packed.alias(owner, name);
      if (packed !== result) packed.dispose();
      return owned;
    } finally {
      scope.close();
    }
  }

  #handOver(name: string, t: Tensor): void {
    const seen = this.#show(name, t);
    const shown = seen.detach();
    seen.dispose();
    try {
      this.#onCapture(name, shown);
    } catch (e) {
      shown.dispose();
      throw e;
    }
  }

  /** A handle of its own on what the user sees. */
  #show(name: string, t: Tensor): Tensor {
    const view = present(name, t, this.#layout);
    const shown = view.alias(null, name);
    if (view !== t) view.dispose();
    return shown;
  }

  #context(name: string, gpu: Gpu, scope: Scope): HookContext {
    return {
      name,
      layer: this.#layout.points.get(name)?.layer ?? null,
      rows: this.#layout.rows,
      tensor: (data, shape) => {
        const { values, shape: own } = numbersOf(data, `hook "${name}": tensor`);
        return Tensor.from(gpu, values, shape ?? own, { label: name, scope });
      },
      row: (t, i) => takeRow(name, t, this.#layout, i),
      setRow: (t, i, value) => putRow(name, t, this.#layout, i, value),
    };
  }
}

/**
 * @throws when the hook made an activation out of its own and then forgot it: nothing read, kept, or went on
 * from it.
 */
function checkNothingLost(name: string, shown: Tensor, scope: Scope): void {
  const isLost = (t: unknown) =>
    t instanceof Tensor && t.storage.unread && t.storage !== shown.storage && sameShape(t.shape, shown.shape);
  if (scope.some(isLost))
    throw new Error(
      `hook "${name}" made a tensor ${showShape(shown.shape)} from the activation, and neither read nor returned it: return the tensor that is to take the activation's place, (x) => x.mul(0); keep() saves one for later`,
    );
}

function checkResult(name: string, result: unknown, shown: Tensor): asserts result is Tensor {
  if (!(result instanceof Tensor))
    throw new Error(
      `hook "${name}" returned ${typeof result}: a hook returns a Tensor of the same shape, or nothing`,
    );
  if (result.disposed) throw new Error(`hook "${name}" returned a tensor that was disposed of`);
  if (result.dtype !== 'f32')
    throw new Error(`hook "${name}" returned a ${result.dtype} tensor: f32 is needed`);
  if (!sameShape(result.shape, shown.shape))
    throw new Error(
      `hook "${name}" returned shape ${showShape(result.shape)}: ${showShape(shown.shape)} is needed`,
    );
}
