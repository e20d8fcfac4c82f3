// Check a receipt in this browser, believing nothing the server says about it.
//
// A receipt is a C2SP tlog-proof: the entry's exact bytes, its place, the hashes from there to
// the root of the log, and the signed checkpoint. Checked are: the log's key (the one seen
// before, or one brought from elsewhere), both checkpoints' signatures (Ed25519), the way from
// the entry to the root (RFC 6962, RFC 9162 2.1.3.2), and what the entry itself says.
// Whatever could not be checked is said; it never counts as checked.

export class Wrong extends Error {}

const encoder = new TextEncoder();

export async function sha256(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { whole.set(part, at); at += part.length; }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", whole));
}

function same(a, b) {
  return a.length === b.length && a.every((value, at) => value === b[at]);
}

function decode(text) {
  let raw;
  try { raw = atob(text); } catch { throw new Wrong("base64"); }
  if (btoa(raw) !== text) throw new Wrong("base64");
  return Uint8Array.from(raw, (character) => character.charCodeAt(0));
}

function wholeNumber(text) {
  if (!/^(0|[1-9][0-9]{0,14})$/.test(text)) throw new Wrong("number");
  return Number(text);
}

// The log's key as text: origin+hash+base64(0x01 || 32 bytes).
export async function readKey(text) {
  const [origin, named, ...rest] = text.trim().split("+");
  if (!rest.length) throw new Wrong("key");
  const raw = decode(rest.join("+"));
  if (raw.length !== 33 || raw[0] !== 1) throw new Wrong("key");
  const id = (await sha256(encoder.encode(origin + "\n"), raw)).slice(0, 4);
  const hex = Array.from(id, (value) => value.toString(16).padStart(2, "0")).join("");
  if (hex !== named) throw new Wrong("key");
  let key = null;
  try {
    key = await crypto.subtle.importKey("raw", raw.slice(1), { name: "Ed25519" }, false, ["verify"]);
  } catch { /* an older browser: then no signature is checked, and that is said */ }
  return { origin, id, key };
}

// {size, root, signed}: signed is null where this browser cannot check the signature.
export async function openCheckpoint(note, log) {
  const cut = note.lastIndexOf("\n\n");
  if (cut < 0 || !note.endsWith("\n")) throw new Wrong("checkpoint");
  const body = note.slice(0, cut + 1);
  const lines = body.slice(0, -1).split("\n");
  if (lines.length !== 3 || lines[0] !== log.origin) throw new Wrong("checkpoint");
  const found = { size: wholeNumber(lines[1]), root: decode(lines[2]), signed: null };
  if (found.root.length !== 32) throw new Wrong("checkpoint");
  for (const line of note.slice(cut + 2, -1).split("\n")) {
    const [dash, name, encoded] = line.split(" ");
    if (dash !== "\u2014" || !encoded) throw new Wrong("checkpoint");
    const signature = decode(encoded);
    if (name !== log.origin || !same(signature.slice(0, 4), log.id)) continue;
    if (log.key === null) return found;
    found.signed = await crypto.subtle.verify(
      { name: "Ed25519" }, log.key, signature.slice(4), encoder.encode(body));
    if (!found.signed) throw new Wrong("signature");
    return found;
  }
  throw new Wrong("signature");
}

export async function rootOfPath(leaf, index, size, path) {
  if (index >= size) throw new Wrong("proof");
  let position = index, last = size - 1, node = leaf;
  for (const sibling of path) {
    if (last === 0 || sibling.length !== 32) throw new Wrong("proof");
    if (position % 2 === 1 || position === last) {
      node = await sha256([1], sibling, node);
      while (position !== 0 && position % 2 === 0) {
        position = Math.floor(position / 2); last = Math.floor(last / 2);
      }
    } else {
      node = await sha256([1], node, sibling);
    }
    position = Math.floor(position / 2); last = Math.floor(last / 2);
  }
  if (last !== 0) throw new Wrong("proof");
  return node;
}

export function readReceipt(text) {
  const cut = text.indexOf("\n\n");
  const lines = text.slice(0, Math.max(cut, 0)).split("\n");
  const [head, extra = "", index = "", ...path] = lines;
  if (cut < 0 || head !== "c2sp.org/tlog-proof@v1") throw new Wrong("receipt");
  if (!extra.startsWith("extra ") || !index.startsWith("index ") || path.length > 64) {
    throw new Wrong("receipt");
  }
  return {
    bytes: decode(extra.slice(6)), index: wholeNumber(index.slice(6)),
    path: path.map(decode), checkpoint: text.slice(cut + 2),
  };
}

// The entry's members, from its own bytes; the postings of every currency sum to zero.
export function readEntry(bytes, index) {
  let value;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch { throw new Wrong("entry"); }
  if (value === null || typeof value !== "object" || value.v !== 1) throw new Wrong("entry");
  if (value.seq !== index) throw new Wrong("place");
  const sums = {};
  for (const posting of value.postings) {
    sums[posting.currency] = (sums[posting.currency] || 0) + posting.minor;
  }
  if (Object.values(sums).some((sum) => sum !== 0)) throw new Wrong("balance");
  return value;
}

// Everything together. Returns {entry, size, root, path, signed}; raises Wrong.
export async function checkReceipt(text, log) {
  const receipt = readReceipt(text);
  const checkpoint = await openCheckpoint(receipt.checkpoint, log);
  const leaf = await sha256([0], receipt.bytes);
  const root = await rootOfPath(leaf, receipt.index, checkpoint.size, receipt.path);
  if (!same(root, checkpoint.root)) throw new Wrong("proof");
  return { ...checkpoint, entry: readEntry(receipt.bytes, receipt.index), path: receipt.path };
}

// ---- what was seen before, kept in this browser

const KEY_SEEN = "facefare-log-key";
const HEAD_SEEN = "facefare-log-head";

function pinned(text) {
  const before = localStorage.getItem(KEY_SEEN);
  if (before === null) { localStorage.setItem(KEY_SEEN, text); return "first"; }
  if (before !== text) throw new Wrong("other-key");
  return "known";
}

function remembered(size, root) {
  const encoded = btoa(String.fromCharCode(...root));
  const before = JSON.parse(localStorage.getItem(HEAD_SEEN) || "null");
  if (before && (size < before.size || (size === before.size && encoded !== before.root))) {
    throw new Wrong("history");
  }
  localStorage.setItem(HEAD_SEEN, JSON.stringify({ size, root: encoded }));
  return before && size > before.size ? "longer" : "same";
}

// ---- the page

const box = document.getElementById("verify");

function word(name) {
  const found = box.querySelector(`[data-word="${name}"]`);
  return found ? found.textContent : name;
}

function step(kind, name, detail = "") {
  const item = document.createElement("li");
  item.className = kind;
  item.textContent = `${word(kind)} ${word(name)}${detail ? " " + detail : ""}`;
  box.querySelector("#verify-steps").append(item);
}

function verdict(kind, name) {
  const said = box.querySelector("#verify-verdict");
  said.className = kind === "ok" ? "notice" : "problem";
  said.dataset.verdict = kind;
  said.textContent = word(name);
}

async function load(path) {
  const answer = await fetch(path, { cache: "no-store", credentials: "same-origin" });
  if (!answer.ok) throw new Wrong(answer.status === 409 ? "unsigned" : "missing");
  return answer.text();
}

// The receipt under the very checkpoint that is published: asked again when a new one came.
async function receiptUnderPublished(log) {
  for (let attempt = 0; ; attempt += 1) {
    const published = await openCheckpoint(await load(box.dataset.checkpoint), log);
    const receipt = await checkReceipt(await load(box.dataset.receipt), log);
    if (receipt.size === published.size) {
      if (!same(receipt.root, published.root)) throw new Wrong("two-logs");
      return { receipt, compared: true };
    }
    if (attempt === 3) return { receipt, compared: false };
  }
}

function checkIsShown(entry) {
  if (entry.id !== box.dataset.entry) throw new Wrong("other-entry");
  if (box.dataset.minor === undefined) return;
  const shown = `${entry.amount.minor} ${entry.amount.currency}`;
  if (shown !== `${box.dataset.minor} ${box.dataset.currency}`) throw new Wrong("other-amount");
}

async function verify() {
  if (!globalThis.crypto || !crypto.subtle) throw new Wrong("no-crypto");
  const brought = box.querySelector("#verify-key").value.trim();
  const text = brought || box.dataset.key;
  const log = await readKey(text);
  step("ok", brought ? "key-brought" : `key-${pinned(text)}`, log.origin);
  const { receipt, compared } = await receiptUnderPublished(log);
  if (receipt.signed) step("ok", "signature-done");
  else step("open", "signature-not");
  step("ok", "proof-done", `${receipt.path.length} / ${receipt.entry.seq} / ${receipt.size}`);
  if (compared) step("ok", "published-done");
  else step("open", "published-not");
  checkIsShown(receipt.entry);
  step("ok", "entry-done", receipt.entry.occurred_at);
  if (remembered(receipt.size, receipt.root) === "same") step("ok", "history-done");
  else step("open", "history-longer");
  step("open", "same-for-all");
  step("open", "mine");
  if (receipt.signed && compared) verdict("ok", "verdict-ok");
  else verdict("open", "verdict-open");
}

async function run() {
  const said = box.querySelector("#verify-verdict");
  said.className = said.textContent = "";
  delete said.dataset.verdict; // nothing of the last time may pass for an answer now
  box.querySelector("#verify-steps").replaceChildren();
  try {
    await verify();
  } catch (error) {
    const known = error instanceof Wrong;
    step("bad", known ? error.message : "trouble", known ? "" : String(error));
    verdict("bad", ["unsigned", "missing", "no-crypto"].includes(error.message) || !known
      ? "verdict-not-done" : "verdict-bad");
  }
}

if (box) {
  box.querySelector("[data-without-script]").hidden = true;
  box.querySelector("#verify-form").hidden = false;
  box.querySelector("#verify-form").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
}
