// The gate's screen: asks for the state, shows it, and sends four digits. No picture is ever
// here: the silhouette is drawn from a box.
"use strict";

const QUIET_MS = 3000;            // without an answer for so long, the gate is not running
const LANGUAGE_BACK_MS = 20000;   // the next rider finds both languages again
const $ = (id) => document.getElementById(id);
const body = document.body;
const began = body.dataset.language;

let version = 0;
let answered = Date.now();
let idleSince = Date.now();
let entered = "";
let sign = "";

function text(where, said) {
  for (const language of ["en", "zh"]) {
    const element = $(`${where}-${language}`);
    const words = said ? said[language] : "";
    if (element.textContent !== words) element.textContent = words;
    element.hidden = words === "";
  }
  // A text of the server may exist in one language alone: it is not shown twice.
  if (said && said.en === said.zh) $(`${where}-zh`).hidden = !body.classList.contains("lang-zh");
}

function setSign(next) {
  if (next === sign) return;
  if (sign) body.classList.remove(sign);
  body.classList.remove("wait");
  body.classList.add(next);
  sign = next;
  if (next === "wait") idleSince = Date.now();
  if ("sound" in body.dataset) tone(next);
}

function show(state) {
  setSign(state.sign);
  text("title", state.title);
  text("advice", state.advice);
  money(state.money);
  silhouette(state.face);
  keys(state.keys);
  $("faults").textContent = state.faults.map((name) => `· ${name}`).join(" ");
}

let counted = "";
function money(rows) {
  const list = $("money");
  const now = JSON.stringify(rows) + body.className;
  if (now === counted) return;
  counted = now;
  list.hidden = !rows;
  list.replaceChildren();
  for (const row of rows || []) {
    const pair = document.createElement("div");
    for (const [tag, value] of [["dt", row.name], ["dd", row.amount]]) {
      const cell = document.createElement(tag);
      for (const [language, code] of [["en", "en"], ["zh", "zh-Hans"]]) {
        // The same amount in two spellings would look like two amounts.
        if (tag === "dd" && language === "zh" && !body.classList.contains("lang-zh")) continue;
        const span = document.createElement("span");
        span.lang = code;
        span.textContent = `${value[language]} `;
        cell.append(span);
      }
      pair.append(cell);
    }
    list.append(pair);
  }
}

function silhouette(face) {
  const head = $("head");
  if (!head) return;
  head.toggleAttribute("hidden", !face);
  if (!face) return;
  const [left, top, width, height] = face;
  const across = (1 - left - width / 2) * 100;  // as in a mirror
  const down = (top + height / 2) * 75;
  head.setAttribute("transform", `translate(${across} ${down}) scale(${width * 100} ${height * 75})`);
}

function keys(asked) {
  $("keys").hidden = !asked;
  body.classList.toggle("keyed", asked);
  if (!asked) enter("");
}

function enter(digits) {
  entered = digits;
  const row = $("entered");
  row.setAttribute("aria-label", `${digits.length} / 4`);
  [...row.children].forEach((dot, place) => dot.classList.toggle("on", place < digits.length));
  if (digits.length === 4) send(digits);
}

async function send(digits) {
  try {
    await fetch("/digits", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ digits }),
    });
  } catch { /* the watch below says that the gate is silent */ }
  enter("");
}

function press(key) {
  if ($("keys").hidden || entered.length === 4) return;
  if (key === "clear") enter("");
  else if (key === "back") enter(entered.slice(0, -1));
  else enter(entered + key);
}

function speak(language) {
  body.classList.remove("lang-both", "lang-en", "lang-zh");
  body.classList.add(`lang-${language}`);
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  document.querySelectorAll("button[data-language]").forEach((button) =>
    button.setAttribute("aria-pressed", String(button.dataset.language === language)));
  version = 0;  // have everything written again
}

let audio = null;
function tone(next) {
  const pitch = { go: [880, 1320], stop: [220, 165], ask: [520, 520], fault: [220, 165] }[next];
  if (!pitch) return;
  audio = audio || new AudioContext();
  pitch.forEach((hertz, place) => {
    const source = audio.createOscillator();
    const loudness = audio.createGain();
    loudness.gain.value = 0.2;
    source.frequency.value = hertz;
    source.connect(loudness).connect(audio.destination);
    source.start(audio.currentTime + place * 0.12);
    source.stop(audio.currentTime + place * 0.12 + 0.1);
  });
}

function silent() {
  const words = $("silent").dataset;
  show({
    sign: "fault",
    title: { en: words.titleEn, zh: words.titleZh },
    advice: { en: words.adviceEn, zh: words.adviceZh },
    face: null, money: null, keys: false, faults: [],
  });
  version = 0;
}

async function follow() {
  for (;;) {
    try {
      const asked = version;
      const response = await fetch(`/state?after=${asked}`, { signal: AbortSignal.timeout(QUIET_MS) });
      if (!response.ok) throw new Error(String(response.status));
      const state = await response.json();
      answered = Date.now();
      if (state.version !== asked || asked === 0) show(state);
      if (version === asked) version = state.version;
    } catch {
      if (Date.now() - answered > QUIET_MS) silent();
      await new Promise((done) => setTimeout(done, 500));
    }
    if (sign === "wait" && !body.classList.contains(`lang-${began}`)
        && Date.now() - idleSince > LANGUAGE_BACK_MS) speak(began);
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  idleSince = Date.now();
  if (button.dataset.key) press(button.dataset.key);
  else speak(button.dataset.language);
});
document.addEventListener("keydown", (event) => {
  if (/^[0-9]$/.test(event.key)) press(event.key);
  else if (event.key === "Backspace") press("back");
  else if (event.key === "Escape") press("clear");
});
document.addEventListener("contextmenu", (event) => event.preventDefault());
speak(began);
follow();
