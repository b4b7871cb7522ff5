/** Text in figures: tokens with their blanks made visible, widths in columns, short numbers, escapes. */

/**
 * Control characters, invisible formatting and characters without a glyph: what would garble a line, or a
 * terminal.
 */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Zl}\p{Zp}]/u;
/** East Asian wide characters and emoji: two columns in a terminal. */
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });
const split = (text: string): string[] => Array.from(graphemes.segment(text), (s) => s.segment);

/**
 * A token as a label: `␣Mary`, `⏎` for a line feed, `⇥` for a tab, `\x1B` for other characters one cannot
 * see.
 */
export function visible(token: string): string {
  let out = '';
  for (const c of token) {
    if (c === ' ') out += '␣';
    else if (c === '\n') out += '⏎';
    else if (c === '\t') out += '⇥';
    else if (INVISIBLE.test(c) || /[\p{Zs}]/u.test(c)) {
      const code = c.codePointAt(0)!.toString(16).toUpperCase();
      out += code.length <= 2 ? `\\x${code.padStart(2, '0')}` : `\\u{${code}}`;
    } else out += c;
  }
  return out;
}

/** A label as it is shown: characters of tokens made visible, but blanks between words left alone. */
export const visibleLabel = (label: string): string =>
  label
    .split(/(?<=\S)(?<!^\d+:) (?=\S)/)
    .map(visible)
    .join(' ');

/** Columns that a text takes in a terminal. */
export function displayWidth(text: string): number {
  return split(text).reduce((n, g) => n + (WIDE.test(g) ? 2 : /^[\p{Mn}\p{Me}]$/u.test(g) ? 0 : 1), 0);
}

/** The text, or its beginning and `end` where it is wider than `width` columns. */
export function shorten(text: string, width: number, end = '…'): string {
  if (displayWidth(text) <= width) return text;
  const room = width - displayWidth(end);
  let [out, used] = ['', 0];
  for (const g of split(text)) {
    used += displayWidth(g);
    if (used > room) break;
    out += g;
  }
  return room >= 0 ? out + end : '';
}

/** A text in lines that fit; a word that does not is a line of its own. */
export function wrapped(text: string, fits: (line: string) => boolean): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (lines.at(-1) === '' || fits(longer)) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

/** Shortened and filled up with blanks to exactly `width` columns. */
export function fit(text: string, width: number, align: 'left' | 'right' | 'centre' = 'left'): string {
  const short = shorten(text, width);
  const room = Math.max(0, width - displayWidth(short));
  const before = align === 'left' ? 0 : align === 'right' ? room : room >> 1;
  return ' '.repeat(before) + short + ' '.repeat(room - before);
}

/**
 * A number for a narrow cell: `.97`, `-.03`, `1.2`, `-12`, `4e5`; `·` when it would round to zero, `?` for
 * NaN.
 */
export function compact(value: number): string {
  const size = Math.abs(value);
  if (Number.isNaN(value)) return '?';
  if (size === Infinity) return value < 0 ? '-∞' : '∞';
  if (size < 0.005) return '·';
  if (size < 0.995) return value.toFixed(2).replace('0.', '.');
  if (size < 9.95) return value.toFixed(1);
  return size < 999.5 ? value.toFixed(0) : value.toExponential(0).replace('+', '');
}

/** A number for a narrow cell, with a minus; nothing where it would round to zero. */
export const shortNumber = (value: number): string => compact(value).replace('·', '').replace('-', '−');

/** A number to be read: four significant digits, with a sign if asked for. */
export function exact(value: number, { sign = false } = {}): string {
  if (!Number.isFinite(value)) return String(value);
  const text = value === 0 ? '0' : String(Number(value.toPrecision(4)));
  return (sign && value > 0 ? `+${text}` : text).replaceAll('-', '−');
}

/** `62.1%`, `0.04%`, `<0.01%` */
export function percent(p: number): string {
  if (p > 0 && p < 0.0001) return '<0.01%';
  return `${(100 * p).toFixed(p < 0.001 ? 2 : 1)}%`;
}

/** Position and token of a label like `4:␣Mary`; position '' where there is none. */
export function splitLabel(label: string): [position: string, token: string] {
  const found = /^(\d+):(.+)$/s.exec(label);
  return found ? [found[1], found[2]] : ['', label];
}

/** Names of the Hub as they are; of a folder or URL only its last part, because a figure travels. */
export function modelName(name: string): string {
  const isPath = /^[./~]|^[a-z]:|^[a-z]+:\/\/|\\/i.test(name) || name.split('/').length > 2;
  return isPath ? (name.split(/[\\/]/).filter(Boolean).at(-1) ?? name) : name;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text for HTML and SVG, inside elements and attributes. Characters that XML forbids become `�`. */
export const escapeHtml = (text: string): string =>
  text.replace(/\p{Cc}/gu, (c) => ('\t\n\r'.includes(c) ? c : '�')).replace(/[&<>"']/g, (c) => ENTITIES[c]);

/** A value as JSON inside a `<script>`: no text in it can end the element. */
export const jsonForScript = (value: unknown): string =>
  JSON.stringify(value)
    .replace(/</g, '\\u003c')
    .replace(/\u2028|\u2029/g, (c) => `\\u${c.charCodeAt(0).toString(16)}`);

/**
 * Numbers to stand one under the other: as many decimals in all, so that the points are in one line, and no
 * more than the largest deserves: four significant digits. A number that would read as zero is so.
 */
export function alignedNumbers(values: ArrayLike<number>, { sign = false } = {}): string[] {
  const all = Array.from(values);
  const most = Math.max(0, ...all.filter(Number.isFinite).map(Math.abs));
  const decimals = most ? Math.max(0, Math.min(8, 3 - Math.floor(Math.log10(most)))) : 0;
  return all.map((v) => {
    if (!Number.isFinite(v)) return exact(v);
    const text = v.toFixed(decimals);
    const zero = Number(text) === 0;
    const size = text.replace('-', '');
    return `${zero ? '' : v < 0 ? '−' : sign ? '+' : ''}${size}`;
  });
}

const BYTES = /^( ?)((?:\\x[0-9A-F]{2})+)$/;
const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Pieces of tokens with characters in place of their bytes: of a character that several tokens make up each
 * has the character and its place, `你₁ 你₂ 你₃`. Bytes that are no character stay as they are, `\xE4`.
 */
export function joinedBytes(pieces: readonly string[]): string[] {
  const out = [...pieces];
  for (let i = 0; i < pieces.length; i++) {
    let bytes: number[] = [];
    for (let end = i; end < pieces.length && end < i + 4; end++) {
      const found = BYTES.exec(pieces[end]);
      if (!found || (end > i && found[1] !== '')) break;
      bytes = [...bytes, ...found[2].match(/[0-9A-F]{2}/g)!.map((x) => Number.parseInt(x, 16))];
      const text = decoded(bytes);
      if (text === null) continue;
      for (let k = i; k <= end; k++)
        out[k] = `${k === i ? BYTES.exec(pieces[i])![1] : ''}${text}${end > i ? '₁₂₃₄'[k - i] : ''}`;
      i = end;
      break;
    }
  }
  return out;
}

function decoded(bytes: readonly number[]): string | null {
  try {
    return utf8.decode(Uint8Array.from(bytes));
  } catch {
    return null; // not whole yet, or no character
  }
}
