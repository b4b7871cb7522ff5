/** A `tokenizer.json` made of pieces with scores, as SentencePiece's models and GGUF files hold them. */

/** A token. Types: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. */
export interface Piece {
  readonly text: string;
  readonly score: number;
  readonly type: number;
}

/** What a SentencePiece tokenizer is besides its pieces. */
export interface PieceSettings {
  readonly kind: 'BPE' | 'Unigram';
  /** A blank is put in front of a text. */
  readonly addPrefix: boolean;
  readonly byteFallback: boolean;
  readonly unknownId: number;
  /** Put in front of every text by the tokenizer itself; null: none. */
  readonly bosId: number | null;
  /** Blanks at the end are cut off, and several in a row are one (Unigram). */
  readonly squeeze?: boolean;
  /** SentencePiece's compiled normaliser, base64. */
  readonly charsmap?: string;
}

const BLANK = '▁';

/** The added tokens that are matched in the raw text: control and unknown ones, and those that a user defined. */
export const addedOf = (pieces: readonly Piece[]) =>
  pieces.flatMap(({ text, type }, id) =>
    type === 2 || type === 3 || type === 4
      ? [
          {
            id,
            content: text,
            special: type !== 4,
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: type === 4 && text.includes(BLANK), // Gemma's runs of blanks
          },
        ]
      : [],
  );

/** The template that puts a token in front. */
export const templateOf = (pieces: readonly { readonly text: string }[], bosId: number | null) =>
  bosId === null || !pieces[bosId]
    ? null
    : {
        type: 'TemplateProcessing',
        single: [
          { SpecialToken: { id: pieces[bosId].text, type_id: 0 } },
          { Sequence: { id: 'A', type_id: 0 } },
        ],
        pair: [],
        special_tokens: {
          [pieces[bosId].text]: { id: pieces[bosId].text, ids: [bosId], tokens: [pieces[bosId].text] },
        },
      };

/** The tokenizer of some pieces. */
export function piecesTokenizer(pieces: readonly Piece[], settings: PieceSettings): Record<string, unknown> {
  const { kind, addPrefix, byteFallback, unknownId, bosId, squeeze = false, charsmap } = settings;
  const blanks = { type: 'Replace', pattern: { String: ' ' }, content: BLANK };
  const prepend = { type: 'Prepend', prepend: BLANK };
  const normalizers: object[] = [];
  if (charsmap) normalizers.push({ type: 'Precompiled', precompiled_charsmap: charsmap });
  if (squeeze)
    normalizers.push(
      // Blanks at both ends, and no other white space.
      { type: 'Replace', pattern: { Regex: '(?<![\\s\\S]) +| +(?![\\s\\S])' }, content: '' },
      { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' },
    );
  if (addPrefix) normalizers.push(prepend);
  normalizers.push(blanks);
  const back = { type: 'Replace', pattern: { String: BLANK }, content: ' ' };
  const decoders: object[] = [back, { type: 'ByteFallback' }, { type: 'Fuse' }];
  // Where blanks are squeezed all those in front go, else the one that was put there.
  const start = squeeze ? 2 ** 16 : 1;
  if (addPrefix) decoders.push({ type: 'Strip', content: ' ', start, stop: 0 });
  const vocab = Object.fromEntries(pieces.map(({ text }, id) => [text, id]));
  const model =
    kind === 'Unigram'
      ? {
          type: 'Unigram',
          unk_id: unknownId,
          vocab: pieces.map(({ text, score }) => [text, score]),
          byte_fallback: byteFallback,
        }
      : {
          type: 'BPE',
          unk_token: pieces[unknownId]?.text ?? null,
          fuse_unk: true,
          byte_fallback: byteFallback,
          vocab,
          merges: mergesOf(pieces),
        };
  return {
    version: '1.0',
    added_tokens: addedOf(pieces),
    normalizer: { type: 'Sequence', normalizers },
    pre_tokenizer: null,
    post_processor: templateOf(pieces, bosId),
    decoder: { type: 'Sequence', decoders },
    model,
  };
}

/** All ways to make a piece of two others, the piece with the best score first. */
function mergesOf(pieces: readonly Piece[]): [left: string, right: string][] {
  const ids = new Map(pieces.map(({ text }, id) => [text, id]));
  const all: { pair: [string, string]; score: number; order: number }[] = [];
  for (const { text, score, type } of pieces) {
    if (type !== 1) continue;
    const letters = [...text];
    const ways: { pair: [string, string]; order: number }[] = [];
    for (let cut = 1, at = letters[0]?.length ?? 0; cut < letters.length; at += letters[cut].length, cut++) {
      const pair: [string, string] = [text.slice(0, at), text.slice(at)];
      const [left, right] = [ids.get(pair[0]), ids.get(pair[1])];
      if (left !== undefined && right !== undefined) ways.push({ pair, order: left * 2 ** 24 + right });
    }
    ways.sort((a, b) => a.order - b.order);
    for (const way of ways) all.push({ ...way, score });
  }
  return all.sort((a, b) => b.score - a.score).map(({ pair }) => pair);
}
