/**
 * Runs a kernel's example on the adapter and compares what it wrote with the float64 reference.
 *
 * Every binding lies between two strips of NaN, and so do outputs before the run: a kernel that reads or
 * writes beside its buffers, or leaves an element out, cannot pass, even where the adapter does not check
 * bounds.
 */

import { type AdapterChoice, gpuProvider, requestDevice } from '../engine/gpu/adapter.js';
import { Gpu } from '../engine/gpu/gpu.js';
import type { Example, Host } from '../kernels/core/kernel.js';

/** The outcome of one example. */
export interface Check {
  /** Largest |x − reference| / (atol + rtol · |reference|): it passes up to 1. */
  readonly worst: number;
  /** What is wrong; empty when it passes. */
  readonly failures: readonly string[];
}

/** Elements of NaN on either side: 256 bytes, the alignment of a binding. */
const STRIP = 64;
const NAN_BITS = 0x7fc0dead;

const wordsOf = (a: Host) => new Uint32Array(a.buffer, a.byteOffset, a.length);

/** A device and the checking of examples on it. */
export class KernelChecker {
  readonly gpu: Gpu;
  readonly #device: GPUDevice;
  readonly #compiled = new Map<string, string[]>();

  private constructor(device: GPUDevice, gpu: Gpu) {
    this.#device = device;
    this.gpu = gpu;
  }

  /** On the adapter that the engine would use. */
  static async open(adapter: AdapterChoice = 'auto'): Promise<KernelChecker> {
    const device = await requestDevice(await gpuProvider().requestAdapter(adapter));
    return new KernelChecker(device, await Gpu.open(device));
  }

  /** Runs one example. */
  async check(example: Example): Promise<Check> {
    const { gpu } = this;
    const { kernel } = example.launch;
    const failures = [...(await this.#messages(kernel.name, kernel.code))];
    const bindings = example.buffers.map((b, i) => {
      const n = typeof b === 'number' ? b : b.length;
      const words = new Uint32Array(STRIP + n + STRIP).fill(NAN_BITS);
      if (typeof b !== 'number') words.set(wordsOf(b), STRIP);
      const buffer = gpu.upload(words, `binding ${i} of ${kernel.name}`);
      return { n, whole: { buffer, offset: 0, bytes: 4 * words.length } };
    });
    let worst = 0;
    try {
      gpu.launch(
        example.launch,
        bindings.map(({ n, whole }) => ({ buffer: whole.buffer, offset: 4 * STRIP, bytes: 4 * n })),
      );
      for (const [i, { n, whole }] of bindings.entries()) {
        if (kernel.access[i] === 'read') continue;
        const words = new Uint32Array(await gpu.read(whole));
        if (words.some((w, at) => w !== NAN_BITS && (at < STRIP || at >= STRIP + n)))
          failures.push(`binding ${i}: written beside the buffer`);
        const got = words.slice(STRIP, STRIP + n);
        const expected = example.expected.find(({ binding }) => binding === i);
        if (!expected) continue;
        const { values, atol = 1e-5, rtol = 1e-5 } = expected;
        const numbers = values instanceof Uint32Array ? got : new Float32Array(got.buffer);
        if (values.length !== n) failures.push(`binding ${i}: ${n} elements, ${values.length} expected`);
        let at = -1;
        for (let e = 0; e < n; e++) {
          const [x, ref] = [numbers[e], values[e]];
          if (x === ref || (Number.isNaN(x) && Number.isNaN(ref) && got[e] !== NAN_BITS)) continue;
          const off = Math.abs(x - ref) / (atol + rtol * Math.abs(ref));
          const error = Number.isNaN(off) ? Number.POSITIVE_INFINITY : off;
          if (error > worst) worst = error;
          if (error > 1 && at < 0) at = e;
        }
        if (at >= 0)
          failures.push(
            `binding ${i}, element ${at}: ${got[at] === NAN_BITS ? 'not written, or read beside a buffer' : numbers[at]}, expected ${values[at]}`,
          );
      }
    } catch (e) {
      failures.push((e as Error).message);
    }
    for (const { whole } of bindings) gpu.free(whole.buffer);
    return { worst, failures };
  }

  /** What the shader compiler has to say of a kernel. */
  async #messages(name: string, code: string): Promise<string[]> {
    let messages = this.#compiled.get(name);
    if (!messages) {
      const module = this.#device.createShaderModule({ label: name, code });
      const info = await gpuProvider().wait(module.getCompilationInfo());
      messages = info.messages.map((m) => `${name}:${m.lineNum}: ${m.type}: ${m.message}`);
      this.#compiled.set(name, messages);
    }
    return messages;
  }
}
