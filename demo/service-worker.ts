/**
 * The service worker as a text: it keeps the files of one build, and serves them when the network does not.
 */

/**
 * The script. Names of files carry a hash of their content, so that what is kept is served at once; the pages
 * themselves are asked for first, so that a new build is found. Requests to other hosts are left alone.
 * @param files of the build
 */
export function serviceWorker(files: readonly string[]): string {
  const kept = ['./', ...files.filter((file) => !/\.map$|^sw\.js$/.test(file)).map((file) => `./${file}`)];
  const version = hashOf(kept.join());
  return `const NAME = 'glassbox-page-${version}';
const FILES = ${JSON.stringify(kept)};
self.addEventListener('install', (event) => {
  self.skipWaiting();
  const fresh = FILES.map((file) => new Request(file, { cache: 'no-store' })); // as they are, not as another request left them
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(fresh)));
});
self.addEventListener('activate', (event) => {
  const old = (names) => names.filter((n) => n.startsWith('glassbox-page-') && n !== NAME);
  event.waitUntil(
    caches.keys().then((names) => Promise.all(old(names).map((n) => caches.delete(n)))).then(() => self.clients.claim()),
  );
});
self.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method !== 'GET' || new URL(request.url).origin !== self.location.origin) return;
  const kept = async () => {
    const whole = await (await caches.open(NAME)).match(request.url, { ignoreSearch: true });
    const range = /^bytes=(\\d+)-(\\d*)$/.exec(request.headers.get('range') || '');
    if (!whole || !range) return whole;
    const blob = await whole.blob();
    const [from, to] = [Number(range[1]), range[2] ? Math.min(Number(range[2]), blob.size - 1) : blob.size - 1];
    if (from > to) return new Response(null, { status: 416 });
    const headers = { 'content-range': 'bytes ' + from + '-' + to + '/' + blob.size, 'content-type': blob.type };
    return new Response(blob.slice(from, to + 1), { status: 206, headers });
  };
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
