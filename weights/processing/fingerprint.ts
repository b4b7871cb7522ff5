/** Telling models apart by their numbers. */

import { tagOf } from '../checks/kinds.js';
import type { HostTensor, ModelPart } from '../formats/types.js';

/** A hash of weights that is fed part by part. Not for security: two 32-bit multiplicative hashes, 16 hexadecimal digits. */
export class Fingerprint {
  #a = 0x811c9dc5;
  #b = 0x1b873593;

  /** Takes in every number of a part, in a fixed order. */
  add({ weights }: ModelPart): void {
    this.#walk(weights);
  }

  /** Of everything so far. */
  get text(): string {
    return [this.#a, this.#b].map((h) => (h >>> 0).toString(16).padStart(8, '0')).join('');
  }

  #walk(value: object): void {
    for (const key of Object.keys(value).sort()) {
      const child = (value as Record<string, unknown>)[key];
      if (tagOf(child) === 'Float32Array') this.#numbers(child as Float32Array);
      else if (tagOf(child) === 'Uint8Array') this.#numbers(words(child as Uint8Array));
      // Blocks have no `data` of their own here. Other typed arrays repeat what `data` says; their keys are millions of strings (f16 loading took 56 s for 6 s).
      else if (typeof child === 'object' && child !== null && !ArrayBuffer.isView(child))
        this.#walk(child as HostTensor);
    }
  }

  #numbers({ buffer, byteOffset, length }: Float32Array | Uint32Array): void {
    const words = new Uint32Array(buffer, byteOffset, length);
    let [a, b] = [this.#a, this.#b];
    for (let i = 0; i < length; i++) {
      a = Math.imul(a ^ words[i], 0x01000193);
      a ^= a >>> 15;
      b = Math.imul((b << 13) | (b >>> 19), 5) ^ Math.imul(words[i], 0x9e3779b1);
    }
    this.#a = a;
    this.#b = b;
  }
}

/** Bytes as words, those at the end filled up with zeros. */
function words(bytes: Uint8Array): Uint32Array {
  if (bytes.byteOffset % 4 === 0 && bytes.length % 4 === 0)
    return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const copy = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  copy.set(bytes);
  return new Uint32Array(copy.buffer);
}
