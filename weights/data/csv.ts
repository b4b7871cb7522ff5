/**
 * CSV as RFC 4180 has it, piece by piece: fields in quotes may hold separators, quotes (doubled) and line
 * ends.
 */

import { fileError, quoted } from '../checks/messages.js';
import type { Placed } from './row.js';

/** What is used of papaparse's parser: it stops before a last row that may go on in the next piece. */
interface Parser {
  parse(
    text: string,
    base: number,
    ignoreLast: boolean,
  ): {
    readonly data: readonly (readonly string[])[];
    readonly errors: readonly { readonly code: string; readonly row?: number }[];
    readonly meta: { readonly cursor: number };
  };
}

/**
 * Rows by the names in the first line.
 * @throws for a row with another number of fields than the first line, quotes that do not end, a name that is
 * there twice
 */
export async function* csvRows(
  pieces: AsyncIterable<string>,
  name: string,
  delimiter: ',' | '\t',
): AsyncGenerator<Placed> {
  const { default: Papa } = await import('papaparse');
  let parser: Parser | null = null;
  let header: readonly string[] | null = null;
  let rest = '';
  let line = 1;
  const rowsOf = function* (last: boolean): Generator<Placed> {
    if (!parser) {
      const end = lineEnd(rest, last);
      if (end === null) return;
      parser = new (Papa.Parser as unknown as new (config: object) => Parser)({ delimiter, newline: end });
    }
    const { data, errors, meta } = parser.parse(rest, 0, !last);
    rest = rest.slice(meta.cursor);
    for (const [i, fields] of data.entries()) {
      const where = `${name}, line ${line}`;
      const bad = errors.find(({ row }) => row === i);
      if (bad && (last || bad.code !== 'MissingQuotes'))
        throw fileError(
          where,
          bad.code === 'MissingQuotes'
            ? 'a quote begins here that does not end'
            : 'a field in quotes goes on behind its last quote; a quote inside is written twice',
        );
      line += 1 + fields.reduce((n, field) => n + (field.match(/\r\n|\n|\r/g)?.length ?? 0), 0);
      if (fields.length === 1 && fields[0].trim() === '') continue;
      if (!header) {
        const twice = fields.find((field, j) => fields.indexOf(field) < j);
        if (twice !== undefined) throw fileError(where, `column ${quoted(twice)} is there twice`);
        header = fields;
        continue;
      }
      if (fields.length !== header.length)
        throw fileError(
          where,
          `${fields.length} ${fields.length === 1 ? 'field' : 'fields'}, and the first line names ${header.length} columns`,
        );
      const names = header;
      yield { row: Object.fromEntries(fields.map((field, j) => [names[j], field])), where };
    }
  };
  for await (const piece of pieces) {
    rest += piece;
    yield* rowsOf(false);
  }
  yield* rowsOf(true);
}

/** How the first line ends; null: the text does not say yet. */
function lineEnd(text: string, last: boolean): string | null {
  let inside = false;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '"') inside = !inside;
    if (inside || (text[i] !== '\n' && text[i] !== '\r')) continue;
    if (text[i] === '\n') return '\n';
    if (i + 1 === text.length && !last) return null;
    return text[i + 1] === '\n' ? '\r\n' : '\r';
  }
  return last ? '\n' : null;
}
