// The page. What it shows is what the server has stored; only an answer under way is shown as it comes.

import { call, Refused, stream } from "/static/api.js";
import * as render from "/static/render.js";

const LOOK_EVERY = 1000; // milliseconds; what another tab says is seen by then
const $ = (id) => document.getElementById(id);

let chats = { list: [], next: null };
let open = null; // the id of the chat that is open, also in the address, so that a reload comes back to it
let shown = { messages: [], next: null, version: 0 };
let live = null; // the article of the open chat into which an answer is written as it comes
const answers = new Map(); // by chat, the AbortController of an answer that is under way here
let draft = null; // the message that is being sent: {id, text}; sent again it keeps its id, so it is stored once
let beginning = false; // a chat is being made for the message that is being sent
let looking = false;

// Runs what a user asked for; shows what went wrong.
async function attempt(task) {
  notice("");
  try {
    return await task();
  } catch (error) {
    if (error.name === "AbortError") return undefined;
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401) return showSignIn();
    notice(error.message);
    if (error.status === 404 || error.status === 409) await attemptQuietly(refresh);
    return undefined;
  }
}

// The same for what nobody asked for: it comes again by itself.
async function attemptQuietly(task) {
  try {
    await task();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401) showSignIn();
    if (error.status === 404 && open) leave("This chat is no longer there.");
  }
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

// Who

function showSignIn() {
  for (const one of answers.values()) one.abort();
  $("chat").hidden = true;
  $("sign-in").hidden = false;
  $("name").focus();
}

async function start() {
  const { name } = await call("/me");
  $("user").textContent = name;
  $("sign-in").hidden = true;
  $("chat").hidden = false;
  await listChats();
  await follow();
}

$("sign-in").onsubmit = (event) => {
  event.preventDefault();
  attempt(async () => {
    await call("/sign-in", { method: "POST", body: { name: $("name").value } });
    location.reload(); // nothing of another user is left
  });
};

$("sign-out").onclick = () =>
  attempt(async () => {
    await call("/sign-out", { method: "POST" });
    location.replace(location.pathname);
  });

// The list

async function listChats() {
  const page = await call("/chats");
  chats = { list: page.chats, next: page.next };
  showChats();
}

function showChats() {
  const items = chats.list.map((one) => render.chat(one, one.session_id === open, () => go(one.session_id)));
  const focused = document.activeElement?.dataset?.id;
  $("chats").replaceChildren(...items);
  if (focused) $("chats").querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
  $("more").hidden = !chats.next || !$("hits").hidden;
}

$("more").onclick = () =>
  attempt(async () => {
    const page = await call(`/chats?before=${encodeURIComponent(chats.next)}`);
    chats = { list: [...chats.list, ...page.chats], next: page.next };
    showChats();
  });

$("new").onclick = () => {
  leave();
  $("text").focus();
};

$("menu").onclick = () => menu(true);

function menu(isOpen) {
  $("chat").classList.toggle("menu", isOpen);
  $("menu").setAttribute("aria-expanded", isOpen);
  if (isOpen) $("new").focus();
}

// One chat

// Opens a chat; with none, a new one that begins with the next message.
async function go(id) {
  history.pushState(null, "", id ? `#${encodeURIComponent(id)}` : location.pathname);
  await follow();
}

async function leave(text = "") {
  await go(null);
  notice(text);
}

function follow() {
  menu(false);
  return attempt(async () => {
    live = null; // an answer under way goes on, and is seen here again as it is stored
    open = decodeURIComponent(location.hash.slice(1)) || null;
    shown = { messages: [], next: null, version: 0 };
    showChat();
    if (open) await refresh();
  });
}

window.onpopstate = follow;

// Reads the newest page. Positions never change, so what was read before stays in front of it.
async function refresh() {
  const id = open;
  if (!id) return;
  const page = await call(`/chats/${encodeURIComponent(id)}/messages`);
  if (id !== open || live) return;
  const first = page.messages[0]?.seq;
  const older = page.next === null ? [] : shown.messages.filter((one) => one.seq < first);
  shown = {
    messages: [...older, ...page.messages],
    next: older.length ? shown.next : page.next,
    version: page.chat.version,
    title: page.chat.title,
  };
  showChat();
}

async function readOlder() {
  const page = await call(`/chats/${encodeURIComponent(open)}/messages?before=${shown.next}`);
  const scroll = $("scroll");
  const fromEnd = scroll.scrollHeight - scroll.scrollTop;
  shown = { ...shown, messages: [...page.messages, ...shown.messages], next: page.next };
  showChat();
  scroll.scrollTop = scroll.scrollHeight - fromEnd;
}

$("older").onclick = () => attempt(readOlder);

function showChat() {
  const atEnd = isAtEnd();
  const question = shown.messages.findLast((one) => one.kind === "human");
  const again = render.element("button", { type: "button", onclick: () => regenerate(question.seq) }, "Regenerate");
  const last = question && !answers.has(open) ? shown.messages.at(-1) : undefined;
  const articles = shown.messages.map((one) => render.message(one, "", ...(one === last ? [again] : [])));
  $("messages").replaceChildren(...articles);
  $("empty").hidden = open !== null;
  $("older").hidden = shown.next === null;
  $("actions").hidden = !open;
  $("title").textContent = open ? (shown.title ?? "") : "New chat";
  document.title = open && shown.title ? `${shown.title} - chatmem chat` : "chatmem chat";
  showBusy();
  showChats();
  if (atEnd) toEnd();
}

function showBusy() {
  $("send").hidden = answers.has(open);
  $("stop").hidden = !answers.has(open);
}

function isAtEnd() {
  const { scrollHeight, scrollTop, clientHeight } = $("scroll");
  return scrollHeight - scrollTop - clientHeight < 80;
}

function toEnd() {
  $("scroll").scrollTop = $("scroll").scrollHeight;
}

// Looks for what others wrote: another tab, another device.
setInterval(look, LOOK_EVERY);
document.addEventListener("visibilitychange", () => {
  look();
  if (!document.hidden && !$("chat").hidden) attemptQuietly(listChats);
});

async function look() {
  if (!open || live || looking || document.hidden || $("chat").hidden) return;
  looking = true;
  const id = open;
  await attemptQuietly(async () => {
    const chat = await call(`/chats/${encodeURIComponent(id)}`);
    if (id !== open || (chat.version === shown.version && chat.title === shown.title)) return;
    await refresh();
    await listChats();
  });
  looking = false;
}

// Talking

$("compose").onsubmit = (event) => {
  event.preventDefault();
  const text = $("text").value;
  if (!text.trim() || beginning || answers.has(open)) return;
  if (draft?.text !== text) draft = { id: crypto.randomUUID(), text };
  attempt(async () => {
    if (!open) await begin(text);
    const sent = { kind: "human", text, finished: true };
    await converse(`/chats/${encodeURIComponent(open)}/messages`, draft, [...shown.messages, sent], () => {
      if ($("text").value === text) $("text").value = "";
      draft = null;
    });
  });
};

$("text").onkeydown = (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("compose").requestSubmit();
  }
};

$("stop").onclick = () => {
  answers.get(open)?.abort();
  $("text").focus();
};

async function begin(text) {
  beginning = true;
  try {
    const chat = await call("/chats", { method: "POST", body: { text } });
    open = chat.session_id;
    shown = { messages: [], next: null, version: chat.version, title: chat.title };
    history.replaceState(null, "", `#${open}`);
    chats.list.unshift(chat);
  } finally {
    beginning = false;
  }
}

const regenerate = (question) =>
  attempt(() => {
    const body = { question, version: shown.version };
    const kept = shown.messages.filter((one) => one.seq <= question);
    return converse(`/chats/${encodeURIComponent(open)}/regenerate`, body, kept);
  });

// Shows an answer as it comes, behind the given messages; then reads what was stored of it.
async function converse(path, body, messages, onStored = () => {}) {
  const id = open;
  const stopping = new AbortController();
  answers.set(id, stopping);
  let ended = false;
  try {
    const events = await stream(path, { body, signal: stopping.signal });
    onStored();
    const article = render.message({ kind: "ai", text: "", finished: true }, "writing …");
    if (id === open) {
      shown = { ...shown, messages };
      showChat();
      $("messages").append(article);
      live = article;
      toEnd();
    }
    ended = await write(events, article);
  } catch (error) {
    if (error instanceof Refused) throw error;
    ended = error.name === "AbortError"; // else the connection broke
  } finally {
    answers.delete(id);
    showBusy();
  }
  await attemptQuietly(listChats);
  if (id !== open) return;
  live = null;
  if (!ended) notice("The answer was broken off. What came of it is kept.");
  await attemptQuietly(refresh);
}

// Writes an answer into an article; returns whether it came to an end.
async function write(events, article) {
  let text = "";
  for await (const [event, data] of events) {
    if (event === "error" && live === article) notice(data);
    if (event !== "text") return true;
    const atEnd = isAtEnd();
    render.showText(article, (text += data));
    if (atEnd && live === article) toEnd();
  }
  return false;
}

// Searching

let searching;
$("query").oninput = () => {
  clearTimeout(searching);
  searching = setTimeout(() => attempt(search), 200);
};

$("search").onsubmit = (event) => {
  event.preventDefault();
  attempt(search);
};

async function search() {
  const query = $("query").value;
  const wanted = /[\p{L}\p{N}]/u.test(query); // a query without a word finds nothing
  const hits = wanted ? await call(`/chats/search?query=${encodeURIComponent(query)}`) : [];
  if (query !== $("query").value) return;
  const items = hits.map((one) => render.hit(one, () => attempt(() => show(one))));
  $("hits").replaceChildren(...(items.length ? items : [render.element("p", {}, "Nothing was found.")]));
  $("hits").hidden = !wanted;
  $("chats").hidden = wanted;
  showChats();
}

// Opens the chat of a match at the message, reading back as far as it is.
async function show({ session_id, seq }) {
  await go(session_id);
  while (open === session_id && shown.next !== null && shown.next >= seq) await readOlder();
  const article = $("messages").querySelector(`[data-seq="${seq}"]`);
  article?.classList.add("sought");
  article?.scrollIntoView({ block: "center" });
}

// Changing

$("rename").onclick = () => {
  $("new-title").value = shown.title;
  $("renaming").returnValue = "";
  $("renaming").showModal();
  $("new-title").select();
};

$("renaming").onclose = () => {
  const title = $("new-title").value;
  if (!$("renaming").returnValue || !title.trim()) return;
  attempt(async () => {
    await call(`/chats/${encodeURIComponent(open)}`, { method: "PATCH", body: { title } });
    await refresh();
    await listChats();
  });
};

$("delete").onclick = () => {
  if (!confirm(`Delete “${shown.title}”? It cannot be brought back.`)) return;
  attempt(async () => {
    await call(`/chats/${encodeURIComponent(open)}`, { method: "DELETE" });
    await leave();
    await listChats();
  });
};

attempt(start);
