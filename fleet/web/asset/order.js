// An order's page counts down the seconds for which a machine waits for the cup. The
// pieces of the page say until when, by the shop's clock; the page said what that
// clock showed when it was made. Without this it shows what it was told last.

const live = document.getElementById("live");
// A device's own clock may be wrong, and may be set meanwhile.
const ahead = live ? Number(live.dataset.now) - performance.now() : 0;

function tick() {
  const clock = live.querySelector("[data-until]");
  if (!clock) return;
  const left = Math.max(0, Math.ceil((Number(clock.dataset.until) - ahead - performance.now()) / 1000));
  const text = Math.floor(left / 60) + ":" + String(left % 60).padStart(2, "0");
  if (clock.textContent !== text) clock.textContent = text;
  clock.parentElement.classList.toggle("soon", left <= 20);
}

if (live) {
  tick();
  setInterval(tick, 500);
  live.addEventListener("drawn", tick);
}
