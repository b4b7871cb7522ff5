/**
 * What ends with a device: its memory, kernels, parameters and errors. After a loss there is another of each.
 */

import { STAGING_BYTES } from '../budgets.js';
import {
  type AdapterChoice,
  type AdapterDescription,
  describe,
  gpuProvider,
  isSoftware,
  type OpenOptions,
  requestDevice,
} from './adapter.js';
import { ErrorScopes } from './error-scopes.js';
import { type GpuStats, Parameters, Pipelines } from './pipelines.js';
import { type Guard, mib, Pool } from './pool.js';

const MAP_READ = 1;
const COPY_DST = 8;
/** Staging buffers that are kept: so many of a size, none larger. */
const KEPT = { each: 2, bytes: STAGING_BYTES };

/** A device with all that is on it. */
export class DeviceParts {
  readonly device: GPUDevice;
  readonly adapter: AdapterDescription;
  readonly errors: ErrorScopes;
  readonly parameters: Parameters;
  readonly pipelines: Pipelines;
  readonly pool: Pool;
  /** Idle staging buffers by size. */
  readonly #readers = new Map<number, GPUBuffer[]>();

  constructor({ device, adapter }: Opened, generation: number, stats: GpuStats) {
    this.device = device;
    this.adapter = adapter;
    this.errors = new ErrorScopes(device, () => this.pool.report());
    const guard: Guard = (doing, f) => this.errors.guard(doing, f);
    this.parameters = new Parameters(device);
    this.pipelines = new Pipelines(device, adapter.maxBindingBytes, this.parameters.layout, stats, guard);
    this.pool = new Pool(device, adapter.maxBufferBytes, guard, generation, (b) => this.pipelines.forget(b));
    device.addEventListener?.('uncapturederror', (e) => {
      (e as Event).preventDefault?.();
      this.errors.note(new Error(`GPU error: ${(e as GPUUncapturedErrorEvent).error.message}`));
    });
  }

  /** A buffer for reading `bytes` back. */
  staging(bytes: number): GPUBuffer {
    const size = 2 ** Math.ceil(Math.log2(Math.max(256, bytes)));
    const idle = this.#readers.get(size)?.pop();
    const usage = MAP_READ | COPY_DST;
    return (
      idle ??
      this.errors.guard(`reading ${mib(bytes)} back`, () =>
        this.device.createBuffer({ label: 'read-back', size, usage }),
      )
    );
  }

  /** Keeps a staging buffer for the next time, or destroys it. */
  recycle(staging: GPUBuffer): void {
    const idle = this.#readers.get(staging.size) ?? [];
    if (idle.length < KEPT.each && staging.size <= KEPT.bytes) {
      idle.push(staging);
      this.#readers.set(staging.size, idle);
    } else staging.destroy();
  }
}

/** A device, and what its adapter is. */
export interface Opened {
  readonly device: GPUDevice;
  readonly adapter: AdapterDescription;
}

/** Opens a device on an adapter of the platform. */
export async function openDevice(choice: AdapterChoice, options: OpenOptions): Promise<Opened> {
  const adapter = await gpuProvider().requestAdapter(choice, options);
  const device = await requestDevice(adapter);
  return { device, adapter: describe(adapter, device, isSoftware(adapter), choiceText(choice, options)) };
}

/** What was asked for, in words; undefined for the default. */
function choiceText(choice: AdapterChoice, { powerPreference }: OpenOptions): string | undefined {
  const words = [choice === 'auto' ? '' : String(choice), powerPreference ?? ''].filter(Boolean);
  return words.length ? words.join(', ') : undefined;
}
