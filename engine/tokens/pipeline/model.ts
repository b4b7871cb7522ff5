/** What a tokenizer's model is: pieces of text in, tokens out. */

/** A token of a piece: the units [start, end) of the piece's text that it stands for. */
export interface Token {
  /** Undefined where the vocabulary has no token for it, and none for "unknown". */
  readonly id: number | undefined;
  readonly start: number;
  readonly end: number;
}

/** What makes tokens of pieces. */
export interface Model {
  readonly vocab: ReadonlyMap<string, number>;
  readonly unknown: number | undefined;
  encode(piece: string): readonly Token[];
}

const utf8 = new TextEncoder();

/** The name of a byte in a vocabulary of SentencePiece's. */
export const byteEntry = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;

/** The ids of a text's bytes, `<0xE2>` and so on; undefined where one of them is not in the vocabulary. */
export const byteTokens =
  (vocab: ReadonlyMap<string, number>) =>
  (part: string): number[] | undefined => {
    const ids = Array.from(utf8.encode(part), (byte) => vocab.get(byteEntry(byte)));
    return ids.includes(undefined) ? undefined : (ids as number[]);
  };
