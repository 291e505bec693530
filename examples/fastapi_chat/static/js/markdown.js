// Markdown becomes elements here, and nowhere else does text become HTML. Three walls: the renderer writes only what
// Markdown means (HTML is shown as it was written), DOMPurify lets through only what is listed here, and the
// Content-Security-Policy lets nothing run.

import { highlightInto } from "./code.js";
import { h } from "./dom.js";
import { Marked } from "../vendor/marked.js";
import purify from "../vendor/purify.js";

const SAFE = {
  ALLOWED_TAGS: [
    ...["a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "strong"],
    ...["table", "tbody", "td", "th", "thead", "tr", "ul"],
  ],
  ALLOWED_ATTR: ["align", "data-language", "href", "start", "title"],
  ADD_URI_SAFE_ATTR: ["align", "data-language", "start"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto|tel):/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};

const escaped = (text) => text.replace(/[&<>"']/g, (one) => `&#${one.charCodeAt(0)};`);

let heading = 2; // the level of the last one: none is left out below it

const renderer = {
  heading({ tokens, depth }) {
    heading = Math.max(3, Math.min(depth + 2, heading + 1, 6));
    return `<h${heading}>${this.parser.parseInline(tokens)}</h${heading}>`;
  },
  html({ text }) {
    return /^<br\s*\/?>$/i.test(text.trim()) ? "<br>" : escaped(text);
  },
  image({ href, text }) {
    // A picture from elsewhere would tell its owner what was said; so it is a link.
    return `<a href="${escaped(href)}">${escaped(text || href)}</a>`;
  },
  checkbox({ checked }) {
    return checked ? "☑ " : "☐ ";
  },
  code({ text, lang }) {
    const language = /^[\w+#.-]+/.exec(lang ?? "")?.[0] ?? "";
    return `<pre><code data-language="${escaped(language)}">${escaped(text)}</code></pre>`;
  },
};

const marked = new Marked({ gfm: true, breaks: true, renderer });

// Returns the blocks of a text: tokens whose `raw`, joined, is the text.
export const blocksOf = (text) => marked.lexer(text);

// Returns the elements of a block. `level` is that of the heading before it; they come back with that of the last one.
export function elementsOf(token, level) {
  heading = level;
  const fragment = purify.sanitize(marked.parser([token]), SAFE);
  for (const link of fragment.querySelectorAll("a")) {
    if (link.hasAttribute("href")) Object.assign(link, { target: "_blank", rel: "noopener noreferrer" });
    else link.replaceWith(...link.childNodes);
  }
  for (const item of fragment.querySelectorAll("li")) if (/^\s*[☑☐]/.test(item.textContent)) item.className = "task";
  for (const code of fragment.querySelectorAll("pre > code")) frame(code);
  for (const table of fragment.querySelectorAll("table")) {
    const around = h("div", { class: "table", role: "group", "aria-label": "Table", tabIndex: 0 });
    table.replaceWith(around);
    around.append(table);
  }
  return { nodes: [...fragment.childNodes], level: heading };
}

// Puts a block of code into a frame with its language and a button.
function frame(code) {
  const language = code.getAttribute("data-language");
  const copy = h("button", { type: "button", class: "quiet copy-code" }, "Copy");
  const pre = h("pre", { tabIndex: 0 });
  const figure = h("figure", { class: "code" }, h("figcaption", {}, h("span", {}, language || "text"), copy), pre);
  code.parentElement.replaceWith(figure);
  pre.append(code);
  highlightInto(code, code.textContent, language);
}
