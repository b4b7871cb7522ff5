/**
 * A set of named tensors, wherever they lie: what a checkpoint is to the code that reads models.
 */

import { floatsOf, isList, tagOf } from '../checks/kinds.js';
import type { Blocks, HostTensor } from './types.js';

/** Named tensors that are read one at a time. */
export interface TensorSource {
  /** File, folder or model, for messages. */
  readonly name: string;
  names(): string[];
  /** Shape, or undefined when there is no such tensor. */
  shape(name: string): readonly number[] | undefined;
  /** Values as float32, row-major. @throws when there is no such tensor, or it does not hold floats. */
  read(name: string): Promise<Float32Array>;
  /** The file that holds the tensor, for messages. */
  file(name: string): string;
  /** What the file calls a tensor, for messages; given where names are translated. */
  original?(name: string): string;
  /** Rows of a matrix in blocks, as the file has them, where it is quantised in a format that is wanted; else null. */
  blocks?(name: string, wanted: (format: string) => boolean): Promise<Blocks | null>;
}

/**
 * Tensors in memory, e.g. of `HookedTransformer.fromWeights`. Float32Arrays are not copied, other numbers are.
 * @throws when an array's length does not match its shape.
 */
export function memoryTensors(
  tensors: Readonly<Record<string, HostTensor>>,
  name = 'the given weights',
): TensorSource {
  const held = new Map<string, Float32Array>();
  for (const [key, { shape, data }] of Object.entries(tensors)) {
    if (!Array.isArray(shape) || !isList(data) || /^Big/.test(tagOf(data)))
      throw new TypeError(`tensor "${key}": give { shape: number[], data: Float32Array }`);
    if (shape.some((n) => !Number.isSafeInteger(n) || n < 0) || elements(shape) !== data.length)
      throw new RangeError(
        `tensor "${key}": shape ${showShape(shape)} needs ${elements(shape)} values, data has ${data.length}`,
      );
    held.set(key, floatsOf(data));
  }
  return {
    name,
    names: () => Object.keys(tensors),
    shape: (key) => (Object.hasOwn(tensors, key) ? tensors[key].shape : undefined),
    file: () => name,
    async read(key) {
      const data = held.get(key);
      if (!data) throw new Error(`${name}: no tensor "${key}"`);
      return data;
    },
  };
}

/** Product of the axes; 1 for a scalar. */
export function elements(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** `[768, 2304]` */
export function showShape(shape: readonly number[]): string {
  return shape.length > 8
    ? `[${shape.slice(0, 6).join(', ')}, … (${shape.length} axes)]`
    : `[${shape.join(', ')}]`;
}

/** A matrix the other way round. In tiles, so that a 50257-row matrix is not read one cache line per number. */
export function transpose({ shape: [rows, columns], data }: HostTensor): HostTensor {
  const TILE = 32;
  const out = new Float32Array(data.length);
  for (let i0 = 0; i0 < rows; i0 += TILE)
    for (let j0 = 0; j0 < columns; j0 += TILE)
      for (let j = j0; j < Math.min(j0 + TILE, columns); j++)
        for (let i = i0; i < Math.min(i0 + TILE, rows); i++) out[j * rows + i] = data[i * columns + j];
  return { shape: [columns, rows], data: out };
}
