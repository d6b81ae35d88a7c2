// What the board does beyond plain HTML: it fits its columns to the screen, turning
// pages where they do not fit, and calls out who is ready, once somebody switched that
// on. The switch is kept on the device. Without this the board is longer, and silent.

const live = document.getElementById("live");
const button = document.getElementById("sound");

// ---- as high as the screen ----

const TURN = 7000; // milliseconds that a page of a column stays
const SIZES = ["0", "1", "2", "3", "4"]; // of the letters, see board.css
const wide = matchMedia("(min-width: 46rem) and (min-height: 34rem)"); // a phone on its side scrolls

function fit() {
  document.documentElement.classList.toggle("fits", wide.matches);
  for (const section of live.querySelectorAll("section")) fitColumn(section);
}

function fitColumn(section) {
  const list = section.querySelector("ul");
  const more = section.querySelector(".more");
  const beyond = Number(more.dataset.beyond);
  const items = list ? [...list.children] : [];
  const say = (n) => {
    more.hidden = n === 0;
    more.textContent = more.dataset.text.replace("#", n);
  };
  for (const item of items) item.hidden = false;
  say(beyond);
  section.dataset.fit = SIZES[0];
  if (!wide.matches || !list) return;
  for (const size of SIZES) {
    section.dataset.fit = size;
    if (list.scrollHeight <= list.clientHeight + 1) return;
  }
  say(beyond + 1); // this line takes room, too
  const top = list.getBoundingClientRect().top;
  const room = list.clientHeight + 1;
  let each = items.findIndex((item) => item.getBoundingClientRect().bottom - top > room);
  if (each < 0) each = items.length;
  const pages = Math.ceil(items.length / Math.max(1, each));
  each = Math.ceil(items.length / pages); // as many on each
  const page = Math.floor(Date.now() / TURN) % pages;
  items.forEach((item, i) => { item.hidden = Math.floor(i / each) !== page; });
  say(beyond + items.filter((item) => item.hidden).length);
}

// ---- calling ----

const KEPT = "board.sound";
let sound = null; // an AudioContext, once somebody pressed
let on = false;
const called = new Map(); // who was called already, by element, and when that was last seen
const FORGET = 600000; // milliseconds: longer than a name stays on the board
let began = false;

function read() {
  try { return localStorage.getItem(KEPT) === "on"; } catch (e) { return false; }
}

function keep() {
  try { localStorage.setItem(KEPT, on ? "on" : "off"); } catch (e) { /* it is off again next time */ }
}

function show() {
  const asleep = on && (!sound || sound.state !== "running");
  const label = button.querySelector(".label");
  label.dataset.text = label.dataset.text || label.textContent;
  label.textContent = asleep ? button.dataset.tap : label.dataset.text;
  button.setAttribute("aria-pressed", String(on));
}

// wake lets a page sound that somebody has touched; browsers keep others silent.
async function wake() {
  if (!sound && window.AudioContext) {
    sound = new AudioContext();
    sound.onstatechange = show;
  }
  if (sound && sound.state === "suspended") await Promise.race([sound.resume(), new Promise((r) => setTimeout(r, 300))]);
  show();
}

function chime() {
  if (!sound || sound.state !== "running") return;
  [659.3, 880, 1108.7].forEach((pitch, i) => {
    const at = sound.currentTime + i * 0.16;
    const tone = sound.createOscillator();
    const loud = sound.createGain();
    tone.type = "sine";
    tone.frequency.value = pitch;
    loud.gain.setValueAtTime(0, at);
    loud.gain.linearRampToValueAtTime(0.25, at + 0.02);
    loud.gain.exponentialRampToValueAtTime(0.001, at + 1.1);
    tone.connect(loud).connect(sound.destination);
    tone.start(at);
    tone.stop(at + 1.2);
  });
}

function speak(text) {
  if (!window.speechSynthesis) return;
  const words = new SpeechSynthesisUtterance(text);
  words.lang = document.documentElement.lang;
  speechSynthesis.speak(words);
}

function call() {
  const ready = [...live.querySelectorAll("[data-call]")];
  const now = performance.now();
  // A shop that starts anew knows nobody for a while; who comes back then was called.
  for (const [id, seen] of called) if (now - seen > FORGET) called.delete(id);
  const fresh = began ? ready.filter((item) => !called.has(item.id)) : [];
  for (const item of ready) called.set(item.id, now);
  began = began || !("stale" in live.querySelector(".board").dataset);
  for (const item of fresh) item.classList.add("fresh");
  if (!on || fresh.length === 0) return;
  chime();
  for (const item of fresh.reverse()) speak(item.dataset.call);
}

if (live && button) {
  on = read();
  button.hidden = false;
  show();
  if (on) wake();
  button.addEventListener("click", async () => {
    // Who presses for sound that the browser holds back wants it, not silence.
    on = on && sound && sound.state === "running" ? false : true;
    keep();
    if (on) {
      await wake();
      chime();
    } else if (window.speechSynthesis) {
      speechSynthesis.cancel();
    }
    show();
  });
  document.addEventListener("pointerdown", () => { if (on) wake(); });
  live.addEventListener("drawn", () => { call(); fit(); });
  addEventListener("resize", fit);
  setInterval(fit, TURN);
  call();
  fit();
  if (document.fonts) document.fonts.ready.then(fit);
}
