/** Whether a model fits, said before its weights are read: which dtype does, or how much is missing. */

import type { AdapterDescription } from '../../engine/gpu/adapter.js';
import { mib } from '../../engine/gpu/pool.js';
import type { Config } from '../../weights/config.js';
import { filePlatform } from '../../weights/files/platform.js';
import {
  fileSize,
  matrixNumbers,
  type QuantisedFile,
  sizes,
  type WeightSize,
} from '../../weights/load/plan.js';
import type { Processing } from '../../weights/processing/processing.js';
import { DTYPES, type Dtype } from '../../weights/processing/stored.js';

/** What weights take in a format, and whether that fits. */
export interface PlannedDtype {
  /** Null: a quantised file as it is. */
  readonly dtype: Dtype | null;
  /** Bytes on the GPU. */
  readonly bytes: number;
  /** Bytes on the host, for `model.weights`; 0 with `hostWeights: false`. */
  readonly host: number;
  readonly fits: boolean;
  /** Why it does not. */
  readonly reason: string | null;
}

/** What a model takes, before anything of its weights is read. */
export interface ModelPlan {
  readonly model: string;
  /** Numbers of its matrices. */
  readonly parameters: number;
  /** Bytes that weights may take; null: not known (`memory` says it). */
  readonly available: number | null;
  /** By dtype, the exactest first. */
  readonly dtypes: readonly PlannedDtype[];
  /** The exactest dtype that fits; null where none does, or the file as it is. */
  readonly best: PlannedDtype | null;
  /** Bytes that the smallest is too large by; 0 where one fits. */
  readonly missing: number;
}

/** What planning is told. */
export interface Planning {
  readonly config: Config;
  readonly processing: Processing;
  readonly file: QuantisedFile | null;
  readonly adapter: AdapterDescription;
  readonly hostWeights: boolean;
  /** Bytes that weights may take on the GPU, where the user says it. */
  readonly memory: number | null;
}

/** The plan of a model. */
export function planOf(o: Planning): ModelPlan {
  const { config, processing, file, adapter, memory } = o;
  // Only a CPU posing as a GPU has the machine's memory, which the host's copy takes, too. WebGPU tells of no other.
  const shared = memory === null && adapter.caps.adapterClass === 'software';
  const available = memory ?? (shared ? (filePlatform()?.freeMemory?.() ?? null) : null);
  const judged = (dtype: Dtype | null, size: WeightSize): PlannedDtype => {
    const host = o.hostWeights ? size.host : 0;
    const needed = size.device + (shared ? host : 0);
    const { name, bytes } = size.largest;
    const reason =
      available !== null && needed > available
        ? `${mib(needed)} are needed, and ${mib(available)} are free`
        : bytes > adapter.maxBindingBytes
          ? `${name} needs a binding of ${mib(bytes)}, and this adapter allows ${mib(adapter.maxBindingBytes)}`
          : null;
    return { dtype, bytes: size.device, host, fits: reason === null, reason };
  };
  const all = sizes(config, processing, file);
  const dtypes = [
    ...(file ? [judged(null, fileSize(config, file, null))] : []),
    ...DTYPES.map((dtype) => judged(dtype, all[dtype])),
  ];
  const best = dtypes.find(({ fits }) => fits) ?? null;
  const least = Math.min(...dtypes.map(({ bytes, host }) => bytes + (shared ? host : 0)));
  return {
    model: config.name,
    parameters: matrixNumbers(config, processing),
    available,
    dtypes,
    best,
    missing: best || available === null ? 0 : Math.max(0, least - available),
  };
}

/** @throws when weights of that dtype do not fit: with the dtype that would, or how much is missing */
export function checkFits({ model, dtypes, best, missing }: ModelPlan, dtype: Dtype | null): void {
  const wanted = dtypes.find((d) => d.dtype === dtype) ?? dtypes.find((d) => d.dtype === 'f32')!;
  if (wanted.fits) return;
  const order = dtypes.indexOf(wanted);
  const other = dtypes.slice(order + 1).find(({ fits }) => fits) ?? best;
  const remedy = other
    ? `dtype ${other.dtype ? `"${other.dtype}"` : 'as in the file'} takes ${mib(other.bytes)} and fits`
    : missing
      ? `even the smallest dtype lacks ${mib(missing)}`
      : 'no dtype fits';
  throw new Error(
    `${model.slice(0, 60)} does not fit${wanted.dtype ? ` as ${wanted.dtype}` : ''}: ${wanted.reason}; ${remedy}`,
  );
}

/** The lines that say a plan. */
export function planLines({ model, parameters, available, dtypes, best, missing }: ModelPlan): string[] {
  const names = dtypes.map(({ dtype }) => dtype ?? 'as in the file');
  const width = Math.max(...names.map((name) => name.length));
  return [
    `${model}: ${(parameters / 1e6).toFixed(1)} million weights${available === null ? '' : `; ${mib(available)} are free`}`,
    ...dtypes.map(
      ({ bytes, host, reason }, i) =>
        `  ${names[i].padEnd(width)}  ${mib(bytes).padStart(11)} on the GPU, ${mib(host)} on the host${reason ? `: does not fit (${reason})` : ''}`,
    ),
    ...(best ? [] : [missing ? `  ${mib(missing)} are missing` : '  none fits']),
  ];
}
