// One stream of news for all tabs of this browser. A browser holds six
// connections to a server; were each tab to keep one, the seventh would get
// nothing, and the others' forms would hang.
//
// A tab tells the path of its page, again and again while it lives, and an empty
// one when it goes. It hears {kind, html}: "html" with a piece to show, "end",
// "open", "broken", "refused". See follow in live.js.

// Milliseconds.
const RETRY = 10000;  // until a stream is tried again that the server refused
const GATHER = 50;    // tabs that come together make one new stream
const GONE = 150000;  // a tab that was silent for so long; hidden ones may speak once a minute
const MOST = 16;      // pages in a stream, as the server has it

const tabs = new Map(); // port to {path, heard}
const shown = new Map(); // path to its last piece
let source = null;
let told = [];          // the paths of the stream, in its order
let began = 0;
let soon = 0;
let running = false;
let refused = false;

function tell(path, kind, html) {
  for (const [port, tab] of tabs) {
    if (path === null || tab.path === path) port.postMessage({ kind, html });
  }
}

function wanted() {
  const now = Date.now();
  for (const [port, tab] of tabs) {
    if (now - tab.heard > GONE) tabs.delete(port);
  }
  return [...new Set([...tabs.values()].map((tab) => tab.path))].slice(-MOST);
}

function connect() {
  clearTimeout(soon);
  soon = 0;
  if (source) source.close();
  source = null;
  running = refused = false;
  const list = wanted();
  told = list;
  for (const path of [...shown.keys()]) {
    if (!list.includes(path)) shown.delete(path);
  }
  if (list.length === 0) return;
  began = Date.now();
  const mine = source = new EventSource("/events?" + list.map((path) => "of=" + encodeURIComponent(path)).join("&"));
  mine.onopen = () => {
    if (mine !== source) return;
    running = true;
    tell(null, "open");
  };
  mine.onmessage = (e) => {
    if (mine !== source) return;
    const cut = e.data.indexOf("\n");
    const path = list[Number(e.data.slice(0, cut))];
    const html = e.data.slice(cut + 1);
    shown.set(path, html);
    tell(path, "html", html);
  };
  mine.addEventListener("end", (e) => {
    if (mine !== source) return;
    const path = list[Number(e.data)];
    tell(path, "end");
    for (const [port, tab] of tabs) {
      if (tab.path === path) tabs.delete(port);
    }
    shown.delete(path);
    if (wanted().length === 0) connect(); // nothing is left to hear
  });
  mine.onerror = () => {
    if (mine !== source) return;
    running = false;
    // A broken connection is taken up again by the browser, a refusal is not.
    if (mine.readyState !== EventSource.CLOSED) {
      tell(null, "broken");
      return;
    }
    refused = true;
    tell(null, "refused");
    soon = setTimeout(connect, RETRY);
  };
}

function later() {
  if (refused) return; // there is a time for that already
  clearTimeout(soon);
  soon = setTimeout(connect, GATHER);
}

self.onconnect = (e) => {
  const port = e.ports[0];
  port.onmessage = (m) => {
    const { path, fresh } = m.data;
    const before = tabs.get(port);
    if (!path) {
      tabs.delete(port);
    } else {
      tabs.set(port, { path, heard: Date.now() });
      if (!before || before.path !== path || fresh) {
        if (running) port.postMessage({ kind: "open" });
        if (refused) port.postMessage({ kind: "refused" });
        if (shown.has(path)) port.postMessage({ kind: "html", html: shown.get(path) });
      }
    }
    const list = wanted();
    const same = list.length === told.length && list.every((one) => told.includes(one));
    // A tablet that slept may hold a dead connection for minutes.
    if (!same || fresh && Date.now() - began > GATHER * 100) later();
  };
};
