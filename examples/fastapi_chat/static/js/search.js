// Searching all chats: titles, and messages. What is found is marked, in the list and in the chat that is opened.

import * as api from "./api.js";
import * as chats from "./chats.js";
import { $, h } from "./dom.js";
import { pieces } from "./format.js";
import { attempt } from "./tasks.js";

const TYPED = 180; // milliseconds without a key

let waiting;
let open = () => {};

// `task` opens a match: it gets the chat's id, the message's position or undefined, and the words that were found.
export const onOpen = (task) => (open = task);

$("query").oninput = () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => attempt(search), TYPED);
};
$("search").onsubmit = (event) => {
  event.preventDefault();
  attempt(search);
};
$("query").onkeydown = (event) => {
  if (event.key === "ArrowDown" && !$("hits").hidden) {
    event.preventDefault();
    $("hits").querySelector("button")?.focus();
  }
};
$("hits").onkeydown = (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const buttons = [...$("hits").querySelectorAll("button")];
  (buttons[buttons.indexOf(document.activeElement) + step] ?? $("query")).focus();
};

export function clearSearch() {
  $("query").value = "";
  show(false);
}

async function search() {
  clearTimeout(waiting); // Enter does not wait for it
  const query = $("query").value.trim();
  const isWanted = /[\p{L}\p{N}]/u.test(query); // a query without a word finds nothing
  if (!isWanted) return show(false);
  const [titles, matches] = await Promise.all([api.chats({ title: query, limit: 8 }), api.search(query)]);
  if (query !== $("query").value.trim()) return;
  const nothing = titles.sessions.length + matches.length ? [] : [h("p", { class: "faint" }, "Nothing was found.")];
  $("hits").replaceChildren(
    ...section(
      "Chats",
      titles.sessions.map((one) => title(one, query)),
    ),
    ...section("Messages", matches.map(message)),
    ...nothing,
  );
  show(true);
}

function show(isShown) {
  $("hits").hidden = !isShown;
  for (const id of ["chats", "chats-end"]) $(id).hidden = isShown;
  $("side-scroll").classList.toggle("searching", isShown);
}

function section(name, items) {
  return items.length
    ? [h("section", {}, h("h2", {}, name), h("ul", {}, ...items.map((one) => h("li", {}, one))))]
    : [];
}

function title({ session_id: id, title: text }, query) {
  const at = text.toLowerCase().indexOf(query.toLowerCase());
  const cut =
    at < 0
      ? [text]
      : [text.slice(0, at), h("mark", {}, text.slice(at, at + query.length)), text.slice(at + query.length)];
  return h("button", { type: "button", class: "hit", onclick: () => open(id) }, h("span", {}, ...cut));
}

function message({ session_id: id, entry, text, spans }) {
  const cut = pieces(text, spans).map((one) => (one.found ? h("mark", {}, one.text) : one.text));
  const characters = [...text];
  const words = [...new Set(spans.map(([from, to]) => characters.slice(from, to).join("")))];
  const who = entry.message?.type === "human" ? "You" : "Answer";
  const chat = chats.get(id)?.title;
  const where = `${who}${chat ? ` in “${chat}”` : ""}`;
  const click = () => open(id, entry.seq, words);
  return h(
    "button",
    { type: "button", class: "hit", onclick: click },
    h("small", { class: "clip" }, where),
    h("span", {}, ...cut),
  );
}

// Marks words in an element, without touching what it holds.
export function markWords(element, words) {
  if (!CSS.highlights || words.length === 0) return;
  const wanted = new RegExp(words.map((word) => word.replace(/[\^$.*+?()[\]{}|\\/-]/g, "\\$&")).join("|"), "gi");
  const ranges = [];
  const nodes = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  while (nodes.nextNode()) {
    for (const { 0: word, index } of nodes.currentNode.data.matchAll(wanted)) {
      const range = new Range();
      range.setStart(nodes.currentNode, index);
      range.setEnd(nodes.currentNode, index + word.length);
      ranges.push(range);
    }
  }
  CSS.highlights.set("found", new Highlight(...ranges));
}

export const unmarkWords = () => CSS.highlights?.delete("found");
