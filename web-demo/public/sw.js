/** Shows a page of ours, and not the browser's, where the server cannot be reached. Nothing else is kept: what is live is never old. */

const KEPT = 'klieg-offline-1';
const FILES = ['/offline.html', '/offline.css', '/favicon.svg'];

self.addEventListener('install', (event) => {
  event.waitUntil(caches.open(KEPT).then((cache) => cache.addAll(FILES)).then(() => self.skipWaiting()));
});

self.addEventListener('activate', (event) => {
  const forgetOld = caches.keys().then((names) => Promise.all(names.filter((name) => name !== KEPT).map((name) => caches.delete(name))));
  event.waitUntil(forgetOld.then(() => self.clients.claim()));
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const isPage = request.mode === 'navigate';
  const { pathname } = new URL(request.url);
  const isKept = FILES.includes(pathname);
  if (!isPage && !isKept) return;
  const answer = fetch(request).then((response) => {
    if (isKept && response.ok) event.waitUntil(keep(pathname, response.clone()));
    return response;
  });
  event.respondWith(answer.catch(async () => await caches.match(isPage ? '/offline.html' : request) ?? Response.error()));
});

/** Keeps a file as it is now: a release may have changed it. Where there is no room the one before stays. */
function keep(pathname, response) {
  return caches.open(KEPT).then((cache) => cache.put(pathname, response)).catch(() => {});
}
