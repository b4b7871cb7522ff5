/**
 * Results as text, for files: CSV for spreadsheets and data frames, JSON that can be read back. Nothing is
 * written here.
 */

import { is, options, signatures } from '../../hooks/input/check.js';
import { fileError, shownJson } from '../../weights/checks/messages.js';
import { parseJson } from '../../weights/checks/text.js';
import { type Labelled, type LabelledData, labelled } from './result.js';

/** Options of `toCsv`. */
export interface CsvOptions {
  /** Further columns after `value`, each with one text in all lines: model, prompt. */
  readonly columns?: Readonly<Record<string, string>>;
}

const takes = signatures({
  toCsv: { result: is.labelled, options: options<CsvOptions>({ columns: is.plainObject }) },
  toJson: { result: is.labelled },
  fromJson: { text: is.text },
});

/**
 * A result as CSV (RFC 4180), a line a cell: a column with the label of each axis, then `value`. Values have
 * as many digits as tell one f32 from the next; `NaN`, `Infinity` and `-Infinity` stand as such.
 */
export const toCsv = takes.toCsv(function toCsv(
  { values, axes }: LabelledData,
  { columns = {} }: CsvOptions = {},
): string {
  const labels = axes.map((axis) => axis.labels.map(csvField));
  const more = Object.entries(columns);
  const [heads, same] = [0, 1].map((i) => more.map((pair) => `,${csvField(String(pair[i]))}`).join(''));
  const lines = [[...axes.map((axis) => csvField(axis.name)), 'value'].join(',') + heads];
  const at = axes.map(() => 0);
  for (const value of values) {
    lines.push([...at.map((i, axis) => labels[axis][i]), shortest(value)].join(',') + same);
    for (let axis = axes.length - 1; axis >= 0 && ++at[axis] === labels[axis].length; axis--) at[axis] = 0;
  }
  return `${lines.join('\n')}\n`;
});

/** A field of CSV: quoted where it must be, and where blanks at an end could get lost. */
export const csvField = (text: string): string =>
  /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;

/** The shortest decimal number that is this f32. */
function shortest(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === value) return String(short + 0);
  }
  return String(Number(value.toPrecision(9)));
}

const FORMAT = 'glassbox result';

/**
 * A result as JSON: axes, values and `meta`, for `fromJson`. Numbers that JSON does not have are strings
 * among the values and `{ "$number": "NaN" }` in `meta`, typed arrays there are lists. What a method adds
 * beside the labelled array is left out.
 */
export const toJson = takes.toJson(function toJson({ values, axes, meta }: LabelledData): string {
  const plain = (_: string, value: unknown) => {
    if (ArrayBuffer.isView(value)) return Array.from(value as Float32Array);
    return typeof value === 'number' && !Number.isFinite(value) ? { $number: String(value) } : value;
  };
  const head = JSON.stringify({ format: FORMAT, version: 1, axes, meta }, plain);
  const numbers = Array.from(values, (v) => (Number.isFinite(v) ? shortest(v) : `"${v}"`));
  return `${head.slice(0, -1)},"values":[${numbers.join(',')}]}\n`;
});

/** Reads what `toJson` wrote. @throws when it is something else, or the values do not fill the axes. */
export const fromJson = takes.fromJson(function fromJson(text: string): Labelled {
  const number = (_: string, value: unknown) =>
    value !== null && typeof value === 'object' && '$number' in value ? Number(value.$number) : value;
  const read = parseJson(text, 'fromJson', number) as Record<string, unknown> | null;
  return readLabelled(read);
});

/** Numbers that JSON does not have, as `toJson` writes them. */
const NOT_IN_JSON = ['NaN', 'Infinity', '-Infinity'];

function readLabelled(read: Record<string, unknown> | null): Labelled {
  const fail = (what: string) => fileError('fromJson', what);
  if (read?.format !== FORMAT) throw fail('this is no result that toJson has written');
  if (read.version !== 1) throw fail(`version ${shownJson(read.version)}, and this Glassbox reads version 1`);
  const { axes, meta, values } = read;
  if (!Array.isArray(values)) throw fail('it has no list of values: the file is damaged');
  const bad = values.findIndex((v) => typeof v !== 'number' && !NOT_IN_JSON.includes(v as string));
  if (bad >= 0)
    throw fail(`value ${bad} is ${shownJson(values[bad])}, which is no number: the file is damaged`);
  const isAxis = (axis: Partial<LabelledData['axes'][number]> | null) =>
    typeof axis?.name === 'string' &&
    Array.isArray(axis.labels) &&
    axis.labels.every((label) => typeof label === 'string');
  if (!Array.isArray(axes) || !axes.every(isAxis))
    throw fail('its axes are no list of { name, labels }: the file is damaged');
  if (typeof meta !== 'object' || meta === null || Array.isArray(meta))
    throw fail('its meta is no object: the file is damaged');
  return labelled(Float32Array.from(values as unknown[], Number), axes, { ...meta }, 'allowed');
}
