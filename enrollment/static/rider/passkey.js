// Make a passkey, or sign in with one. Binary values travel as base64url, as WebAuthn's JSON does.
const box = document.getElementById("passkey");

function bytes(text) {
  const raw = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(raw, (character) => character.charCodeAt(0));
}

function text(buffer) {
  const raw = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(raw).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST", body: JSON.stringify(body), credentials: "same-origin",
    headers: { "Content-Type": "application/json", "X-CSRFToken": box.dataset.csrf },
  });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.problem || said.detail);
  return said;
}

function made(credential) {
  const response = { clientDataJSON: text(credential.response.clientDataJSON) };
  for (const name of ["attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = text(credential.response[name]);
  }
  return { id: credential.id, rawId: text(credential.rawId), type: credential.type, response,
    clientExtensionResults: credential.getClientExtensionResults() };
}

async function create() {
  const options = await post(box.dataset.ask, { pin: document.getElementById("pin").value });
  options.challenge = bytes(options.challenge);
  options.user.id = bytes(options.user.id);
  for (const known of options.excludeCredentials || []) known.id = bytes(known.id);
  return made(await navigator.credentials.create({ publicKey: options }));
}

async function get() {
  const options = await post(box.dataset.ask, {});
  options.challenge = bytes(options.challenge);
  return made(await navigator.credentials.get({ publicKey: options }));
}

async function run() {
  const problem = box.querySelector("[role=alert]");
  problem.hidden = true;
  try {
    const credential = await (box.dataset.make ? create() : get());
    const said = await post(box.dataset.answer, credential);
    location.assign(said.next);
  } catch (error) {
    problem.textContent = error.name === "NotAllowedError" ? box.dataset.cancelled : error.message;
    problem.hidden = false;
  }
}

if (window.PublicKeyCredential) {
  box.hidden = false;
  for (const said of document.querySelectorAll("[data-without-script]")) said.hidden = true;
  box.querySelector("button").addEventListener("click", run);
}
