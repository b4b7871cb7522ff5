/**
 * The experiment in the page's address: prompts, what is patched, what is selected, and the numbers that were found, so that
 * whoever opens it sees whether their GPU finds the same.
 */

import { type Change, readChange } from './changes.js';
import { DTYPES, type DtypeName } from './formats.js';
import { presets } from './presets.js';
import {
  type Experiment,
  type MapState,
  type Part,
  type Place,
  place,
  type Site,
  type State,
} from './state.js';
import { mapAsk } from './sweep.js';

/** Numbers that came with an address. */
export interface StoredNumbers {
  /** Of the weights. */
  readonly hash: string;
  /** Metric of the clean and the corrupted run. */
  readonly ends: readonly [clean: number, corrupted: number];
  /** Of the map, to about 1/4000; every `step`-th. */
  readonly values: readonly number[];
  readonly step: number;
}

/** What an address says. */
export interface Shared {
  readonly model: string;
  readonly dtype: DtypeName;
  readonly experiment: Experiment;
  readonly locked: Place | null;
  readonly stored: StoredNumbers | null;
  /** What of it was not understood, in sentences. Where there is something, its numbers are not compared. */
  readonly unread: readonly string[];
}

/** Of addresses that this page writes. Addresses without a number are older, and read the same. */
const FORMAT = '1';
/** Longer addresses are not read. */
const MOST_CHARACTERS = 100_000;
const UNIT = 4096;
const LIMIT = 32767;
/** Of values in an address: two bytes each. */
const MOST = 1024;
const SITES: readonly Site[] = ['resid_pre', 'attn_out', 'mlp_out', 'z'];
const HOWS = ['clean', 'zero', 'mean'] as const;
const METRICS = ['logit-diff', 'log-prob', 'prob'] as const;

const FIELDS = [
  ...[
    'format',
    'model',
    'dtype',
    'clean',
    'corrupted',
    'answer',
    'wrong',
    'bos',
    'subject',
    'at',
    'metric',
    'how',
  ],
  ...['written', 'cursor', 'changes', 'others', 'select', 'hash', 'ends', 'numbers'],
];

/** The part of the address after `#`: the fields as they are, and the map's numbers if the map is of these very fields. */
export function addressOf(state: State): string {
  const { model, experiment, locked, map } = state;
  const { clean, corrupted, answer, wrong, bos, site, metric, how, subject } = experiment;
  const fields = new URLSearchParams({ format: FORMAT, model: model.name, clean, corrupted, answer, wrong });
  if (model.dtype !== 'f32') fields.set('dtype', model.dtype);
  if (!bos) fields.set('bos', '0');
  if (subject) fields.set('subject', subject);
  fields.set('at', site);
  fields.set('metric', metric);
  if (how !== 'clean') fields.set('how', how);
  const { written, cursor, changes, others } = experiment;
  if (written.length) fields.set('written', written.join(','));
  if (cursor !== null) fields.set('cursor', String(cursor));
  if (changes.length) fields.set('changes', JSON.stringify(changes));
  if (others) fields.set('others', '1');
  if (locked) fields.set('select', placeText(locked));
  if (map && hasNumbers(state)) {
    const { clean: one, corrupted: zero } = map.ends!;
    fields.set('hash', map.of.model.info!.hash);
    fields.set('ends', [one, zero].map((x) => x.toPrecision(7)).join(','));
    fields.set('numbers', packed(map.values));
  }
  return fields.toString();
}

/** Whether an address would hold the map's numbers: it is whole, and of what the fields say. */
export function hasNumbers(state: State): boolean {
  const { map } = state;
  return map?.status === 'done' && map.ends !== null && map.key === mapAsk(state).key;
}

/** Reads an address; null when there is none. */
export function readAddress(text: string): Shared | null {
  const code = text.replace(/^#/, '');
  if (code === '') return null;
  const unread: string[] = [];
  if (code.length > MOST_CHARACTERS)
    return nothing(`This address has ${code.length} characters, of which it may have ${MOST_CHARACTERS}`);
  const fields = new URLSearchParams(code);
  const format = fields.get('format') ?? FORMAT;
  if (format !== FORMAT)
    return nothing(`This address has the format ${quoted(format)}; this page reads format ${FORMAT}`);
  const names = [...new Set(fields.keys())];
  const unknown = names.filter((name) => !FIELDS.includes(name));
  if (unknown.length === names.length)
    return nothing(`This address holds no experiment, only ${list(unknown)}`);
  if (unknown.length) unread.push(`it has ${list(unknown)}, which this page does not know`);
  const twice = names.filter((name) => fields.getAll(name).length > 1);
  if (twice.length) unread.push(`${list(twice)} stands in it more than once; the first was taken`);
  const one = <T extends string>(name: string, all: readonly T[], usual: T): T => {
    const value = fields.get(name);
    const found = value === null ? usual : all.find((v) => v === value);
    if (found !== undefined) return found;
    unread.push(`${name}=${quoted(value!)} is none of ${all.join(', ')}; ${usual} is shown`);
    return usual;
  };
  const dtype = one(
    'dtype',
    DTYPES.map(({ name }) => name),
    'f32',
  );
  const experiment = {
    clean: fields.get('clean') ?? '',
    corrupted: fields.get('corrupted') ?? '',
    answer: fields.get('answer') ?? '',
    wrong: fields.get('wrong') ?? '',
    bos: one('bos', ['1', '0'], '1') === '1',
    subject: fields.get('subject') ?? '',
    site: one('at', SITES, 'resid_pre'),
    metric: one('metric', METRICS, 'logit-diff'),
    how: one('how', HOWS, 'clean'),
    written: numbersIn(fields.get('written'), (text) =>
      unread.push(`written=${quoted(text)} is no list of tokens`),
    ),
    cursor:
      numbersIn(fields.get('cursor'), (text) => unread.push(`cursor=${quoted(text)} is no position`))[0] ??
      null,
    changes: changesIn(fields.get('changes'), (text) =>
      unread.push(`changes=${quoted(text)} is no list of changes`),
    ),
    others: one('others', ['1', '0'], '0') === '1',
  };
  for (const name of ['clean', 'corrupted'] as const)
    if (!fields.has(name)) unread.push(`it has no ${name} prompt`);
  const select = fields.get('select');
  const locked = select === null ? null : readPlace(select);
  if (select !== null && locked === null)
    unread.push(`select=${quoted(select)} is no place; nothing is selected`);
  const stored = readNumbers(fields);
  if (typeof stored === 'string') unread.push(stored);
  return {
    ...{ model: fields.get('model') || 'tiny', dtype, experiment, locked },
    stored: typeof stored === 'string' || unread.length ? null : stored,
    unread: unread.length ? [`Not all of this address was understood: ${unread.join('; ')}.`] : [],
  };
}

/** An address of which nothing is used: the page shows its first example. */
const nothing = (why: string): Shared => ({
  ...{ model: 'tiny', dtype: 'f32', locked: null, stored: null },
  experiment: firstExperiment,
  unread: [`${why}. Nothing of it was used: this is the first example.`],
});

/** What is shown when no address says anything else. */
export const firstExperiment: Experiment = {
  ...presets[0].experiment,
  ...{ bos: true, site: 'resid_pre', metric: 'logit-diff', how: 'clean' },
  ...{ written: [], cursor: null, changes: [], others: false },
};

/** Whole numbers from zero with commas between them; `bad` hears of anything else. */
function numbersIn(text: string | null, bad: (text: string) => void): number[] {
  if (text === null) return [];
  const list = text.split(',').map((x) => (/^\d{1,7}$/.test(x) ? Number(x) : Number.NaN));
  if (list.length <= 4096 && list.every(Number.isInteger)) return list;
  bad(text);
  return [];
}

/** A list of changes; `bad` hears of anything else. */
function changesIn(text: string | null, bad: (text: string) => void): Change[] {
  if (text === null) return [];
  try {
    const list = JSON.parse(text) as unknown;
    const read = Array.isArray(list) && list.length <= 200 ? list.map(readChange) : [null];
    if (read.every((c) => c !== null)) return read;
  } catch {} // said below
  bad(text);
  return [];
}

const quoted = (text: string): string =>
  JSON.stringify(text.length > 40 ? `${text.slice(0, 39)}…` : text).replace(/[\p{Cf}]/gu, '·');

const list = (names: readonly string[]): string =>
  `${names.slice(0, 3).map(quoted).join(', ')}${names.length > 3 ? ` and ${names.length - 3} more` : ''}`;

/** The numbers of an address; null: it has none; a sentence: what is wrong with them. */
function readNumbers(fields: URLSearchParams): StoredNumbers | string | null {
  const [numbers, told] = [fields.get('numbers'), fields.get('ends')];
  if (numbers === null && told === null) return null;
  const ends = (told ?? '').split(',').map((x) => (x.trim() === '' ? Number.NaN : Number(x)));
  const hash = fields.get('hash') ?? '';
  const values = unpacked(numbers ?? '');
  if (!values || ends.length !== 2 || !ends.every(Number.isFinite) || !/^[0-9a-f]{16}$/.test(hash))
    return 'its numbers are damaged or were cut off, so they are not compared; what is computed here does not rest on them';
  return { hash, ends: ends as [number, number], ...values };
}

/** `L3H1P10K4`, `L2midP14`; where no part is said, a position means the state before the layer. */
function placeText({ layer, part, head, pos, key }: Place): string {
  const parts = [
    ['L', layer],
    ['H', head],
    ['P', pos],
    ['K', key],
  ] as const;
  const name = part === null || part === 'pre' ? '' : part.replace('_out', '');
  return parts
    .flatMap(([letter, n]) => (n === null ? [] : [`${letter}${n}${letter === 'L' ? name : ''}`]))
    .join('');
}

function readPlace(text: string): Place | null {
  const found = /^(?:L(\d+)(mid|post|attn|mlp)?)?(?:H(\d+))?(?:P(\d+))?(?:K(\d+))?$/.exec(text);
  if (!found || text === '') return null;
  const name = found[2];
  const [layer, head, pos, key] = [1, 3, 4, 5].map((i) => (found[i] === undefined ? null : Number(found[i])));
  const given = name === 'attn' || name === 'mlp' ? `${name}_out` : name;
  const part = (given ?? (layer !== null && pos !== null && head === null ? 'pre' : null)) as Part | null;
  return place({ layer, part, head, pos, key });
}

function packed(values: Float32Array): string {
  const step = Math.ceil(values.length / MOST);
  const some = Int16Array.from({ length: Math.ceil(values.length / step) }, (_, i) =>
    Math.max(-LIMIT, Math.min(LIMIT, Math.round(values[i * step] * UNIT))),
  );
  const bytes = String.fromCharCode(...new Uint8Array(some.buffer));
  return `${step}.${btoa(bytes).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')}`;
}

/** Null when it is not what `packed` writes. */
function unpacked(text: string): Pick<StoredNumbers, 'values' | 'step'> | null {
  const [, step, code] = /^([1-9]\d{0,5})\.([\w-]+)$/.exec(text) ?? [];
  if (code === undefined) return null;
  try {
    const bytes = atob(code.replaceAll('-', '+').replaceAll('_', '/'));
    if (bytes.length % 2 || bytes.length > 2 * MOST) return null;
    const all = Uint8Array.from(bytes, (c) => c.charCodeAt(0));
    const numbers = new Int16Array(all.buffer);
    return { step: Number(step), values: Array.from(numbers, (n) => n / UNIT) };
  } catch {
    return null;
  }
}

/** What comparing the stored numbers with those found here says. */
export interface Agreement {
  readonly agrees: boolean;
  readonly text: string;
}

/** How far numbers of two GPUs may be apart; stored ones are rounded to 1/4096. */
const TOLERANCE = 1e-3;

/** Compares a finished map with stored numbers. */
export function compare(stored: StoredNumbers, map: MapState, hash: string): Agreement {
  const { ends, values, step } = stored;
  if (stored.hash && stored.hash !== hash)
    return {
      agrees: false,
      text: 'The address was made with other weights, so its numbers are not comparable.',
    };
  const n = Math.ceil(map.values.length / step);
  if (values.length !== n)
    return {
      agrees: false,
      text: `The address is damaged: it holds ${values.length} numbers, and this map has ${n}. They were not compared; the map is what this page computes.`,
    };
  const limit = LIMIT / UNIT;
  const apart = values.map((v, i) => {
    const own = Math.max(-limit, Math.min(limit, map.values[i * step]));
    return Math.abs(v - own) / Math.max(1, Math.abs(v));
  });
  const both = [map.ends!.clean, map.ends!.corrupted];
  for (const [i, own] of both.entries()) apart.push(Math.abs(own - ends[i]) / Math.max(1, Math.abs(ends[i])));
  const most = apart.reduce((a, b) => Math.max(a, b), 0);
  const agrees = most <= TOLERANCE;
  return {
    agrees,
    text: agrees
      ? `The numbers agree with those in the address (${apart.length} compared, at most ${most.toExponential(0)} apart; they are stored to ${(0.5 / UNIT).toExponential(0)}).`
      : `The numbers do not agree with those in the address: they differ by up to ${most.toPrecision(2)}.`,
  };
}
