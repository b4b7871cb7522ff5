/**
 * Text that comes from outside (a file, a server, an address), made fit for messages and terminals.
 */

/** Default length of what `shown` gives, in UTF-16 units. */
const SHOWN_LENGTH = 80;

/**
 * Control characters (escape sequences begin with one), line and paragraph separators, characters that turn
 * the direction of writing, and lone surrogates. A terminal obeys them; a reader does not see them.
 */
const UNSEEN = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\p{Bidi_Control}\ufeff]/gu;
/** The same, and what sets a colour in a terminal in one piece. */
const UNSEEN_OR_COLOUR = new RegExp(`\\p{Cc}\\[[0-9;]*m|${UNSEEN.source}`, 'gu');

/** `\x1b`, `\u202e` */
function escaped(char: string): string {
  const code = char.charCodeAt(0);
  return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
}

/**
 * A text from outside as it may stand in a message: characters that a terminal would obey are written as
 * escapes, and what is longer than `max` loses its middle. Everything that a file or a server names goes
 * through this before it is shown.
 */
export function shown(text: unknown, max = SHOWN_LENGTH): string {
  let whole = typeof text === 'string' ? text : String(text);
  // Of a long text only the ends are looked at.
  if (whole.length > 4 * max) whole = `${whole.slice(0, 2 * max)}${whole.slice(-2 * max)}`;
  const clean = whole.replace(UNSEEN, escaped);
  if (clean.length <= max && whole.length === String(text).length) return clean;
  const end = Math.floor(max / 3);
  return `${clean.slice(0, max - end - 1)}…${clean.slice(-end)}`.replace(UNSEEN, '');
}

/**
 * Several lines for a terminal: line ends and tabs stay, colours stay where `colours` is true (`ESC [ … m`),
 * everything else that a terminal would obey is written as an escape.
 */
export function printable(text: string, { colours = false } = {}): string {
  return text.replace(colours ? UNSEEN_OR_COLOUR : UNSEEN, (part) => {
    const stays = part === '\n' || part === '\t' || (part.length > 2 && part.startsWith('\u001b['));
    return stays ? part : escaped(part) + part.slice(1);
  });
}

/**
 * JSON of the same meaning without what a terminal would obey: `JSON.stringify` leaves U+007F–U+009F and
 * others as they are.
 */
export const printableJson = (json: string): string =>
  json.replace(UNSEEN, (char) =>
    char === '\n' ? char : `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

/**
 * An address as it may stand in a message: without the query, which may sign a request, and without a
 * password.
 */
export function shownUrl(url: string): string {
  if (url.startsWith('data:')) return 'data: URL';
  return shown(url.replace(/[?#].*/s, '').replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/]*@/i, '$1'), 120);
}
