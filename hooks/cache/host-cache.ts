/** A cache whose activations are on the host: the GPU's memory can be given back. */

import type { Gpu } from '../../engine/gpu/gpu.js';
import { type AxisName, axesOf } from '../../engine/shape/axes.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import type { HookPoint } from '../../engine/transformer/points.js';
import type { HostTensor } from '../../weights/formats/types.js';
import { checkedMethods, is, optional, signature } from '../input/check.js';
import { cachedName, type Spelled } from '../input/names.js';
import { type Layout, present } from '../run/view.js';
import type { ActivationCache } from './cache.js';

/** An activation on the host, with the names of its axes where all rows are of one length. */
export interface HostActivation extends HostTensor {
  readonly axes: readonly AxisName[] | null;
}

const made = signature('HostCache', {
  layout: is.plainObject,
  activations: is.having('a Map', 'get', 'keys'),
  gpu: is.plainObject,
  make: is.callback,
});

/** What a run kept, on the host: `host.get('resid_post', -1).data`. Made by `cache.toHost()`. */
export class HostCache {
  readonly #layout: Layout;
  readonly #gpu: Gpu;
  readonly #make: (layout: Layout) => ActivationCache;
  readonly #activations: ReadonlyMap<string, HostActivation>;

  /** Made by `cache.toHost()`. */
  constructor(
    layout: Layout,
    activations: ReadonlyMap<string, HostActivation>,
    gpu: Gpu,
    make: (layout: Layout) => ActivationCache,
    ...more: []
  ) {
    made(layout, activations, gpu, make, ...more);
    this.#layout = layout;
    this.#gpu = gpu;
    this.#make = make;
    this.#activations = activations;
  }

  /** Full names, in order of execution. */
  names(): string[] {
    return [...this.#activations.keys()];
  }

  /** An activation, named as in `cache.get`. @throws when it is not there. */
  get(name: HookPoint | 'logits', layer?: number | null, layerType?: string | null): HostActivation;
  get<const N extends string>(
    name: Spelled<N>,
    layer?: number | null,
    layerType?: string | null,
  ): HostActivation;
  get(name: string, layer?: number | null, layerType?: string | null): HostActivation {
    const full = cachedName(this.#layout.points, name, layer, layerType);
    const found = this.#activations.get(full);
    if (!found)
      throw new Error(`"${full}" is not in this cache; it holds ${this.#activations.size} activations`);
    return found;
  }

  /** All of it on the GPU again. Dispose of it. */
  toGpu(): ActivationCache {
    const out = this.#make(this.#layout);
    for (const [name, { data, shape, axes }] of this.#activations) {
      const t = Tensor.from(this.#gpu, data as Float32Array<ArrayBuffer>, shape, { label: name });
      if (axes || this.#layout.equal) t.named = axes && axesOf(axes);
      out.put(name, axes || this.#layout.equal ? t : named(name, t, this.#layout));
    }
    return out;
  }
}

/** With the axes of rows of unequal length. */
function named(name: string, t: Tensor, layout: Layout): Tensor {
  const seen = present(name, t, layout).keep();
  if (seen !== t) t.dispose();
  return seen;
}

checkedMethods(
  HostCache.prototype,
  {
    names: {},
    get: { name: is.text, layer: optional(is.layer), layerType: optional(is.layerType) },
    toGpu: {},
  },
  'hostCache.',
);

/** See `ActivationCache.toHost`. */
export async function toHost(
  cache: ActivationCache,
  make: (layout: Layout) => ActivationCache,
): Promise<HostCache> {
  const read = new Map<string, HostActivation>();
  const packed = (t: Tensor) => t.named?.packed !== undefined && t.named?.packed !== null;
  for (const [name, t] of cache)
    read.set(name, {
      shape: t.shape,
      data: (await t.data()) as Float32Array,
      axes: packed(t) ? null : t.axes,
    });
  return new HostCache(cache.layout, read, cache.model.gpu, make);
}
