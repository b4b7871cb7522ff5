/** Where the values of interventions are: numbers on the host, in another run, in a mean over one. */

import type { Gpu } from '../../engine/gpu/gpu.js';
import { type NestedNumbers, numbersOf } from '../../engine/numbers.js';
import { RandomState } from '../../engine/random/numpy-random.js';
import { showShape, sizeOf } from '../../engine/shape/shape.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import type { Points } from '../../engine/transformer/model-points.js';
import type { Partners } from './alignment.js';
import type { Noise, Numbers } from './interventions.js';

/** What is known of a run before it runs. */
export interface RunInfo {
  /** Tokens of each prompt. */
  readonly lengths: readonly number[];
  /** How many counterfactuals it is, or null: one run. */
  readonly cells: number | null;
  /** Why no value can come from it. */
  readonly barred?: string;
  /** Of each position of the base's prompts its position here, −1: none. Left out: the same one. */
  readonly partners?: Partners;
}

/** Numbers given by the user, or drawn; uploaded once. */
export interface HostNumbers {
  readonly data: Float32Array | Tensor;
  /** How they lie, where that was given: of a tensor, of lists of lists, of `{ shape, data }`. */
  readonly shape?: readonly number[];
}

/** Numbers as interventions bring them. */
export type NumbersGiven = Exclude<NestedNumbers, number> | Numbers | Tensor;

/** Where an edit's value is. */
export type Place =
  | {
      readonly kind: 'host';
      readonly numbers: HostNumbers;
      readonly offset: number;
      readonly broadcast: boolean;
    }
  | {
      readonly kind: 'run';
      readonly run: string;
      readonly name: string;
      readonly row: number;
      readonly cell: number | null;
      readonly pos: number;
      /** Of scores and patterns; else it is within `start`. */
      readonly head: number;
      readonly start: number;
    }
  | {
      readonly kind: 'mean';
      readonly run: string;
      readonly name: string;
      readonly over: 'rows' | 'all';
      readonly pos: number;
      readonly head: number;
      readonly start: number;
    };

/** The numbers that interventions bring along, each kept once however often it is named. */
export class Places {
  readonly #gpu: Gpu;
  readonly #constants = new Map<number, HostNumbers>();
  readonly #lists = new Map<object, HostNumbers>();
  readonly #noise = new Map<string, HostNumbers>();

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  constant(value: number): HostNumbers {
    return remember(this.#constants, value, () => ({ data: Float32Array.of(value) }));
  }

  list(value: NumbersGiven): HostNumbers {
    return remember(this.#lists, value, () => {
      if (value instanceof Tensor) return { data: checkTensor(value, this.#gpu), shape: value.shape };
      const { values, shape } = numbersOf('shape' in value ? value.data : value, 'the value');
      const bad = values.findIndex((x) => !Number.isFinite(x) && x !== -Infinity);
      if (bad >= 0)
        throw new Error(`the value holds ${values[bad]} at index ${bad}: finite numbers are needed`);
      const data = Float32Array.from(values);
      if (!('shape' in value)) return shape.length > 1 ? { data, shape } : { data };
      if (sizeOf(value.shape) !== data.length)
        throw new Error(
          `the value's shape ${showShape(value.shape)} is ${sizeOf(value.shape)} numbers, its data ${data.length}`,
        );
      return { data, shape: value.shape };
    });
  }

  /** Draw number `draw` of `size` numbers, or with null the first `draws` draws one after another. */
  noise({ seed, std = 1 }: Noise['noise'], size: number, draw: number | null, draws: number): HostNumbers {
    return remember(this.#noise, [seed, std, size, draw, draws].join(), () => {
      if (!Number.isFinite(std)) throw new Error(`noise: std is ${std}`);
      const drawn = new RandomState(seed).randn(size * (draw === null ? draws : draw + 1));
      return { data: Float32Array.from(draw === null ? drawn : drawn.slice(draw * size), (x) => std * x) };
    });
  }

  /** Does `b` begin where `a`, `width` numbers long, ends? */
  follows(a: Place | null, b: Place | null, width: number): boolean {
    if (!a || !b) return a === b;
    if (a.kind === 'host')
      return (
        b.kind === 'host' &&
        a.numbers === b.numbers &&
        a.broadcast === b.broadcast &&
        (a.broadcast || b.offset === a.offset + width)
      );
    if (b.kind !== a.kind || a.run !== b.run || a.name !== b.name || a.pos !== b.pos || a.head !== b.head)
      return false;
    if (a.kind === 'run' && b.kind === 'run' && (a.row !== b.row || a.cell !== b.cell)) return false;
    return b.start === a.start + width;
  }
}

/** What interventions are read against. */
export interface Setting {
  readonly points: Points;
  /** The run that is changed: the lengths of its prompts. */
  readonly base: RunInfo;
  /** Runs that values may come from, `'base'` among them. */
  readonly runs: ReadonlyMap<string, RunInfo>;
  readonly places: Places;
  /** Runs whose patterns may have weight on keys behind the query; see later-keys.ts. */
  readonly open: ReadonlySet<string>;
}

/** @throws unless the GPU can take numbers from it. */
function checkTensor(value: Tensor, gpu: Gpu): Tensor {
  if (value.disposed)
    throw new Error('the value is a tensor that was disposed of: keep it until the sweep is done');
  if (value.dtype !== 'f32') throw new Error(`the value is a tensor of ${value.dtype}: f32 is needed`);
  if (value.gpu !== gpu)
    throw new Error('the value is a tensor on another GPU device: make it with `model.tensor` of this model');
  return value;
}

function remember<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let found = map.get(key);
  if (!found) map.set(key, (found = make()));
  return found;
}
