/** Values of tokenizer.json, checked as they are read: every error names the file and the place. */

/** A value for a message: short, whatever it is, and without control characters. */
export function quoted(value: unknown, limit = 60): string {
  let shown: string;
  if (typeof value === 'string') shown = JSON.stringify(value.slice(0, limit + 1));
  else if (typeof value !== 'object' || value === null) shown = String(value);
  else shown = Array.isArray(value) ? `a list of ${value.length}` : 'an object';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  shown = shown.replace(/[\u0000-\u001f\u007f-\u009f]/g, '·');
  return shown.length > limit ? `${shown.slice(0, limit)}…` : shown;
}

const wrong = (value: unknown, where: string, wanted: string) =>
  new Error(
    `tokenizer.json: ${where} is ${value === undefined ? 'missing' : quoted(value)}; it must be ${wanted}`,
  );

/** An object. */
export function record(value: unknown, where: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw wrong(value, where, 'an object');
  return value as Record<string, unknown>;
}

/** A list; none where it is missing. */
export function list(value: unknown, where: string): readonly unknown[] {
  if (value == null) return [];
  if (!Array.isArray(value)) throw wrong(value, where, 'a list');
  return value;
}

/** A text. */
export function text(value: unknown, where: string): string {
  if (typeof value !== 'string') throw wrong(value, where, 'a text');
  return value;
}

/** A text, or undefined where it is missing. */
export const optionalText = (value: unknown, where: string): string | undefined =>
  value == null ? undefined : text(value, where);

/** No vocabulary has as many tokens. */
const MOST_IDS = 2 ** 24;

const TOKEN_ID = `a token id, an integer from 0 to ${MOST_IDS - 1}`;
const isTokenId = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < MOST_IDS;

/** A token id. */
export function tokenId(value: unknown, where: string): number {
  if (!isTokenId(value)) throw wrong(value, where, TOKEN_ID);
  return value;
}

/** `{ token: id }`, as a map. */
export function vocabularyOf(value: unknown, where = 'model.vocab'): Map<string, number> {
  const vocab = new Map<string, number>();
  const seen = new Map<number, string>();
  for (const [entry, id] of Object.entries(record(value, where))) {
    if (!isTokenId(id)) throw wrong(id, `${where}, the id of ${quoted(entry, 30)},`, TOKEN_ID);
    const at = id;
    const other = seen.get(at);
    if (other !== undefined)
      throw new Error(
        `tokenizer.json: ${where} gives id ${at} twice, to ${quoted(other, 30)} and ${quoted(entry, 30)}`,
      );
    seen.set(at, entry);
    vocab.set(entry, at);
  }
  return vocab;
}
