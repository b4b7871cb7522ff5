/**
 * Bytes and text. GPT-2's tokens are byte strings: one may hold half a character, and its vocabulary file
 * writes each byte as a printable character (a blank is `Ġ`).
 */

/**
 * GPT-2's table (OpenAI's `bytes_to_unicode`): printable Latin-1 bytes are themselves, the other 68 become
 * U+0100, U+0101, ... in order. Index: byte; value: character.
 */
export const BYTE_TO_CHAR: readonly string[] = (() => {
  let next = 256;
  const printable = (b: number) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  return Array.from({ length: 256 }, (_, b) => String.fromCharCode(printable(b) ? b : next++));
})();

const CHAR_TO_BYTE = new Map(BYTE_TO_CHAR.map((char, byte) => [char, byte]));

const encoder = new TextEncoder();
// ignoreBOM: U+FEFF is a character of the text like any other
const lossy = new TextDecoder('utf-8', { ignoreBOM: true });
const strict = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true });

/** UTF-8 bytes; a lone surrogate becomes U+FFFD, as everywhere in JavaScript. */
export const utf8 = (text: string): Uint8Array => encoder.encode(text);

/** Text of UTF-8 bytes; what is not UTF-8 becomes U+FFFD. */
export const fromUtf8 = (bytes: Uint8Array): string => lossy.decode(bytes);

/** The bytes of a vocabulary entry in GPT-2's writing (`Ġthe`), or null when it is not in that writing. */
export function bytesOfEntry(entry: string): Uint8Array | null {
  const bytes: number[] = [];
  for (const char of entry) {
    const byte = CHAR_TO_BYTE.get(char);
    if (byte === undefined) return null;
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

/** The vocabulary entry of a text in GPT-2's writing: ` the` is `Ġthe`. */
export function entryOfText(text: string): string {
  let entry = '';
  for (const byte of utf8(text)) entry += BYTE_TO_CHAR[byte];
  return entry;
}

/** The same of one character. */
export const entryOfChar = (char: string): string =>
  char < '\u0080' ? BYTE_TO_CHAR[char.charCodeAt(0)] : entryOfText(char);

/** Concatenates. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function strictText(bytes: Uint8Array): string | null {
  try {
    return strict.decode(bytes);
  } catch {
    return null;
  }
}

/** Bytes for people: UTF-8 where it is whole, `\xE2` where a byte is part of a character that is not. */
export function showBytes(bytes: Uint8Array): string {
  const whole = strictText(bytes);
  if (whole !== null) return whole;
  let shown = '';
  for (let at = 0; at < bytes.length; ) {
    const lead = bytes[at];
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    const char = at + length <= bytes.length ? strictText(bytes.subarray(at, at + length)) : null;
    shown += char ?? `\\x${lead.toString(16).toUpperCase().padStart(2, '0')}`;
    at += char === null ? 1 : length;
  }
  return shown;
}

/** The first place of `needle` in `bytes` at or after `from`; −1 when there is none. */
export function indexOfBytes(bytes: Uint8Array, needle: Uint8Array, from = 0): number {
  for (let at = from; at + needle.length <= bytes.length; at++) {
    let same = 0;
    while (same < needle.length && bytes[at + same] === needle[same]) same++;
    if (same === needle.length) return at;
  }
  return -1;
}
