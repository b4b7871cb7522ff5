/**
 * The address follows the experiment, so that a reload finds it again, and Back and Forward go through
 * experiments. What is typed in one go is one experiment.
 */

import { addressOf, readAddress, type Shared } from './share.js';
import type { Experiment, State } from './state.js';
import type { Store } from './store.js';

/** Typing that pauses no longer is one change. */
const PAUSE_MS = 1200;
/** The address is written so long after a change. */
const REST_MS = 150;

const DRAFT = 'glassbox.draft';

/**
 * What is on the page this very moment: the address follows a little later, and a reload may come before it.
 */
function keepDraft(address: string): void {
  try {
    sessionStorage.setItem(DRAFT, address);
  } catch {} // a page may be opened where nothing is kept
}

/** The address that the page begins with: after a reload what was on it, else its own. */
export function firstAddress(): string {
  try {
    const [entry] = performance.getEntriesByType('navigation') as PerformanceNavigationTiming[];
    const draft = sessionStorage.getItem(DRAFT);
    if (entry?.type === 'reload' && draft) return `#${draft}`;
  } catch {} // as above
  return location.hash;
}

/**
 * Follows the state with the address. @param opened is called with an address that was gone to; `own`: one of
 * this page's history
 */
export function followAddress(store: Store<State>, opened: (shared: Shared, own: boolean) => void): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let first = true;
  let entry: Experiment = store.state.experiment; // of the entry of the history that is shown
  let changed = 0;
  const write = () => {
    clearTimeout(timer);
    timer = undefined;
    // An address that was not understood stays as it is until something is changed.
    if (store.state.unread.length) return;
    const { experiment } = store.state;
    const address = `#${addressOf(store.state)}`;
    const another = JSON.stringify(experiment) !== JSON.stringify(entry);
    const fresh = performance.now() - changed > PAUSE_MS || !isTyping(entry, experiment);
    if (another && fresh) history.pushState({ own: true }, '', address);
    else history.replaceState({ own: true }, '', address);
    if (another) changed = performance.now();
    entry = experiment;
  };
  store.watch(
    (s) => [s.experiment, s.locked, s.map?.status, s.map?.key, s.model.name, s.unread] as const,
    () => {
      if (first) {
        first = false;
        return;
      }
      keepDraft(addressOf(store.state));
      clearTimeout(timer);
      timer = setTimeout(write, REST_MS);
    },
  );
  const read = () => {
    const shared = readAddress(location.hash);
    if (!shared || location.hash.slice(1) === addressOf(store.state)) return;
    clearTimeout(timer);
    timer = undefined;
    entry = shared.experiment;
    opened(shared, (history.state as { own?: boolean } | null)?.own === true);
  };
  addEventListener('hashchange', read);
  addEventListener('popstate', read);
}

/** Whether two experiments differ in one text only, as while somebody types. */
function isTyping(one: Experiment, other: Experiment): boolean {
  const names = (Object.keys(one) as (keyof Experiment)[]).filter(
    (name) => JSON.stringify(one[name]) !== JSON.stringify(other[name]),
  );
  const texts: readonly (keyof Experiment)[] = [
    'clean',
    'corrupted',
    'answer',
    'wrong',
    'subject',
    'written',
    'cursor',
  ];
  const [name] = names.filter((n) => n !== 'written' && n !== 'cursor');
  if (!names.every((n) => texts.includes(n))) return false;
  if (name === undefined) return names.length === 1 && names[0] === 'cursor'; // a slider that is drawn
  if (names.some((n) => n !== name && n !== 'written' && n !== 'cursor' && n !== 'subject')) return false;
  return Math.abs(String(one[name]).length - String(other[name]).length) <= 2;
}
