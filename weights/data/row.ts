/** A row of data. */

import { fileError, quoted } from '../checks/messages.js';

/** Values by the names of their columns. */
export type Row = Readonly<Record<string, unknown>>;

/** A row, and where it stands, for messages. */
export interface Placed {
  readonly row: Row;
  /** `prompts.csv, line 3` */
  readonly where: string;
}

/** Says which columns there are. */
export function noColumn(where: string, column: string, held: readonly string[]): Error {
  const some = held
    .slice(0, 12)
    .map((name) => quoted(name, 30))
    .join(', ');
  const more = held.length > 12 ? ` and ${held.length - 12} more` : '';
  return fileError(where, `there is no column ${quoted(column, 40)}; there are ${some}${more}`);
}
