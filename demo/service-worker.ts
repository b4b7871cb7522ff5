/** The service worker as a text: it keeps the files of one build, and serves them when the network does not. */

/**
 * The script. Names of files carry a hash of their content, so that what is kept is served at once; the pages themselves are
 * asked for first, so that a new build is found. Requests to other hosts are left alone.
 * @param files of the build
 */
export function serviceWorker(files: readonly string[]): string {
  const kept = ['./', ...files.filter((file) => !/\.map$|^sw\.js$/.test(file)).map((file) => `./${file}`)];
  const version = hashOf(kept.join());
  return `const NAME = 'glassbox-page-${version}';
const FILES = ${JSON.stringify(kept)};
self.addEventListener('install', (event) => {
  self.skipWaiting();
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(FILES)));
});
self.addEventListener('activate', (event) => {
  const old = (names) => names.filter((n) => n.startsWith('glassbox-page-') && n !== NAME);
  event.waitUntil(
    caches.keys().then((names) => Promise.all(old(names).map((n) => caches.delete(n)))).then(() => self.clients.claim()),
  );
});
self.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method !== 'GET' || new URL(request.url).origin !== self.location.origin || request.headers.has('range')) return;
  const kept = () => caches.open(NAME).then((cache) => cache.match(request, { ignoreSearch: true }));
  if (request.mode === 'navigate')
    event.respondWith(fetch(request).catch(() => kept().then((found) => found || caches.match('./'))));
  else event.respondWith(kept().then((found) => found || fetch(request)));
});
`;
}

/** FNV-1a of a text, as eight hexadecimal digits. */
function hashOf(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash.toString(16).padStart(8, '0');
}
