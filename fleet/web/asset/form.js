// What the order form does beyond plain HTML: it says what was chosen and how long that
// takes, and remembers on this device, and nowhere else, who ordered what. Everything
// here can be missing; the form is complete without it.

const byId = (id) => document.getElementById(id);
const FIELDS = ["drink", "bean_type", "milk", "sugar_count"];
const KEPT = "usual"; // what is kept: {name, drink, bean_type, milk, sugar_count}
const LOOK = 10000;   // milliseconds between looks at a closed shop

// ---- what was chosen, and how long it takes ----

function askWait(form) {
  const wait = byId("wait");
  let asked = 0;
  return async function ask() {
    const mine = ++asked;
    const chosen = new FormData(form);
    const query = new URLSearchParams();
    for (const field of FIELDS) query.set(field, chosen.get(field) || "");
    try {
      const answer = await fetch("/wait?" + query);
      const html = await answer.text();
      if (!answer.ok || mine !== asked) return;
      const next = document.createElement("template");
      next.innerHTML = html;
      wait.replaceChildren(next.content);
    } catch (e) {
      // The line stays as it was; ordering tells the truth.
    }
  };
}

// ---- the usual ----

// A device may refuse to keep anything: then nothing is kept.
function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEPT));
  } catch (e) {
    return null;
  }
}

function keep(form) {
  const chosen = new FormData(form);
  const usual = { name: chosen.get("name") };
  for (const field of FIELDS) usual[field] = chosen.get(field);
  try {
    localStorage.setItem(KEPT, JSON.stringify(usual));
  } catch (e) {
    // The next order is typed again.
  }
}

// choose sets a field to a value that can still be had.
function choose(form, field, value) {
  for (const input of form.querySelectorAll("input[type=radio]")) {
    if (input.name === field && input.value === value && !input.disabled) input.checked = true;
  }
}

function offerUsual(form, ask) {
  const usual = kept();
  const box = byId("usual");
  const name = byId("name");
  if (!usual || !box || typeof usual.name !== "string") return;
  if (!name.value) name.value = usual.name.slice(0, 80);
  box.hidden = false;
  byId("usual-take").addEventListener("click", () => {
    for (const field of FIELDS) choose(form, field, usual[field]);
    ask();
    byId("send").focus();
  });
  byId("usual-forget").addEventListener("click", () => {
    localStorage.removeItem(KEPT);
    if (name.value === usual.name) name.value = "";
    box.hidden = true;
    name.focus();
  });
}

const form = byId("order");
if (form) {
  const ask = askWait(form);
  form.addEventListener("change", (e) => { if (e.target.type === "radio") ask(); });
  form.addEventListener("submit", (e) => {
    if (e.submitter && e.submitter.hasAttribute("formaction")) return; // another language
    if ("keep" in form.dataset) keep(form);
    form.setAttribute("aria-busy", "true");
  });
  // A form brought back by the browser holds an id that was used.
  window.addEventListener("pageshow", (e) => { if (e.persisted) location.replace(location.pathname); });
  if ("keep" in form.dataset) offerUsual(form, ask);
  ask();
}

// ---- a closed shop ----

if (byId("closed")) {
  const self = byId("closed").dataset.self; // a kiosk stays one
  const look = async () => {
    setTimeout(look, LOOK + Math.random() * 2000);
    if (document.hidden) return;
    try {
      const answer = await fetch(self, { cache: "no-store" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const next = page.querySelector("#closed");
      if (!next) location.replace(self);
      else if (next.textContent !== byId("closed").textContent) byId("closed").replaceWith(next);
    } catch (e) {
      // It is looked again.
    }
  };
  setTimeout(look, LOOK);
}
