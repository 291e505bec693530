// A question is shown as it was typed, but for blocks of code.

import { $, h } from "./dom.js";
import { blocksOf, elementsOf } from "./markdown.js";

// Returns the elements of a message that is not an answer.
export function questionNodes(text, kind) {
  if (kind !== "question") return [plain(text)];
  const nodes = [];
  let pending = "";
  const flush = () => {
    if (pending.trim()) nodes.push(plain(pending.replace(/^\n+|\s+$/g, "")));
    pending = "";
  };
  for (const token of blocksOf(text)) {
    if (token.type !== "code" || token.codeBlockStyle === "indented") pending += token.raw;
    else {
      flush();
      nodes.push(...elementsOf(token, 2).nodes);
    }
  }
  flush();
  return nodes;
}

const plain = (text) => h("div", { class: "plain" }, text);

// Puts a field in place of a question's text. `save` gets the new text, and returns whether it was sent.
export function editQuestion(view, save) {
  if (view.isEditing) return;
  const kept = [...view.body.childNodes];
  const end = () => {
    view.isEditing = false;
    view.body.replaceChildren(...kept);
    const edit = view.element.querySelector('[data-what="edit"]');
    (edit?.isConnected ? edit : $("text")).focus();
  };
  const field = h("textarea", { "aria-label": "Edit your message", value: view.turn.text, rows: 2 });
  const send = h("button", { class: "primary" }, "Send");
  const cancel = h("button", { type: "button", onclick: end }, "Cancel");
  const form = h("form", { class: "edit" }, field, h("div", { class: "choices" }, cancel, send));
  form.onsubmit = async (event) => {
    event.preventDefault();
    if (!field.value.trim() || send.disabled) return;
    send.disabled = true;
    if (await save(field.value)) end();
    else send.disabled = false;
  };
  field.onkeydown = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    } else if (event.key === "Escape") {
      event.stopPropagation();
      end();
    }
  };
  view.isEditing = true;
  view.body.replaceChildren(form);
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
}
