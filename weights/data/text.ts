/** Text of files and streams, piece by piece, and its lines. */

import { fileError } from '../checks/messages.js';
import type { RandomAccess } from '../files/files.js';

/** Bytes that are read at once. */
const PIECE = 2 ** 20;

/** A file's bytes in order. */
async function* bytesOf(file: RandomAccess): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < file.size; at += PIECE) yield file.read(at, Math.min(PIECE, file.size - at));
}

/** What gzip packed. */
async function* unpacked(bytes: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<Uint8Array> {
  const iterator = bytes[Symbol.asyncIterator]();
  const packed = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      const { done, value } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(value as Uint8Array<ArrayBuffer>);
    },
  });
  const reader = packed.pipeThrough(new DecompressionStream('gzip')).getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((cause) => {
      throw fileError(name, 'not a whole gzip file', cause);
    });
    if (done) return;
    yield value;
  }
}

/**
 * The text of a file (`.gz` is unpacked) or a stream: UTF-8, or UTF-16 with a byte-order mark, which is taken
 * away.
 * @throws when it is no text
 */
export async function* textOf(
  from: RandomAccess | AsyncIterable<string | Uint8Array>,
  name: string,
): AsyncGenerator<string> {
  const file = 'read' in from ? from : null;
  const raw = file ? bytesOf(file) : (from as AsyncIterable<string | Uint8Array>);
  const pieces = file && name.endsWith('.gz') ? unpacked(raw as AsyncGenerator<Uint8Array>, name) : raw;
  let decoder: InstanceType<typeof TextDecoder> | null = null;
  let first = true;
  const clean = (text: string): string => {
    if (!first || !text) return text;
    first = false;
    return text.startsWith('\ufeff') ? text.slice(1) : text;
  };
  const decoded = (bytes?: Uint8Array): string => {
    try {
      return decoder!.decode(bytes, { stream: bytes !== undefined });
    } catch {
      throw fileError(name, 'not UTF-8 text; the file is corrupt, or it is no text');
    }
  };
  for await (const piece of pieces) {
    if (typeof piece === 'string') {
      yield clean(piece);
      continue;
    }
    if (!decoder) {
      const [a, b] = piece;
      const encoding =
        a === 0xff && b === 0xfe ? 'utf-16le' : a === 0xfe && b === 0xff ? 'utf-16be' : 'utf-8';
      decoder = new TextDecoder(encoding, { fatal: true });
    }
    yield clean(decoded(piece));
  }
  if (decoder) yield clean(decoded());
}

/** Lines that end in LF, CRLF or CR, with their numbers from 1. */
export async function* linesOf(
  text: AsyncIterable<string>,
): AsyncGenerator<readonly [line: string, n: number]> {
  let rest = '';
  let n = 0;
  for await (const piece of text) {
    rest += piece;
    // A CR at the end may be half of a CRLF.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop()!;
    for (const line of lines) yield [line, ++n];
  }
  if (rest) yield [rest.replace(/\r$/, ''), ++n];
}
