/** After the first visit the page works without a network: a service worker keeps its files, the shipped model among them. */

/** Registers the service worker of the built page; while the page is being developed there is none. */
export function serveOffline(): void {
  const built = (import.meta as unknown as { readonly env?: { readonly PROD?: boolean } }).env?.PROD;
  if (!built || !('serviceWorker' in navigator)) return;
  addEventListener('load', () => {
    navigator.serviceWorker.register('./sw.js').catch(() => {}); // a page may be opened where nothing is kept
  });
}
