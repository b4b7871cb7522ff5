/** `tokenizer.model`: SentencePiece's model, a protobuf message, as a `tokenizer.json`. */

import { fileError } from '../checks/messages.js';
import { type Piece, piecesTokenizer } from './pieces.js';

type Field = readonly [number: number, value: number | Uint8Array];

/** The fields of a message, in their order. @throws when they do not end where the bytes do */
function* fieldsOf(bytes: Uint8Array): Generator<Field> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 64; shift += 7) {
      if (at >= bytes.length) throw new RangeError('it ends too early');
      const byte = bytes[at++];
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
    throw new RangeError('a number that does not end');
  };
  const take = (n: number) => {
    if (at + n > bytes.length) throw new RangeError('it ends too early');
    at += n;
    return at - n;
  };
  while (at < bytes.length) {
    const tag = varint();
    const [number, wire] = [Math.floor(tag / 8), tag % 8];
    if (wire === 0) yield [number, varint()];
    else if (wire === 5) yield [number, view.getFloat32(take(4), true)];
    else if (wire === 1) yield [number, view.getFloat64(take(8), true)];
    else if (wire === 2) {
      const length = varint();
      const start = take(length);
      yield [number, bytes.subarray(start, start + length)];
    } else throw new RangeError(`a field of kind ${wire}`);
  }
}

const text = (value: number | Uint8Array) =>
  typeof value === 'number' ? '' : new TextDecoder().decode(value);

function pieceOf(bytes: Uint8Array): Piece {
  const piece = { text: '', score: 0, type: 1 };
  for (const [number, value] of fieldsOf(bytes)) {
    if (number === 1) piece.text = text(value);
    else if (number === 2) piece.score = Number(value);
    else if (number === 3) piece.type = Number(value);
  }
  return piece;
}

/** Ids are int32: −1 (none) is written as 2⁶⁴ − 1. */
const idOf = (value: number) => (value > 2 ** 31 ? null : value);

/**
 * The tokenizer of a `tokenizer.model`, as a `tokenizer.json`.
 * @param addsBos whether it puts its beginning-of-text token in front
 * @throws when the bytes are no such model, or of a kind that is neither BPE nor unigram
 */
export function sentencePieceTokenizer(
  bytes: Uint8Array,
  file: string,
  addsBos = true,
): { tokenizer: Record<string, unknown>; config: Record<string, unknown> } {
  const pieces: Piece[] = [];
  let [kind, unknown, byteFallback, addPrefix, squeeze] = [1, 0, false, true, true];
  let [bos, eos]: (number | null)[] = [1, 2];
  let charsmap: Uint8Array | null = null;
  try {
    for (const [number, value] of fieldsOf(bytes)) {
      if (typeof value === 'number') continue;
      if (number === 1) pieces.push(pieceOf(value));
      else if (number === 2)
        for (const [key, is] of fieldsOf(value)) {
          if (typeof is !== 'number') continue;
          if (key === 3) kind = is;
          else if (key === 35) byteFallback = is !== 0;
          else if (key === 40) unknown = idOf(is) ?? 0;
          else if (key === 41) bos = idOf(is);
          else if (key === 42) eos = idOf(is);
        }
      else if (number === 3)
        for (const [key, is] of fieldsOf(value)) {
          if (key === 2 && typeof is !== 'number') charsmap = is;
          else if (key === 3) addPrefix = is !== 0;
          else if (key === 4) squeeze = is !== 0;
        }
    }
  } catch (cause) {
    throw fileError(file, `this is no SentencePiece model (${(cause as Error).message})`, cause);
  }
  if (!pieces.length) throw fileError(file, 'this is no SentencePiece model (it has no pieces)');
  if (kind !== 1 && kind !== 2)
    throw fileError(file, `it is of kind ${kind}; BPE (2) and unigram (1) are read`);
  const unigram = kind === 1;
  const tokenizer = piecesTokenizer(pieces, {
    kind: unigram ? 'Unigram' : 'BPE',
    addPrefix,
    byteFallback,
    unknownId: unknown,
    bosId: addsBos ? bos : null,
    squeeze: squeeze && unigram,
    ...(charsmap?.length && unigram && { charsmap: base64(charsmap) }),
  });
  const name = (id: number | null) => (id === null ? null : (pieces[id]?.text ?? null));
  return {
    tokenizer,
    config: { bos_token: name(bos), eos_token: name(eos), add_bos_token: addsBos && bos !== null },
  };
}

function base64(bytes: Uint8Array): string {
  let binary = '';
  for (let i = 0; i < bytes.length; i += 0x8000)
    binary += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(binary);
}
