/** What views and panels are given: the state, the worker, and what a reader can do. */

import type { Client } from './client.js';
import type { DtypeName } from './formats.js';
import { presets } from './presets.js';
import { type Experiment, type Place, type State, samePlace } from './state.js';
import type { Store } from './store.js';
import type { Sweep } from './sweep.js';

/** The page's inside. */
export interface App {
  readonly store: Store<State>;
  readonly client: Client;
  readonly sweep: Sweep;
  /** Shows a sentence for a few seconds. */
  say(text: string): void;
  /** Loads a model by name, or files by path. */
  load(source: string | ReadonlyMap<string, Blob>, name?: string, dtype?: DtypeName): Promise<void>;
}

/** Another cell is pointed at. */
export function hover({ store }: Pick<App, 'store'>, at: Place | null): void {
  if (!samePlace(store.state.hover, at)) store.set({ hover: at });
}

/** Locks a place; the same once more, or null, unlocks. */
export function lock({ store }: Pick<App, 'store'>, at: Place | null): void {
  // On a narrow screen what was chosen is told in a sheet at its foot.
  const chosen = at !== null && !samePlace(store.state.locked, at) && store.state.experiment.corrupted !== '';
  document.body.classList.toggle('sheet', chosen && at.layer !== null);
  store.set({ locked: samePlace(store.state.locked, at) ? null : at });
}

type Draft = { -readonly [K in keyof Experiment]: Experiment[K] };

/**
 * Changes the experiment. Numbers that came with an address belong to it as it was; the subject of an
 * example, to the example's prompt.
 */
export function edit({ store }: Pick<App, 'store'>, change: Partial<Experiment>): void {
  const { experiment } = store.state;
  const next: Draft = { ...experiment, ...change };
  const given = presets.some((p) => p.experiment.subject === next.subject);
  if (change.subject === undefined && given && !next.clean.includes(next.subject)) next.subject = '';
  if (JSON.stringify(next) === JSON.stringify(experiment)) return;
  const texts = ['clean', 'corrupted', 'answer', 'wrong', 'bos'] as const;
  const typed = texts.some((name) => next[name] !== experiment[name]);
  const moved = (['clean', 'corrupted', 'bos'] as const).some((name) => next[name] !== experiment[name]);
  // What was generated belongs to the prompt, and the cursor to a text.
  if (next.clean !== experiment.clean || next.bos !== experiment.bos) {
    next.written = change.written ?? [];
    next.cursor = change.cursor ?? null;
  }
  const asked = ['site', 'metric', 'written', 'cursor', 'changes', 'others'] as const;
  const other = typed || asked.some((name) => next[name] !== experiment[name]);
  store.set({
    experiment: next,
    ...(other && { stored: null, unread: [] }),
    ...(typed && { hover: null }),
    ...(moved && store.state.locked?.pos != null && { locked: null }), // it would lie on another token
  });
}
