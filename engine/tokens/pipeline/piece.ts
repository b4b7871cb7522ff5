/**
 * A part of a text on its way through a tokenizer: what it has become, and where in the text as typed each of
 * its characters came from. Normalizers change the characters; the alignment is how a token is still found in
 * the prompt.

/** A text that is being tokenized, or a part of one. Indices count UTF-16 units. */
export interface Piece {
  readonly text: string;
  /**
   * For each unit of `text`: the part [start, end) of the typed text that it stands for. Null: nobody asks
   * for it.
   */
  readonly starts: ArrayLike<number> | null;
  readonly ends: ArrayLike<number> | null;
  /** Where this piece begins in `starts` and `ends`. */
  readonly at: number;
  /** It begins where the whole text begins. */
  readonly first: boolean;
  /** Rules may not make it longer. */
  readonly longest: number;
}

/** Rules may lengthen a text by this factor, and this many units more; beyond, they are refused. */
const LONGEST_FACTOR = 64;
const LONGEST_EXTRA = 2 ** 20;

/** The piece that a typed text is; `offset`: where it begins in the whole text. */
export function pieceOf(text: string, aligned: boolean, offset = 0): Piece {
  const first = offset === 0;
  const longest = LONGEST_FACTOR * text.length + LONGEST_EXTRA;
  if (!aligned) return { text, starts: null, ends: null, at: 0, first, longest };
  const starts = new Int32Array(text.length);
  const ends = new Int32Array(text.length);
  for (let i = 0; i < text.length; ) {
    const size = text.codePointAt(i)! > 0xffff ? 2 : 1;
    for (let k = 0; k < size; k++, i++) {
      starts[i] = offset + i - k;
      ends[i] = offset + i - k + size;
    }
  }
  return { text, starts, ends, at: 0, first, longest };
}

/** The part [from, to) of a piece. */
export const slicePiece = (piece: Piece, from: number, to: number): Piece =>
  from === 0 && to === piece.text.length
    ? piece
    : {
        text: piece.text.slice(from, to),
        starts: piece.starts,
        ends: piece.ends,
        at: piece.at + from,
        first: piece.first && from === 0,
        longest: piece.longest,
      };

/**
 * Builds a changed copy of a piece; whatever is added says which part [from, to) of the old one it stands
 * for.
 */
export class PieceBuilder {
  readonly #old: Piece;
  #text = '';
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];

  constructor(old: Piece) {
    this.#old = old;
  }

  add(text: string, from: number, to: number): void {
    this.#text += text;
    if (this.#text.length > this.#old.longest)
      throw new Error(`tokenizer.json: a rule makes the text more than ${LONGEST_FACTOR} times as long`);
    const { starts, ends, at, text: old } = this.#old;
    if (!starts || !ends || !old.length) return;
    const first = starts[at + Math.min(from, old.length - 1)];
    const end = to > from ? ends[at + to - 1] : first;
    for (let i = 0; i < text.length; i++) {
      this.#starts.push(first);
      this.#ends.push(end);
    }
  }

  /** Keeps the part [from, to) as it is. */
  keep(from: number, to: number): void {
    const { text, starts, ends, at } = this.#old;
    this.#text += text.slice(from, to);
    if (!starts || !ends) return;
    for (let i = from; i < to; i++) {
      this.#starts.push(starts[at + i]);
      this.#ends.push(ends[at + i]);
    }
  }

  done(): Piece {
    if (this.#text.length > this.#old.longest)
      throw new Error(`tokenizer.json: a rule makes the text more than ${LONGEST_FACTOR} times as long`);
    const aligned = this.#old.starts !== null;
    return {
      text: this.#text,
      starts: aligned ? this.#starts : null,
      ends: aligned ? this.#ends : null,
      at: 0,
      first: this.#old.first,
      longest: this.#old.longest,
    };
  }
}

/** Every character (code point) replaced by a text, which may be empty. */
export function mapChars(piece: Piece, change: (char: string) => string): Piece {
  if (!piece.starts) {
    let text = '';
    for (const char of piece.text) text += change(char);
    return { ...piece, text, at: 0 };
  }
  const out = new PieceBuilder(piece);
  let at = 0;
  for (const char of piece.text) {
    out.add(change(char), at, at + char.length);
    at += char.length;
  }
  return out.done();
}

/** A text in front, which stands for the piece's first character. */
export function prepend(piece: Piece, text: string): Piece {
  if (!piece.text.length) return piece;
  const out = new PieceBuilder(piece);
  out.add(text, 0, piece.text.codePointAt(0)! > 0xffff ? 2 : 1);
  out.keep(0, piece.text.length);
  return out.done();
}

/** A match of a pattern, [start, end). */
export type Match = readonly [start: number, end: number];

/** Every match replaced by a text. */
export function replaceMatches(piece: Piece, matches: Iterable<Match>, content: string): Piece {
  const out = new PieceBuilder(piece);
  let done = 0;
  for (const [from, to] of matches) {
    out.keep(done, from);
    out.add(content, from, to);
    done = to;
  }
  out.keep(done, piece.text.length);
  return out.done();
}
