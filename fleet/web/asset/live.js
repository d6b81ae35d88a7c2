// What the live pages do beyond plain HTML: they follow server-sent events.
// Everything here can be missing; the pages are complete without it.

const byId = (id) => document.getElementById(id);

// ---- live parts ----

// Milliseconds.
const RETRY = 10000;  // until a stream is tried again that the server refused
const POLL = 5000;    // between questions, while there is no stream
const HERE = 20000;   // how often a tab tells that it is there
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
        // What somebody has opened stays open while he types in it.
        if (!want.hasAttribute(a.name) && !(a.name === "open" && at.nodeName === "DETAILS")) at.removeAttribute(a.name);
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
  // In the language of what is around it, whichever was chosen in another tab since.
  const speaks = "?lang=" + document.documentElement.lang;
  const path = live.dataset.events.replace(/\/events$/, "") + speaks;
  let ended = false;
  let hiddenAt = 0;
  let poll = 0;
  let last = live.firstElementChild ? live.firstElementChild.dataset.say : "";

  function draw(next) {
    lost.hidden = true;
    morph(live, next);
    live.dispatchEvent(new Event("drawn")); // for what a page adds to its pieces
    const top = live.firstElementChild;
    if (!top) return;
    if (top.dataset.title) document.title = top.dataset.title + " · barista";
    if (top.dataset.say !== last) {
      last = top.dataset.say;
      said.textContent = last;
    }
  }

  // What a stream tells: a new piece, the end, that it runs, that it broke off, or
  // that the server has no room for it.
  const hear = {
    html(text) {
      // A template's content is inert until it is put into the page.
      const next = document.createElement("template");
      next.innerHTML = text;
      draw(next.content);
    },
    end() {
      ended = true;
      clearTimeout(poll);
      news.stop();
    },
    open() {
      lost.hidden = true;
      clearTimeout(poll);
      poll = 0;
    },
    broken() {
      if (!ended && !poll) lost.hidden = false;
    },
    refused() {
      if (!ended && !poll) ask();
    },
  };

  // Without a stream the page asks for itself now and then, while somebody looks.
  async function ask() {
    poll = setTimeout(ask, POLL + Math.random() * 2000);
    if (document.hidden) return;
    try {
      const answer = await fetch(live.dataset.self, { cache: "no-store" });
      if (!answer.ok) throw answer.status;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (ended || !poll) return;
      const next = page.getElementById("live");
      if (next) draw(next);
      else location.replace(live.dataset.self); // it is over: the page that says so asks no more
    } catch (e) {
      if (poll) lost.hidden = false;
    }
  }

  const news = shared(live.dataset.worker, path, hear) || own(live.dataset.events + speaks, hear);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      hiddenAt = Date.now();
      if (!ended) news.hidden();
    } else if (!ended && hiddenAt) {
      news.shown(Date.now() - hiddenAt > ASLEEP);
    }
  });
  window.addEventListener("pagehide", () => news.stop());
  window.addEventListener("pageshow", (e) => { if (e.persisted && !ended) news.shown(true); });
}

// shared follows a page by the one stream that all tabs of this browser have, see
// events.js; null where browsers have no such thing.
function shared(script, path, hear) {
  if (!window.SharedWorker || !script) return null;
  let worker;
  try {
    worker = new SharedWorker(script);
  } catch (e) {
    return null;
  }
  const tell = (fresh) => worker.port.postMessage({ path, fresh });
  worker.port.onmessage = (e) => hear[e.data.kind](e.data.html);
  let here = 0;
  function start(fresh) {
    clearInterval(here);
    here = setInterval(tell, HERE); // a tab that died says nothing
    tell(fresh);
  }
  start(false);
  return {
    hidden() {}, // the stream is there for the others anyway
    shown: start,
    stop() {
      clearInterval(here);
      worker.port.postMessage({ path: "" });
    },
  };
}

// own follows a page by a stream of its own, which it lets go while nobody looks.
function own(events, hear) {
  let source = null;
  let again = 0;
  let sleep = 0;
  function stop() {
    clearTimeout(again);
    clearTimeout(sleep);
    if (source) source.close();
    source = null;
  }
  function connect() {
    stop();
    source = new EventSource(events);
    source.onopen = () => hear.open();
    source.onmessage = (e) => hear.html(e.data);
    source.addEventListener("end", () => hear.end());
    source.onerror = () => {
      if (!source) return;
      // A broken connection is taken up again by the browser, a refusal is not.
      if (source.readyState !== EventSource.CLOSED) return hear.broken();
      hear.refused();
      again = setTimeout(connect, RETRY);
    };
  }
  connect();
  return {
    stop,
    hidden() { sleep = setTimeout(stop, ASLEEP); },
    shown(long) {
      clearTimeout(sleep);
      if (long || !source) connect(); // a tablet that slept may hold a dead connection for minutes
    },
  };
}

const live = byId("live");
if (live && window.EventSource) follow(live);
