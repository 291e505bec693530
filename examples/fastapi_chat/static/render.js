// Elements for chats, messages and matches. Stored text becomes text nodes only, never HTML.

const FENCE = /^```[^\n`]*\n([^]*?)(?:^```[^\S\n]*$\n?|$(?![^]))/gm;

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// Text with what stands between ``` as code.
function pieces(text) {
  const made = [];
  let at = 0;
  const plain = (end) => {
    if (end > at) made.push(element("span", { className: "text" }, text.slice(at, end)));
  };
  for (const found of text.matchAll(FENCE)) {
    plain(found.index);
    made.push(element("pre", { tabIndex: 0 }, element("code", {}, found[1].replace(/\n$/, ""))));
    at = found.index + found[0].length;
  }
  plain(text.length);
  return made;
}

export function showText(article, text) {
  article.querySelector(".body").replaceChildren(...pieces(text));
}

const NAMES = { human: "You", ai: "Answer" };

function when(date) {
  const isToday = date.toDateString() === new Date().toDateString();
  const day = isToday ? {} : { year: "numeric", month: "short", day: "numeric" };
  return date.toLocaleString([], { ...day, hour: "2-digit", minute: "2-digit" });
}

export function message({ seq, kind, text, created_at, finished }, state, ...actions) {
  const time = created_at ? when(new Date(created_at)) : "";
  const note = state || (finished ? "" : "unfinished");
  const notes = note ? [element("span", { className: "state" }, note)] : [];
  const footer = element("footer", {}, time, ...notes, ...actions);
  const made = element("article", { className: kind }, element("div", { className: "body" }), footer);
  made.setAttribute("aria-label", NAMES[kind] ?? kind);
  if (seq !== undefined) made.dataset.seq = seq;
  showText(made, text);
  return made;
}

export function chat({ session_id, title }, isOpen, open) {
  const button = element("button", { type: "button", title, onclick: open }, title);
  button.dataset.id = session_id;
  if (isOpen) button.setAttribute("aria-current", "page");
  return element("li", {}, button);
}

export function hit({ kind, parts }, open) {
  const text = parts.map((part) => (part.found ? element("mark", {}, part.text) : part.text));
  const who = element("small", {}, NAMES[kind] ?? kind);
  return element("li", {}, element("button", { type: "button", onclick: open }, who, ...text));
}
