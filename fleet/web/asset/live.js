// What the pages do beyond plain HTML: live parts follow server-sent events, and
// the order form asks how long the chosen coffee takes. Everything here can be
// missing; the pages are complete without it.

const byId = (id) => document.getElementById(id);

// ---- live parts ----

const RETRY = 5000;   // after the server refused the events
const ASLEEP = 20000; // hidden for longer: do not trust the old connection

// same reports whether b may be the new state of a.
const same = (a, b) =>
  a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id || "") === (b.id || "");

// morph makes the children of "now" those of "next" and keeps every element
// that is still the same, so that focus, animations and transitions survive.
function morph(now, next) {
  let at = now.firstChild;
  const wanted = [...next.childNodes];
  for (const [i, want] of wanted.entries()) {
    if (at && at.id && !same(at, want) && wanted.slice(i).some((w) => same(at, w))) {
      at.before(want); // something came before the element that stays
      continue;
    }
    if (at && !same(at, want) && (want.id || at.nodeType === Node.TEXT_NODE)) {
      // Something before it went away: go on at the node that stayed.
      let later = at.nextSibling;
      while (later && !same(later, want)) later = later.nextSibling;
      while (later && at !== later) {
        const gone = at;
        at = at.nextSibling;
        gone.remove();
      }
    }
    if (!at) {
      now.append(want);
      continue;
    }
    const after = at.nextSibling;
    if (!same(at, want)) {
      at.replaceWith(want);
    } else if (at.nodeType === Node.ELEMENT_NODE) {
      for (const a of [...at.attributes]) {
        if (!want.hasAttribute(a.name)) at.removeAttribute(a.name);
      }
      for (const a of want.attributes) {
        if (at.getAttribute(a.name) !== a.value) at.setAttribute(a.name, a.value);
      }
      morph(at, want);
    } else if (at.data !== want.data) {
      at.data = want.data;
    }
    at = after;
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function follow(live) {
  const lost = byId("lost");
  const said = byId("said");
  let source = null;
  let again = 0;
  let ended = false;
  let hiddenAt = 0;
  let last = live.firstElementChild ? live.firstElementChild.dataset.say : "";

  function draw(html) {
    // A template's content is inert until it is put into the page.
    const next = document.createElement("template");
    next.innerHTML = html;
    morph(live, next.content);
    const top = live.firstElementChild;
    if (!top) return;
    if (top.dataset.title) document.title = top.dataset.title + " · barista";
    if (top.dataset.say !== last) {
      last = top.dataset.say;
      said.textContent = last;
    }
  }

  function connect() {
    clearTimeout(again);
    if (source) source.close();
    source = new EventSource(live.dataset.events);
    source.onopen = () => { lost.hidden = true; };
    source.onmessage = (e) => { lost.hidden = true; draw(e.data); };
    source.addEventListener("end", () => { ended = true; source.close(); });
    source.onerror = () => {
      if (ended) return;
      lost.hidden = false;
      // A broken connection is taken up again by the browser, a refusal is not.
      if (source.readyState === EventSource.CLOSED) again = setTimeout(connect, RETRY);
    };
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      hiddenAt = Date.now();
    } else if (!ended && hiddenAt && Date.now() - hiddenAt > ASLEEP) {
      connect(); // a tablet that slept may hold a dead connection for minutes
    }
  });
  window.addEventListener("pagehide", () => { if (source) source.close(); });
  window.addEventListener("pageshow", (e) => { if (e.persisted && !ended) connect(); });
  connect();
}

// ---- the order form ----

function askWait(form) {
  const wait = byId("wait");
  let asked = 0;
  async function ask() {
    const mine = ++asked;
    const chosen = new FormData(form);
    const query = new URLSearchParams();
    for (const field of ["size", "bean_type", "milk", "sugar_count"]) {
      query.set(field, chosen.get(field) || "");
    }
    try {
      const answer = await fetch("/wait?" + query);
      const html = await answer.text();
      if (!answer.ok || mine !== asked) return;
      const next = document.createElement("template");
      next.innerHTML = html;
      morph(wait, next.content);
    } catch (e) {
      // The line stays as it was; ordering tells the truth.
    }
  }
  form.addEventListener("change", (e) => { if (e.target.type === "radio") ask(); });
  form.addEventListener("submit", () => { form.setAttribute("aria-busy", "true"); });
  // A form brought back by the browser holds an id that was used.
  window.addEventListener("pageshow", (e) => { if (e.persisted) location.reload(); });
  ask();
}

const live = byId("live");
if (live && window.EventSource) follow(live);
const form = byId("order");
if (form) askWait(form);
