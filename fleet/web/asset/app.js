// Lets the browser keep a page that says so when there is no connection, and a kiosk
// begin anew for the next customer.

const body = document.body.classList;

if (navigator.serviceWorker && window.isSecureContext) {
  addEventListener("load", () => { navigator.serviceWorker.register("/worker.js").catch(() => {}); });
  // That page is in this one's language, and leads away from a kiosk as little. A board
  // on the wall is none at which somebody orders.
  const like = document.documentElement.lang + (body.contains("kiosk") && !body.contains("page-board") ? "/kiosk" : "/anybody");
  if (window.caches) caches.open("offline").then((c) => c.put("/offline/like", new Response(like))).catch(() => {});
}

// answers reports whether the shop does, within five seconds.
const answers = () => Promise.race([
  fetch("/livez", { cache: "no-store" }).then((a) => a.ok, () => false),
  new Promise((done) => { setTimeout(done, 5000, false); }),
]);

// A page without a connection comes back by itself; after an order that got no answer it
// is for its customer to ask again.
if (body.contains("page-offline") && !document.getElementById("again")) {
  setInterval(async () => { if (await answers()) location.reload(); }, 5000);
}

// ---- kiosk ----

const IDLE = 60000; // milliseconds without a touch
const ASK = 15000;  // before that it asks whether somebody is there
const OLD = 600000; // a form that nobody touched is fetched anew, for its menu

if (body.contains("kiosk") && !body.contains("page-board")) {
  const still = document.getElementById("still");
  let since = performance.now();
  const born = since;
  let touched = location.pathname + location.search !== "/kiosk"; // a page that is not the first one
  let lost = false;
  const stir = () => {
    if (lost) return;
    since = performance.now();
    touched = true;
    still.hidden = true;
  };
  for (const kind of ["pointerdown", "keydown", "input", "scroll"]) addEventListener(kind, stir, { passive: true, capture: true });
  // anew begins for the next customer. While nobody answers the browser would show a page
  // of its own, from which no kiosk comes back; and the last customer's must not stay.
  const anew = async () => {
    if (await answers()) return location.replace("/kiosk");
    lost = true;
    still.textContent = still.dataset.lost;
    still.hidden = false;
    document.getElementById("content").replaceChildren(still);
    setTimeout(anew, 5000);
  };
  const watch = setInterval(() => {
    const now = performance.now();
    const left = IDLE - (now - since);
    if (!touched) {
      if (now - born <= OLD) return;
    } else if (left > 0) {
      still.hidden = left > ASK;
      if (!still.hidden) still.querySelector(".clock").textContent = Math.ceil(left / 1000);
      return;
    }
    clearInterval(watch);
    anew();
  }, 500);
}
