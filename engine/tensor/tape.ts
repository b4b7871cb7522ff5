/**
 * Reverse-mode differentiation. An operation whose inputs are on a tape leaves a node there: how its gradient
 * becomes those of its inputs (its vector-Jacobian product). `backward` walks the nodes from the last to the
 * first. What no watched tensor leads to is never recorded, and only what some gradient needs is kept.
 */

import { Scope } from '../gpu/storage.js';
import { sameShape, showShape } from '../shape/shape.js';
import { addInto } from './accumulate.js';
import type { Tensor } from './tensor.js';

/**
 * What a backward pass may take for a constant: attention patterns (gradients reach heads through their
 * values only), the scales of layer norms, or the gates of the MLP's nonlinearity (gelu(x) = x · gate(x)).
 */
export type Constant = 'pattern' | 'scale' | 'gate';

/** What an operation knows while its gradient passes. */
export interface BackwardContext {
  readonly constant: ReadonlySet<Constant>;
  /** Whether anybody needs the gradient of input i. */
  wants(i: number): boolean;
  /**
   * The gradient of input i so far, if it may be added to in place: the operation then returns this very
   * tensor for it.
   */
  sum(i: number): Tensor | null;
}

/** From the gradient of an operation's result to those of its inputs; null where there is none. */
export type Backward = (dy: Tensor, context: BackwardContext) => readonly (Tensor | null)[];

/** Keeps a tensor until the gradient has passed. */
export type Save = <T extends Tensor | Tensor<'u32'> | null | undefined>(t: T) => T;

/** One operation on a tape, or a tensor that is watched. */
export class TapeNode {
  readonly tape: Tape;
  readonly inputs: readonly (TapeNode | null)[];
  readonly shape: readonly number[];
  /** Whoever watches it calls it so. */
  readonly name: string | null;
  /** Internal */
  backward: Backward | null;
  readonly #saved: (Tensor | Tensor<'u32'>)[] = [];

  constructor(
    tape: Tape,
    inputs: readonly (TapeNode | null)[],
    shape: readonly number[],
    make: ((save: Save) => Backward) | null,
    name: string | null,
  ) {
    this.tape = tape;
    this.inputs = inputs;
    this.shape = shape;
    this.name = name;
    const save = <T extends Tensor | Tensor<'u32'> | null | undefined>(t: T): T => {
      if (!t) return t;
      const own = t.detach();
      this.#saved.push(own);
      return own as T;
    };
    this.backward = make?.(save) ?? null;
  }

  /** Gives back what was kept for the gradient. */
  free(): void {
    this.backward = null;
    for (const t of this.#saved.splice(0)) t.dispose();
  }
}

/** Whether a tensor depends on something that is watched. */
export const isTaped = (...tensors: readonly (Tensor | null | undefined)[]): boolean =>
  tensors.some((t) => t?.node?.tape.open);

/**
 * Internal: puts an operation on the tape of its inputs, if one of them is on one. Every operation ends with
 * it.
 * @param make gets `save`, for what the gradient needs, and gives the vector-Jacobian product
 */
export function taped<T extends Tensor>(
  out: T,
  inputs: readonly (Tensor | null | undefined)[],
  make: (save: Save) => Backward,
): T {
  // A view holds what its tensor holds: that may have been read.
  if (!out.storage.shared) out.storage.unread = true;
  if (isTaped(...inputs)) {
    const nodes = inputs.map((t) => (t?.node?.tape.open ? t.node : null));
    out.node = nodes.find((n) => n !== null)!.tape.record(nodes, out.shape, make);
  }
  return out;
}

/** What a backward pass is asked. */
export interface BackwardOptions {
  readonly constant?: Iterable<Constant>;
  /**
   * Called with the whole gradient of each watched tensor, last first; what it gives goes on instead. It owns
   * neither.
   */
  readonly at?: (name: string, gradient: Tensor) => Tensor | Promise<Tensor>;
  /** Keep what was saved, for another backward pass. */
  readonly again?: boolean;
}

/** Operations in the order in which they ran. */
export class Tape {
  #nodes: TapeNode[] = [];
  #open = true;
  /** Ends with the tape. */
  readonly scope = new Scope();

  /** False once `close` was called: operations on its tensors are no longer recorded. */
  get open(): boolean {
    return this.#open;
  }

  /** How many operations it has. */
  get length(): number {
    return this.#nodes.length;
  }

  /** The same tensor as a point at which `backward` stops by: from here on operations on it are recorded. */
  watch(t: Tensor, name: string, scope: Scope | null = t.scope): Tensor {
    const out = t.detach(scope);
    const from = t.node?.tape === this ? t.node : null;
    out.node = this.#push(new TapeNode(this, [from], t.shape, from && (() => (dy) => [dy]), name));
    return out;
  }

  /** Internal: see `taped`. */
  record(
    inputs: readonly (TapeNode | null)[],
    shape: readonly number[],
    make: (save: Save) => Backward,
  ): TapeNode {
    return this.#push(new TapeNode(this, inputs, shape, make, null));
  }

  /**
   * Sends gradients back: `seeds` are pairs of a tensor and the gradient of the result with respect to it.
   * Watched tensors that nothing flows to are not heard of.
   */
  async backward(
    seeds: readonly (readonly [of: Tensor, gradient: Tensor])[],
    options: BackwardOptions = {},
  ): Promise<void> {
    const { at, again = false } = options;
    const constant = new Set(options.constant);
    const sums = new Map<TapeNode, Tensor>();
    try {
      for (const [{ node }, gradient] of seeds) if (node?.tape === this) add(sums, node, gradient);
      for (let i = this.#nodes.length - 1; i >= 0; i--) {
        const node = this.#nodes[i];
        let sum = sums.get(node);
        if (sum && node.name !== null && at) {
          const seen = await at(node.name, sum);
          if (seen !== sum) {
            sums.set(node, seen.detach(null));
            sum.dispose();
            sum = sums.get(node)!;
          }
        }
        if (sum) {
          sums.delete(node);
          pass(node, sum, sums, constant);
        }
        if (!again) node.free();
      }
    } finally {
      for (const sum of sums.values()) sum.dispose();
      if (!again) this.close();
    }
  }

  /** Gives back what was kept. */
  close(): void {
    this.#open = false;
    for (const node of this.#nodes.splice(0)) node.free();
    this.scope.close();
  }

  #push(node: TapeNode): TapeNode {
    this.#nodes.push(node);
    return node;
  }
}

/** Takes the gradient of a node's result, which ends here, to the node's inputs. */
function pass(
  { backward, inputs }: TapeNode,
  gradient: Tensor,
  sums: Map<TapeNode, Tensor>,
  constant: ReadonlySet<Constant>,
): void {
  const scope = new Scope();
  scope.add(gradient);
  try {
    const made = backward?.(gradient, {
      constant,
      wants: (i) => inputs[i] !== null,
      sum: (i) => {
        const sum = inputs[i] && sums.get(inputs[i]);
        return sum && isOwn(sum) ? sum : null;
      },
    });
    made?.forEach((d, i) => {
      const input = inputs[i];
      if (d && input) add(sums, input, d);
    });
  } finally {
    scope.close();
  }
}

/** Nobody else holds its memory, and it can be bound. */
const isOwn = (t: Tensor): boolean => !t.storage.shared && t.isDense;

function add(sums: Map<TapeNode, Tensor>, node: TapeNode, gradient: Tensor): void {
  if (!sameShape(gradient.shape, node.shape))
    throw new Error(
      `a gradient of shape ${showShape(gradient.shape)} for a tensor ${showShape(node.shape)} (${node.name ?? gradient.label})`,
    );
  const sum = sums.get(node);
  if (sum === gradient) return; // it was added in place
  if (!sum) {
    sums.set(node, gradient.detach(null));
  } else if (isOwn(sum)) {
    addInto(sum, gradient);
  } else {
    const more = sum.add(gradient);
    sums.set(node, more.detach(null));
    more.dispose();
    sum.dispose();
  }
}
