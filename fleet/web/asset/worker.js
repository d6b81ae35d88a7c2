// Without a connection the shop can't be asked anything, and no old page stands in for
// it: who opens one is told so. Of an order that was sent, and that nobody answered,
// nobody knows; it can be asked for again with its own id, and stays one order.

const CACHE = "offline";
const LIKE = "/offline/like"; // the language and kind of the page that was read last, see app.js

self.addEventListener("install", (e) => {
  e.waitUntil((async () => {
    const cache = await caches.open(CACHE);
    await cache.addAll(KEPT.map((path) => new Request(path, { cache: "reload" })));
    await self.skipWaiting();
  })());
});

self.addEventListener("activate", (e) => {
  e.waitUntil((async () => {
    const cache = await caches.open(CACHE);
    for (const request of await cache.keys()) {
      const address = new URL(request.url);
      if (address.pathname !== LIKE && !KEPT.includes(address.pathname + address.search)) await cache.delete(request);
    }
  })());
});

const kept = async (path) => (await caches.open(CACHE)).match(path, { ignoreVary: true });

const escape = (text) => text.replace(/[&<>"']/g, (c) => "&#" + c.charCodeAt(0) + ";");

// page is the one that is like what was read last.
async function page(more) {
  const like = await kept(LIKE);
  return (like && (await kept("/offline/" + (await like.text()) + more))) || kept(KEPT[0] + more);
}

// offline is it, where nothing was sent.
const offline = async () => (await page("")) || Response.error();

// unanswered is it after an order that nobody answered.
async function unanswered(fields) {
  const blank = await page("/sent");
  if (!blank) return Response.error();
  let again = "";
  for (const [name, value] of fields) {
    if (typeof value === "string") again += `<input type="hidden" name="${escape(name)}" value="${escape(value)}">`;
  }
  const html = (await blank.text()).replace('<span id="fields" hidden></span>', () => again);
  return new Response(html, { status: 503, headers: blank.headers });
}

self.addEventListener("fetch", (e) => {
  const request = e.request;
  const address = new URL(request.url);
  if (address.origin !== location.origin) return;
  if (request.mode !== "navigate") {
    if (KEPT.includes(address.pathname + address.search)) {
      e.respondWith(fetch(request).catch(async () => (await kept(request)) || Response.error()));
    }
    return;
  }
  if (request.method === "POST" && address.pathname === "/order") {
    const copy = request.clone();
    e.respondWith(fetch(request).catch(async () => unanswered(await copy.formData())));
    return;
  }
  if (request.method === "POST") {
    // What other buttons do is told by the page they belong to, once it can be reached.
    // It stands above theirs in its address, and can be asked for again; theirs can't.
    const above = address.pathname.replace(/\/[^/]*$/, "") || "/";
    e.respondWith(fetch(request).catch(() => Response.redirect(above, 303)));
    return;
  }
  e.respondWith(fetch(request).catch(offline));
});
