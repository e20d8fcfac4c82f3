// Read the OpenAPI document, show each operation, and send what the reader typed.
// Text is only ever set as text, never as markup.
"use strict";

function made(tag, text, parent) {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  if (parent) parent.append(element);
  return element;
}

function field(parent, words, value, tag) {
  const label = made("label", words, parent);
  const input = made(tag || "input", "", label);
  input.value = value || "";
  return input;
}

function pretty(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

async function send(method, path, operation, fields, output) {
  let url = path;
  for (const [name, input] of Object.entries(fields.parameters)) {
    url = url.replace(`{${name}}`, input.value.split("/").map(encodeURIComponent).join("/"));
  }
  const headers = {};
  if (fields.token && fields.token.value) headers.Authorization = `Bearer ${fields.token.value}`;
  if (fields.body) headers["Content-Type"] = "application/json";
  try {
    const body = fields.body ? fields.body.value : undefined;
    const response = await fetch(url, { method: method.toUpperCase(), headers, body });
    const kind = response.headers.get("Content-Type") || "";
    const shown = kind.startsWith("application/octet-stream")
      ? `${(await response.arrayBuffer()).byteLength} bytes`
      : (await response.text()).slice(0, 20000);
    output.textContent = `${response.status} ${kind}\n\n${shown}`;
  } catch (error) {
    output.textContent = String(error);
  }
}

function showOperation(parent, path, method, operation) {
  const box = made("details", "", parent);
  const head = made("summary", "", box);
  made("span", method.toUpperCase(), head).className = "method";
  made("code", path, head);
  made("span", `  ${operation.summary}`, head);
  const fields = { parameters: {} };
  for (const parameter of operation.parameters || []) {
    const words = `${parameter.name}: ${parameter.description}`;
    fields.parameters[parameter.name] = field(box, words, parameter.example);
  }
  if (operation.security.some((need) => "gate" in need)) {
    fields.token = field(box, "Gate token (made for this one request)", "");
  }
  if (operation.requestBody) {
    const content = operation.requestBody.content["application/json"];
    fields.body = field(box, "Body", pretty(content.example), "textarea");
    fields.body.rows = 6;
  }
  for (const [status, answer] of Object.entries(operation.responses)) {
    for (const [kind, content] of Object.entries(answer.content)) {
      made("p", `${status}: ${answer.description} (${kind})`, box);
      if (content.example !== undefined) made("pre", pretty(content.example), box);
    }
  }
  const button = made("button", "Send", box);
  button.type = "button";
  const output = made("pre", "", box);
  output.setAttribute("role", "status");
  button.addEventListener("click", () => send(method, path, operation, fields, output));
}

async function load() {
  const state = document.getElementById("state");
  const response = await fetch(document.querySelector("main").dataset.document);
  if (!response.ok) {
    state.textContent = `The document could not be read (${response.status}).`;
    return;
  }
  const api = await response.json();
  const operations = document.getElementById("operations");
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      showOperation(operations, path, method, operation);
    }
  }
  const schemas = document.getElementById("schemas");
  for (const [name, schema] of Object.entries(api.components.schemas)) {
    const box = made("details", "", schemas);
    made("summary", name, box);
    made("pre", pretty(schema), box);
  }
  state.textContent = `${api.info.title}, version ${api.info.version}`;
}

load();
