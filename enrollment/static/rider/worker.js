// Keeps the page of the pass, so that it opens without a connection. Nothing else of the
// rider's pages is kept: they show what is true now, or nothing.
const SHELF = "facefare-pass-2";
const PAGE = "/me/pass";
const KEPT = [PAGE, "/me/static/rider.css", "/me/static/pass.js", "/me/static/qr.js",
  "/me/manifest.webmanifest", "/static/facefare.css", "/static/mark.svg"];

self.addEventListener("install", (event) => {
  event.waitUntil((async () => {
    await (await caches.open(SHELF)).addAll(KEPT.map((path) => new Request(path, { cache: "reload" })));
    await self.skipWaiting();
  })());
});

self.addEventListener("activate", (event) => {
  event.waitUntil((async () => {
    const old = (await caches.keys()).filter((name) => name !== SHELF);
    await Promise.all(old.map((name) => caches.delete(name)));
    await self.clients.claim();
  })());
});

async function freshOrKept(request, path) {
  const shelf = await caches.open(SHELF);
  try {
    const answer = await fetch(request);
    if (answer.ok) await shelf.put(path, answer.clone());
    return answer;
  } catch (error) {
    const kept = await shelf.match(path);
    if (kept) return kept;
    throw error;
  }
}

self.addEventListener("fetch", (event) => {
  const { pathname, origin } = new URL(event.request.url);
  if (event.request.method !== "GET" || origin !== location.origin) return;
  if (KEPT.includes(pathname)) event.respondWith(freshOrKept(event.request, pathname));
});
