// Show the pass that this phone keeps. It never goes to the server: it comes in the part of the
// address after #, or with the page that issued it, and stays in this browser's storage.
import { draw } from "./qr.js";

const PLACE = "facefare-pass";
const shape = /^FF1:[0-9A-Z $%*+\-./:]{20,1496}$/;

function keepWhatCame() {
  const came = decodeURIComponent(location.hash.slice(1));
  if (shape.test(came)) {
    localStorage.setItem(PLACE, came);
    history.replaceState(null, "", location.pathname);
  }
}

function show() {
  const text = localStorage.getItem(PLACE);
  const here = text !== null && shape.test(text);
  document.getElementById("have").hidden = !here;
  document.getElementById("none").hidden = here;
  if (!here) return;
  const canvas = document.getElementById("code");
  const fine = window.devicePixelRatio || 1;
  draw(canvas, text, Math.floor(Math.min(document.documentElement.clientWidth, 520) * fine));
  canvas.style.width = `${canvas.width / fine}px`; // each square a whole number of real pixels
}

// A page cannot make a screen brighter; a white page and a screen that stays on is what it can do.
async function stayAwake() {
  if (!("wakeLock" in navigator) || document.visibilityState !== "visible") return;
  try { await navigator.wakeLock.request("screen"); } catch { /* a low battery may refuse */ }
}

document.getElementById("remove").addEventListener("click", () => {
  localStorage.removeItem(PLACE);
  show();
});
document.getElementById("add").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = document.getElementById("given").value.trim();
  const wrong = document.getElementById("wrong");
  wrong.hidden = shape.test(given);
  if (!wrong.hidden) return;
  localStorage.setItem(PLACE, given);
  show();
});
window.addEventListener("hashchange", () => { keepWhatCame(); show(); });
window.addEventListener("resize", show);
document.addEventListener("visibilitychange", stayAwake);
document.querySelector("[data-without-script]").hidden = true;
keepWhatCame();
show();
stayAwake();
if ("serviceWorker" in navigator) navigator.serviceWorker.register("/me/worker.js", { scope: "/me/" });
