/**
 * Pre-tokenizers of tokenizer.json: they cut a text into the pieces that become tokens on their own. As in
 * Hugging Face's Rust library: `\s` is White_Space, `Digits` means all of \p{N}, `\w` Unicode's word
 * characters.
 */

import { entryOfChar } from '../bytes.js';
import { list, optionalText, quoted, record, text } from '../file.js';
import { matchesOf, type Pattern, patternOf, SPACE } from './pattern.js';
import { type Match, mapChars, type Piece, prepend, replaceMatches, slicePiece } from './piece.js';

/** Cuts a piece, and may change what it cuts. */
export type PreTokenizer = (piece: Piece) => Piece[];

type Behaviour = 'Removed' | 'Isolated' | 'MergedWithPrevious' | 'MergedWithNext' | 'Contiguous';
const BEHAVIOURS: readonly Behaviour[] = [
  'Removed',
  'Isolated',
  'MergedWithPrevious',
  'MergedWithNext',
  'Contiguous',
];

const WORD = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}';
const PUNCTUATION = '\\p{P}!-\\/:-@\\[-`\\{-~';
/** GPT-2's words (Radford et al. 2019), with Rust's blanks. */
const GPT2 = matchesOf(
  new RegExp(
    `'(?:s|t|re|ve|m|ll|d)| ?\\p{L}+| ?\\p{N}+| ?[^${SPACE}\\p{L}\\p{N}]+|[${SPACE}]+(?![^${SPACE}])|[${SPACE}]+`,
    'gu',
  ),
);

type Part = [start: number, end: number, matched: boolean];

/** Matches and what lies between them, in order. */
function partsOf(text: string, matches: readonly Match[], invert: boolean): Part[] {
  const parts: Part[] = [];
  let done = 0;
  for (const [start, end] of matches) {
    if (start > done) parts.push([done, start, invert]);
    parts.push([start, end, !invert]);
    done = end;
  }
  if (done < text.length) parts.push([done, text.length, invert]);
  return parts;
}

/** What becomes of the matches: left out, alone, or joined to what stands before or behind. */
function join(parts: readonly Part[], behaviour: Behaviour): Match[] {
  if (behaviour === 'Isolated') return parts.map(([start, end]) => [start, end]);
  if (behaviour === 'Removed') return parts.flatMap(([s, e, matched]) => (matched ? [] : [[s, e] as const]));
  const backwards = behaviour === 'MergedWithNext';
  const joined: [number, number][] = [];
  let before = false;
  for (const [start, end, matched] of backwards ? [...parts].reverse() : parts) {
    const last = joined.at(-1);
    const together = behaviour === 'Contiguous' ? matched === before : matched && !before;
    if (!together || !last) joined.push([start, end]);
    else if (backwards) last[0] = start;
    else last[1] = end;
    before = matched;
  }
  return backwards ? joined.reverse() : joined;
}

const split =
  (pattern: Pattern, behaviour: Behaviour, invert = false): PreTokenizer =>
  (piece) =>
    join(partsOf(piece.text, pattern(piece.text), invert), behaviour).flatMap(([from, to]) =>
      to > from ? [slicePiece(piece, from, to)] : [],
    );

const chars = (set: string): Pattern => matchesOf(new RegExp(`[${set}]`, 'gu'));

function behaviourOf(value: unknown, where: string, fallback?: Behaviour): Behaviour {
  if (value == null && fallback) return fallback;
  const found = BEHAVIOURS.find(
    (name) => name.toLowerCase() === String(value).replace(/_/g, '').toLowerCase(),
  );
  if (!found)
    throw new Error(
      `tokenizer.json: ${where} is ${quoted(value)}; it must be one of ${BEHAVIOURS.join(', ')}`,
    );
  return found;
}

function byteLevel(json: Record<string, unknown>): PreTokenizer {
  const cut: PreTokenizer = json.use_regex === false ? (piece) => [piece] : split(GPT2, 'Isolated');
  return (piece) => {
    const whole = json.add_prefix_space === true && !piece.text.startsWith(' ') ? prepend(piece, ' ') : piece;
    return cut(whole).map((part) => mapChars(part, entryOfChar));
  };
}

function metaspace(json: Record<string, unknown>, where: string): PreTokenizer {
  const mark = optionalText(json.replacement, `${where}.replacement`) ?? '▁';
  const legacy = json.add_prefix_space === false ? 'never' : 'always';
  const scheme = optionalText(json.prepend_scheme, `${where}.prepend_scheme`) ?? legacy;
  if (!['always', 'first', 'never'].includes(scheme))
    throw new Error(
      `tokenizer.json: ${where}.prepend_scheme is ${quoted(scheme)}; it must be always, first or never`,
    );
  const blanks = matchesOf(/ /gu);
  const marks = patternOf({ String: mark }, `${where}.replacement`);
  const cut = split(marks, 'MergedWithNext');
  return (piece) => {
    let made = replaceMatches(piece, blanks(piece.text), mark);
    if (!made.text.startsWith(mark) && (scheme === 'always' || (scheme === 'first' && piece.first)))
      made = prepend(made, mark);
    return json.split === false ? [made] : cut(made);
  };
}

function fixedLength(json: Record<string, unknown>, where: string): PreTokenizer {
  const length = json.length ?? 5;
  if (!Number.isSafeInteger(length) || (length as number) < 1)
    throw new Error(`tokenizer.json: ${where}.length is ${quoted(length)}; it must be a positive integer`);
  return (piece) => {
    const cuts = [0];
    let count = 0;
    let at = 0;
    for (const char of piece.text) {
      at += char.length;
      if (++count % (length as number) === 0) cuts.push(at);
    }
    if (cuts.at(-1) !== piece.text.length) cuts.push(piece.text.length);
    return cuts.slice(1).map((end, i) => slicePiece(piece, cuts[i], end));
  };
}

/** The pre-tokenizer that tokenizer.json describes; null: the text stays whole. */
export function preTokenizerOf(json: unknown, where = 'pre_tokenizer'): PreTokenizer | null {
  if (json == null) return null;
  const given = record(json, where);
  switch (given.type) {
    case 'Sequence': {
      const steps = list(given.pretokenizers, `${where}.pretokenizers`).flatMap(
        (step, i) => preTokenizerOf(step, `${where}[${i}]`) ?? [],
      );
      return (piece) => steps.reduce((pieces, step) => pieces.flatMap(step), [piece]);
    }
    case 'ByteLevel':
      return byteLevel(given);
    case 'Whitespace':
      return split(matchesOf(new RegExp(`[${WORD}]+|[^${WORD}${SPACE}]+`, 'gu')), 'Removed', true);
    case 'WhitespaceSplit':
      return split(chars(SPACE), 'Removed');
    case 'BertPreTokenizer': {
      const [blanks, marks] = [split(chars(SPACE), 'Removed'), split(chars(PUNCTUATION), 'Isolated')];
      return (piece) => blanks(piece).flatMap(marks);
    }
    case 'Metaspace':
      return metaspace(given, where);
    case 'Punctuation':
      return split(chars(PUNCTUATION), behaviourOf(given.behavior, `${where}.behavior`, 'Isolated'));
    case 'Digits':
      return split(chars('\\p{N}'), given.individual_digits === true ? 'Isolated' : 'Contiguous');
    case 'CharDelimiterSplit':
      return split(patternOf({ String: text(given.delimiter, `${where}.delimiter`) }, where), 'Removed');
    case 'Split':
      return split(
        patternOf(given.pattern, `${where}.pattern`),
        behaviourOf(given.behavior, `${where}.behavior`),
        given.invert === true,
      );
    case 'FixedLength':
      return fixedLength(given, where);
    default:
      throw new Error(`tokenizer.json: ${where} is of type ${quoted(given.type)}, which is not known`);
  }
}
