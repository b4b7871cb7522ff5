/**
 * The seam between the forward pass and whoever looks into it. The pass names every activation as it goes by;
 * a tap says which names anybody asked for, and hands back what the pass goes on with.
 */

import type { Tensor } from '../tensor/tensor.js';

/** Somebody who looks at activations, and may change them. */
export interface Tap {
  /**
   * Has anybody asked for one of these hook points? If not, the pass may never make the activation at all.
   */
  wants(...names: string[]): boolean;
  /** Shows an activation; the result replaces it. Hooks may be asynchronous. */
  at(name: string, activation: Tensor): Tensor | Promise<Tensor>;
}

/** Nobody is looking. */
export const noTap: Tap = { wants: () => false, at: (_, t) => t };
