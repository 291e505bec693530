// What the server is asked, and what it answers. `Refused` carries a status, which is 0 where nobody answered, and a
// text for people.

import * as connection from "./connection.js";

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

const TEXTS = {
  413: "This message is too long. Shorten it, or send it in parts.",
  429: "Too many requests at once. Try again in a moment.",
  503: "The server cannot reach its memory. Try again in a moment.",
};

// Returns the response; `path` is relative to where the routes of the chats are.
export async function request(path, { method = "GET", body, signal, accept = "application/json" } = {}) {
  const headers = { accept, ...(body === undefined ? {} : { "content-type": "application/json" }) };
  let response;
  try {
    response = await fetch(path, { method, headers, signal, body: JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    connection.lost();
    throw new Refused(0, "The server does not answer. Try again in a moment.");
  }
  connection.found();
  if (response.ok) return response;
  throw new Refused(response.status, TEXTS[response.status] ?? (await explanation(response)));
}

async function explanation(response) {
  const said = await response.json().catch(() => ({}));
  return typeof said.detail === "string" ? said.detail : `The server refused this (${response.status}).`;
}

async function call(path, options) {
  const response = await request(path, options);
  return response.status === 204 ? null : response.json();
}

const query = (values) => `?${new URLSearchParams(values)}`;

const of = (id, rest = "") => `/chats/${encodeURIComponent(id)}${rest}`;

export const me = () => call("/me");
export const signIn = (name) => call("/sign-in", { method: "POST", body: { name } });
export const signOut = () => call("/sign-out", { method: "POST" });

export const chats = (values) => call(`/chats${query(values)}`);
export const begin = ({ id, text }, title) => call("/chats", { method: "POST", body: { id, text, title } });
export const chat = (id) => call(of(id));
export const change = (id, body) => call(of(id), { method: "PATCH", body });
export const remove = (id) => call(of(id), { method: "DELETE" });
export const search = (q) => call(`/search${query({ q, limit: 20 })}`);

export const messages = (id, values) => call(of(id, `/messages${query(values)}`));
// A question has an id of its own, so that one that is sent again is stored once.
export const send = (id, question, after) =>
  call(of(id, "/messages"), { method: "POST", body: { ...question, after } });
export const regenerate = (id, after) => call(of(id, "/regenerate"), { method: "POST", body: { after } });
export const stop = (id, answer) => call(answerPath(id, answer, "/stop"), { method: "POST" });
export const show = (id, branch) => call(of(id, "/branch"), { method: "PUT", body: { branch } });
export const annotate = (id, seq, body) => call(of(id, `/messages/${seq}/annotations`), { method: "PUT", body });

// Paths of streams
export const changesPath = "/changes";
export const chatChangesPath = (id) => of(id, "/changes");
export const answerPath = (id, answer, rest = "") => of(id, `/answers/${encodeURIComponent(answer)}${rest}`);
