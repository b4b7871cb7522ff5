/**
 * SentencePiece's compiled table of replacements (`precompiled_charsmap`): a double-array trie of what is
 * replaced, and the replacements. Kudo & Richardson 2018; the format is darts-clone's.
 */

import { type Piece, PieceBuilder } from './piece.js';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * A normalizer from the table, in base64. @throws an error that names tokenizer.json where it is no such
 * table.
 */
export function precompiled(base64: string): (piece: Piece) => Piece {
  const bad = () => new Error('tokenizer.json: precompiled_charsmap is not a table of SentencePiece');
  let bytes: Uint8Array;
  try {
    bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  } catch {
    throw bad();
  }
  if (!bytes.length) return (piece) => piece;
  if (bytes.length < 4) throw bad();
  const view = new DataView(bytes.buffer);
  const size = view.getUint32(0, true);
  if (size % 4 || size + 4 > bytes.length) throw bad();
  const units = Array.from({ length: size / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
  const replacements = bytes.subarray(4 + size);

  /** What a text is replaced by, or null: the shortest of its beginnings that is in the table counts. */
  const find = (text: string): string | null => {
    let node = 0;
    let unit = units[0] ?? 0;
    const offset = (u: number) => (u >>> 10) << ((u & (1 << 9)) >>> 6);
    node ^= offset(unit);
    for (const byte of encoder.encode(text)) {
      if (byte === 0) return null;
      node ^= byte;
      unit = units[node] ?? 0x80000000;
      if (unit >>> 31 || (unit & 0xff) !== byte) return null; // its label
      node ^= offset(unit);
      if (!((unit >>> 8) & 1)) continue; // no leaf
      const from = (units[node] ?? 0) & 0x7fffffff;
      if (from >= replacements.length) return null;
      const end = replacements.indexOf(0, from);
      return decoder.decode(replacements.subarray(from, end < 0 ? undefined : end));
    }
    return null;
  };
  const seen = new Map<string, string | null>();
  const look = (text: string) => {
    let found = seen.get(text);
    if (found === undefined) {
      found = find(text);
      if (seen.size < 2 ** 16) seen.set(text, found);
    }
    return found;
  };
  const graphemes = new Intl.Segmenter('und', { granularity: 'grapheme' });
  return (piece) => {
    const out = new PieceBuilder(piece);
    for (const { segment, index } of graphemes.segment(piece.text)) {
      const end = index + segment.length;
      const whole = encoder.encode(segment).length < 6 ? look(segment) : null;
      if (whole !== null) {
        out.add(whole, index, end);
        continue;
      }
      let at = index;
      for (const char of segment) {
        const found = look(char);
        if (found === null) out.keep(at, at + char.length);
        else out.add(found, at, at + char.length);
        at += char.length;
      }
    }
    return out.done();
  };
}
