/**
 * The experiment in the page's address: prompts, what is patched, what is selected, and the numbers that were found, so that
 * whoever opens it sees whether their GPU finds the same.
 */

import { type Experiment, type MapState, type Place, place, type Site, type State } from './state.js';

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
  readonly experiment: Experiment;
  readonly locked: Place | null;
  readonly stored: StoredNumbers | null;
}

const UNIT = 4096;
const LIMIT = 32767;
/** Of values in an address: two bytes each. */
const MOST = 1024;
const SITES: readonly Site[] = ['resid_pre', 'attn_out', 'mlp_out', 'z'];
const HOWS = ['clean', 'zero', 'mean'] as const;
const METRICS = ['logit-diff', 'log-prob', 'prob'] as const;

/** The part of the address after `#`. */
export function addressOf({ model, experiment, locked, map }: State): string {
  const { clean, corrupted, answer, wrong, bos, site, metric, how, subject } = experiment;
  const fields = new URLSearchParams({ model: model.name, clean, corrupted, answer, wrong });
  if (!bos) fields.set('bos', '0');
  if (subject) fields.set('subject', subject);
  fields.set('at', site);
  fields.set('metric', metric);
  if (how !== 'clean') fields.set('how', how);
  if (locked) fields.set('select', placeText(locked));
  if (map?.status === 'done' && map.ends && map.site === site && model.info) {
    const { clean: one, corrupted: zero } = map.ends;
    fields.set('hash', model.info.hash);
    fields.set('ends', [one, zero].map((x) => x.toPrecision(7)).join(','));
    fields.set('numbers', packed(map.values));
  }
  return fields.toString();
}

/** Reads an address; null when it holds no experiment. */
export function readAddress(text: string): Shared | null {
  const fields = new URLSearchParams(text.replace(/^#/, ''));
  const [clean, corrupted] = [fields.get('clean'), fields.get('corrupted')];
  if (clean === null || corrupted === null) return null;
  const site = SITES.find((s) => s === fields.get('at')) ?? 'resid_pre';
  const metric = METRICS.find((m) => m === fields.get('metric')) ?? 'logit-diff';
  const experiment = {
    ...{ clean, corrupted, site, metric },
    how: HOWS.find((w) => w === fields.get('how')) ?? 'clean',
    answer: fields.get('answer') ?? '',
    wrong: fields.get('wrong') ?? '',
    bos: fields.get('bos') !== '0',
    subject: fields.get('subject') ?? '',
  };
  const ends = (fields.get('ends') ?? '').split(',').map(Number);
  const numbers = fields.get('numbers');
  const stored =
    numbers && ends.length === 2 && ends.every(Number.isFinite)
      ? { hash: fields.get('hash') ?? '', ends: ends as [number, number], ...unpacked(numbers) }
      : null;
  const model = fields.get('model') || 'tiny';
  return { model, experiment, locked: readPlace(fields.get('select') ?? ''), stored };
}

/** `L3H1P10K4` */
function placeText({ layer, head, pos, key }: Place): string {
  const parts = [
    ['L', layer],
    ['H', head],
    ['P', pos],
    ['K', key],
  ] as const;
  return parts.flatMap(([letter, n]) => (n === null ? [] : [`${letter}${n}`])).join('');
}

function readPlace(text: string): Place | null {
  const found = /^(?:L(\d+))?(?:H(\d+))?(?:P(\d+))?(?:K(\d+))?$/.exec(text);
  if (!found || text === '') return null;
  const [layer, head, pos, key] = found.slice(1).map((n) => (n === undefined ? null : Number(n)));
  return place({ layer, head, pos, key });
}

function packed(values: Float32Array): string {
  const step = Math.ceil(values.length / MOST);
  const some = Int16Array.from({ length: Math.ceil(values.length / step) }, (_, i) =>
    Math.max(-LIMIT, Math.min(LIMIT, Math.round(values[i * step] * UNIT))),
  );
  const bytes = String.fromCharCode(...new Uint8Array(some.buffer));
  return `${step}.${btoa(bytes).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '')}`;
}

function unpacked(text: string): Pick<StoredNumbers, 'values' | 'step'> {
  const [step, code = ''] = text.split('.');
  try {
    const bytes = atob(code.replaceAll('-', '+').replaceAll('_', '/'));
    const all = Uint8Array.from(bytes, (c) => c.charCodeAt(0));
    const numbers = new Int16Array(all.buffer, 0, all.length >> 1);
    return { step: Number(step) || 1, values: Array.from(numbers, (n) => n / UNIT) };
  } catch {
    return { step: 1, values: [] };
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
    return { agrees: false, text: `The address holds ${values.length} numbers, this map has ${n}.` };
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
