/**
 * Normalizers of tokenizer.json: what is done to a text before it is cut. As in Hugging Face's Rust library.
 */

import { entryOfChar } from '../bytes.js';
import { list, optionalText, quoted, record, text } from '../file.js';
import { patternOf, SPACE } from './pattern.js';
import { mapChars, type Piece, PieceBuilder, prepend, replaceMatches, slicePiece } from './piece.js';
import { precompiled } from './precompiled.js';

/** Changes a text and keeps its alignment. */
export type Normalizer = (piece: Piece) => Piece;

type Form = 'NFC' | 'NFD' | 'NFKC' | 'NFKD';

const SPACES = new RegExp(`^[${SPACE}]$`, 'u');
/** What may be composed with what stands before it stays with it: marks, and Hangul's letters. */
const CLUSTERS = /[\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff\uac00-\ud7a3]+\p{M}*|\P{M}\p{M}*|\p{M}+/gu;

/** Unicode's normal forms. Each cluster of a character and its marks stands for what it was made of. */
function unicode(form: Form): Normalizer {
  return (piece) => {
    const whole = piece.text.normalize(form);
    if (whole === piece.text) return piece;
    const out = new PieceBuilder(piece);
    for (const match of piece.text.matchAll(CLUSTERS)) {
      const [cluster] = match;
      const made = cluster.normalize(form);
      if (made === cluster) out.keep(match.index, match.index + cluster.length);
      else out.add(made, match.index, match.index + cluster.length);
    }
    const made = out.done();
    if (made.text === whole) return made;
    const rough = new PieceBuilder(piece);
    rough.add(whole, 0, piece.text.length);
    return rough.done();
  };
}

const without =
  (pattern: RegExp): Normalizer =>
  (piece) =>
    mapChars(piece, (char) => (pattern.test(char) ? '' : char));

/** Character by character, as Rust does: a final sigma is like any other. */
const lowercase: Normalizer = (piece) => mapChars(piece, (char) => char.toLowerCase());

function strip(json: Record<string, unknown>): Normalizer {
  const spaces = new RegExp(`^[${SPACE}]*`, 'u');
  const last = new RegExp(`[${SPACE}]+$`, 'u');
  return (piece) => {
    const from = json.strip_left === false ? 0 : spaces.exec(piece.text)![0].length;
    const rest = piece.text.slice(from);
    const cut = json.strip_right === false ? 0 : (last.exec(rest)?.[0].length ?? 0);
    return slicePiece(piece, from, piece.text.length - cut);
  };
}

const CHINESE =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/u;

function bert(json: Record<string, unknown>): Normalizer {
  const lower = json.lowercase !== false;
  const steps: Normalizer[] = [];
  if (json.clean_text !== false)
    steps.push((piece) =>
      mapChars(piece, (char) => {
        if (/[\t\n\r]/.test(char)) return ' ';
        if (char === '\0' || char === '\ufffd' || /[\p{Cc}\p{Cf}\p{Co}]/u.test(char)) return '';
        return SPACES.test(char) ? ' ' : char;
      }),
    );
  if (json.handle_chinese_chars !== false)
    steps.push((piece) => mapChars(piece, (char) => (CHINESE.test(char) ? ` ${char} ` : char)));
  if (json.strip_accents ?? lower) steps.push(unicode('NFD'), without(/\p{Mn}/u));
  if (lower) steps.push(lowercase);
  return sequence(steps);
}

const within = (code: number, ranges: readonly (readonly [first: number, last: number])[]): boolean =>
  ranges.some(([first, last]) => code >= first && code <= last);
const one = (code: number) => [code, code] as const;
const CONTROLS = [[1, 8], one(0xb), [0xe, 0x1f], one(0x7f), one(0x8f), one(0x9f)] as const;
const BLANKS = [
  [9, 0xa],
  [0xc, 0xd],
  one(0x1680),
  [0x200b, 0x200f],
  [0x2028, 0x2029],
  one(0x2581),
  one(0xfeff),
  one(0xfffd),
] as const;

/** SentencePiece's rules: control characters go, several kinds of blanks become one. */
const nmt: Normalizer = (piece) =>
  mapChars(piece, (char) => {
    const code = char.codePointAt(0)!;
    return within(code, CONTROLS) ? '' : within(code, BLANKS) ? ' ' : char;
  });

const sequence =
  (steps: readonly Normalizer[]): Normalizer =>
  (piece) =>
    steps.reduce((made, step) => step(made), piece);

/** The normalizer that tokenizer.json describes; null: the text stays as it is. */
export function normalizerOf(json: unknown, where = 'normalizer'): Normalizer | null {
  if (json == null) return null;
  const given = record(json, where);
  switch (given.type) {
    case 'Sequence': {
      const steps = list(given.normalizers, `${where}.normalizers`);
      return sequence(steps.flatMap((step, i) => normalizerOf(step, `${where}[${i}]`) ?? []));
    }
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return unicode(given.type);
    case 'Lowercase':
      return lowercase;
    case 'StripAccents':
      return without(/\p{M}/u);
    case 'Strip':
      return strip(given);
    case 'Nmt':
      return nmt;
    case 'BertNormalizer':
      return bert(given);
    case 'Precompiled':
      return precompiled(text(given.precompiled_charsmap, `${where}.precompiled_charsmap`));
    case 'Prepend': {
      const added = text(given.prepend, `${where}.prepend`);
      return (piece) => prepend(piece, added);
    }
    case 'Replace': {
      const pattern = patternOf(given.pattern, `${where}.pattern`);
      const content = optionalText(given.content, `${where}.content`) ?? '';
      return (piece) => replaceMatches(piece, pattern(piece.text), content);
    }
    case 'ByteLevel':
      return (piece) => mapChars(piece, entryOfChar);
    default:
      throw new Error(`tokenizer.json: ${where} is of type ${quoted(given.type)}, which is not known`);
  }
}
