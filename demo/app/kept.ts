/**
 * Experiments that a reader keeps: an address with a name, notes and what was found, in the browser's
 * storage.
 */

import { addressOf } from './share.js';
import type { State } from './state.js';

/** A kept experiment. */
export interface Kept {
  readonly id: string;
  readonly name: string;
  readonly notes: string;
  /** When it was kept, in milliseconds since 1970. */
  readonly at: number;
  /** The address' part after `#`. */
  readonly address: string;
  /** What was found, for comparing: null where nothing was. */
  readonly map: {
    readonly rows: readonly string[];
    readonly columns: readonly string[];
    readonly values: readonly number[];
    readonly clean: number;
    readonly corrupted: number;
    readonly metric: string;
  } | null;
  readonly next: readonly (readonly [token: string, prob: number])[];
}

const KEY = 'glassbox.experiments';
/** So many are kept. */
const MOST = 100;

/** The kept experiments, the latest first. */
export function readKept(): Kept[] {
  try {
    const list = JSON.parse(localStorage.getItem(KEY) ?? '[]') as unknown;
    const isKept = (k: Partial<Kept> | null) =>
      typeof k?.id === 'string' && typeof k.name === 'string' && typeof k.address === 'string';
    return Array.isArray(list) ? (list as Kept[]).filter(isKept) : [];
  } catch {
    return []; // a page may be opened where nothing is kept
  }
}

/** Writes the list. @returns whether the browser took it */
export function writeKept(list: readonly Kept[]): boolean {
  try {
    localStorage.setItem(KEY, JSON.stringify(list.slice(0, MOST)));
    return true;
  } catch {
    return false;
  }
}

/** The experiment that is on the page. */
export function keptOf(state: State, name: string): Kept {
  const { map, next } = state;
  const whole = map?.status === 'done' && map.ends && map.result;
  const round = (v: number) => Number(v.toPrecision(6));
  return {
    ...{ id: `${Date.now()}-${Math.random().toString(36).slice(2, 8)}`, name, notes: '', at: Date.now() },
    address: addressOf(state),
    map: whole
      ? {
          ...{ rows: map.rows, columns: map.columns, values: Array.from(map.values, round) },
          ...{ clean: round(map.ends.clean), corrupted: round(map.ends.corrupted) },
          metric: String(map.result.meta.metric),
        }
      : null,
    next: (next?.value.clean ?? []).slice(0, 5).map((g) => [g.text, round(g.prob)] as const),
  };
}
