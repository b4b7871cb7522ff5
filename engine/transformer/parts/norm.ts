/**
 * Norms on the GPU: one object knows a norm's facts and weights, and everything that is done with it.
 * `weights/norm.ts` says what a norm is. Whoever reads a residual stream as the model does (the forward pass,
 * the lens, direct logit attribution, decompositions, gradients of heads) asks the norm; nobody else computes
 * a mean or a scale.
 */

import { layernorm, normalize } from '../../../kernels/pointwise/layernorm.js';
import { layernormBackward } from '../../../kernels/pointwise/layernorm-backward.js';
import type { NormFacts } from '../../../weights/norm.js';
import type { Binding } from '../../gpu/gpu.js';
import { launched } from '../../tensor/accumulate.js';
import type { DType, GpuArray } from '../../tensor/array.js';
import { withDense } from '../../tensor/launches.js';
import { taped } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import type { Tap } from '../tap.js';
import { normalizeByBackward, scaleBackward, wholeNormBackward } from './norm-backward.js';

/**
 * Gain and bias of a norm, [width] each; both null where they have been folded away, or a norm never had
 * them.
 */
export interface NormWeights {
  readonly w: Tensor | null;
  readonly b: Tensor | null;
}

const NONE: NormWeights = { w: null, b: null };

/** How vectors pass a norm: with gain and bias, with the gain alone (parts of a sum), or with neither. */
export type NormParts = 'whole' | 'gain' | 'plain';

/** A norm, applied along the last axis. */
export class Norm implements NormWeights {
  readonly facts: NormFacts;
  readonly w: Tensor | null;
  readonly b: Tensor | null;

  constructor(facts: NormFacts, { w, b }: NormWeights) {
    this.facts = facts;
    this.w = w;
    this.b = b;
  }

  /** Whether it takes the mean off. */
  get centres(): boolean {
    return this.facts.kind === 'layer';
  }

  /** The same norm with other tensors for its weights. */
  withWeights(f: (t: Tensor, name: 'w' | 'b') => Tensor): Norm {
    return new Norm(this.facts, { w: this.w && f(this.w, 'w'), b: this.b && f(this.b, 'b') });
  }

  /**
   * The norm in the forward pass, with its hook points: `hook_scale` [..., 1], and `hook_normalized` [...,
   * width], the value before gain and bias. One kernel where nobody looks.
   */
  async run(tap: Tap, name: string, x: Tensor): Promise<Tensor> {
    const [scaleName, normalizedName] = [`${name}.hook_scale`, `${name}.hook_normalized`];
    const [scaled, shown] = [tap.wants(scaleName), tap.wants(normalizedName)];
    const { normalized, scale } = this.#launch(x, shown ? 'plain' : 'whole', scaled);
    const seen = scale && (await tap.at(scaleName, scale));
    const given = seen === scale ? null : seen;
    const apply = (parts: NormParts) => (given ? this.divideBy(x, given, parts) : this.apply(x, parts));
    if (!shown) return given ? apply('whole') : normalized;
    const plain = given ? apply('plain') : normalized;
    const changed = await tap.at(normalizedName, plain);
    if (changed !== plain) return this.#affine(changed);
    // Somebody only looked: the numbers are those of a run in which nobody did.
    return this.w || this.b ? apply('whole') : plain;
  }

  /** Each vector divided by its own scale. */
  apply(x: Tensor, parts: NormParts = 'whole'): Tensor {
    return this.#launch(x, parts, false).normalized;
  }

  /** The scale of each vector, [..., 1]. */
  scaleOf(x: Tensor): Tensor {
    const { normalized, scale } = this.#launch(x, 'plain', true);
    normalized.dispose();
    return scale!;
  }

  /** Each vector divided by a scale [..., 1] from elsewhere. */
  divideBy(x: Tensor, scale: Tensor, parts: NormParts): Tensor {
    const { gpu } = x;
    const width = x.shape.at(-1)!;
    const rms = !this.centres;
    const weights = this.#weights(parts);
    const out = Tensor.result(gpu, x.shape, [x], 'hook_normalized');
    withDense([x, scale], ([x, s]) => {
      const launch = normalize({ rows: x.size / width, width, ...this.#affineOf(weights), rms }, gpu.caps);
      gpu.launch(launch, bindings(x, s, weights.w, weights.b, out));
    });
    const { gain } = this.facts;
    return taped(
      out,
      [x, scale, weights.w, weights.b],
      normalizeByBackward(x, scale, { ...weights, gain, rms }),
    );
  }

  /**
   * Directions [..., width] of what the norm gives, as directions of what it reads, once its scale is a
   * constant: the product of one with x, divided by the scale, is the product of the other with the norm's
   * output (less its bias).
   */
  pullBack(directions: Tensor, { gain = true }: { gain?: boolean } = {}): Tensor {
    const own = gain ? this.#times(directions) : directions;
    return this.centres ? own.sub(own.mean(-1, { keepDims: true })) : own;
  }

  /** Numbers divided by scales that they broadcast with: NaN where a scale is not finite. */
  static divided(x: Tensor, scale: Tensor): Tensor {
    return x.div(scale).add(scale.mul(0));
  }

  /**
   * A gradient of what the norm gives as one of what it reads.
   * @param gradient [tokens, n, width]: n gradients at each token
   * @param scale [tokens, 1, 1], of the run
   * @param x [tokens, 1, width], what it read, where the scale is to be differentiated; null: the scale is a
   * constant
   */
  gradientThrough(gradient: Tensor, scale: Tensor, x: Tensor | null): Tensor {
    const g = this.pullBack(gradient);
    if (!x) return Norm.divided(g, scale);
    const deviation = this.centres ? x.sub(x.mean(-1, { keepDims: true })) : x;
    const normalized = Norm.divided(deviation, scale); //                          [tokens, 1, width]
    const along = g.mul(normalized).mean(-1, { keepDims: true }); //                [tokens, n, 1]
    return Norm.divided(g.sub(normalized.mul(along)), scale);
  }

  /**
   * The same in one kernel, its scale computed from x: x and the gradient have one shape. It leaves no trace
   * on a tape.
   */
  gradientOf(x: Tensor, gradient: Tensor): Tensor {
    const width = x.shape.at(-1)!;
    const { gain, eps } = this.facts;
    const o = { rows: x.size / width, width, gain: this.w ? gain : null, eps, rms: !this.centres };
    const inputs = this.w ? [x, this.w, gradient] : [x, gradient];
    return launched(gradient, x.shape, inputs, layernormBackward(o, x.gpu.caps));
  }

  #launch(x: Tensor, parts: NormParts, scaleOut: boolean): { normalized: Tensor; scale: Tensor | null } {
    const { gpu } = x;
    const { eps, gain } = this.facts;
    const width = x.shape.at(-1)!;
    const rows = x.size / width;
    const rms = !this.centres;
    const weights = this.#weights(parts);
    const normalized = Tensor.result(gpu, x.shape, [x], 'hook_normalized');
    const scale = scaleOut ? Tensor.result(gpu, [...x.shape.slice(0, -1), 1], [x], 'hook_scale') : null;
    withDense([x], ([x]) => {
      const launch = layernorm({ rows, width, ...this.#affineOf(weights), eps, scaleOut, rms }, gpu.caps);
      gpu.launch(launch, bindings(x, weights.w, weights.b, normalized, scale));
    });
    taped(normalized, [x, weights.w, weights.b], wholeNormBackward(x, { ...weights, gain, eps, rms }));
    if (scale) taped(scale, [x], scaleBackward(x, eps, rms));
    return { normalized, scale };
  }

  /** n · gain + bias. */
  #affine(n: Tensor): Tensor {
    const scaled = this.#times(n);
    return this.b ? scaled.add(this.b) : scaled;
  }

  /** x · gain. */
  #times(x: Tensor): Tensor {
    if (!this.w) return x;
    if (this.facts.gain === 'w') return x.mul(this.w);
    const gain = this.w.add(1);
    const out = x.mul(gain);
    gain.dispose();
    return out;
  }

  #weights(parts: NormParts): NormWeights {
    if (parts === 'plain') return NONE;
    return parts === 'gain' ? { w: this.w, b: null } : this;
  }

  #affineOf({ w, b }: NormWeights) {
    return { gain: w && this.facts.gain, bias: b !== null };
  }
}

const bindings = (...tensors: (GpuArray<DType> | null | undefined)[]): Binding[] =>
  tensors.flatMap((t) => (t ? [t.binding()] : []));
