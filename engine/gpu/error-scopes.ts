/**
 * What WebGPU says later: errors of creations and submissions, kept with what was being done until somebody
 * waits.
 */

import { type MemoryReport, mib } from './pool.js';

/**
 * The device is lost, or was, and with it what was on it: the same call may succeed when it is made again.
 */
export class DeviceLostError extends Error {
  override name = 'DeviceLostError';
}

/**
 * What can be done about the loss of a device of ours, of one that was destroyed on purpose, of one of the
 * user's.
 */
const REMEDIES = {
  ours: 'call again, and another is opened, with the weights of the models; tensors, caches and prefixes are gone',
  destroyed: 'it was destroyed: load the model again',
  theirs: 'it was a GPUDevice of yours: open another one, and load the model again with it',
};

/** The error of a device's loss. */
export const lostDevice = ({ reason, message }: GPUDeviceLostInfo, whose: keyof typeof REMEDIES): Error =>
  new DeviceLostError(
    `the GPU device was lost (${reason}${message ? `: ${message.trim().slice(0, 80)}` : ''}): ${REMEDIES[whose]}`,
  );

/** What is said of a tensor whose device is no more. */
export const lostTensor = (): DeviceLostError =>
  new DeviceLostError(
    'this was on a GPU device that has been lost since: tensors, caches and prefixes are gone with it; make them again',
  );

const KINDS = ['validation', 'out-of-memory', 'internal'] as const;

/** The error scopes of a device. */
export class ErrorScopes {
  readonly #device: GPUDevice;
  readonly #memory: () => MemoryReport;
  readonly #pending = new Set<Promise<void>>();
  #first: Error | null = null;

  constructor(device: GPUDevice, memory: () => MemoryReport) {
    this.#device = device;
    this.#memory = memory;
  }

  /** Scopes that have not been answered yet. */
  get pending(): Iterable<Promise<void>> {
    return this.#pending;
  }

  /**
   * Runs a creation or submission and remembers its GPU errors, with what was being done, for the next wait.
   */
  guard<T>(doing: string, f: () => T): T {
    for (const kind of KINDS) this.#device.pushErrorScope(kind);
    try {
      return f();
    } finally {
      for (const kind of [...KINDS].reverse()) {
        const check: Promise<void> = this.#device.popErrorScope().then(
          (error) => {
            this.#pending.delete(check);
            if (error) this.#first ??= gpuError(kind, doing, error.message, this.#memory());
          },
          () => void this.#pending.delete(check), // the device is lost: whoever waits hears of that
        );
        this.#pending.add(check);
      }
    }
  }

  /** Keeps an error that no scope caught. */
  note(error: Error): void {
    this.#first ??= error;
  }

  /** @throws the first error since it was last thrown, if there is one. */
  throwFirst(): void {
    const error = this.#first;
    this.#first = null;
    if (error) throw error;
  }
}

function gpuError(kind: string, doing: string, message: string, memory: MemoryReport): Error {
  if (kind === 'out-of-memory')
    return new Error(
      `out of GPU memory while ${doing} (${mib(memory.bytes)} in use): dispose of tensors and caches, ask for fewer hook points, or run fewer rows at once`,
    );
  return new Error(`GPU ${kind} error while ${doing}: ${message}`);
}
