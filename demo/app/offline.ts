/**
 * After the first visit the page works without a network: a service worker keeps its files, the shipped model
 * among them.
 */

import type { State } from './state.js';
import type { Store } from './store.js';

/**
 * Registers the service worker of the built page, once the first model is loaded: it asks for the same files.
 * While the page is being developed there is none.
 */
export function serveOffline(store: Store<State>): void {
  const built = (import.meta as unknown as { readonly env?: { readonly PROD?: boolean } }).env?.PROD;
  if (!built || !('serviceWorker' in navigator)) return;
  const end = store.watch(
    (s) => s.model.status,
    (status) => {
      if (status !== 'ready') return;
      queueMicrotask(() => end());
      navigator.serviceWorker.register('./sw.js').catch(() => {}); // a page may be opened where nothing is kept
    },
  );
}
