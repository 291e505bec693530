// The view of one turn. It is kept and updated while the turn changes, so that nothing flickers or loses focus.

import { h, icon, iconButton } from "./dom.js";
import { when } from "./format.js";
import { PartViews } from "./partviews.js";
import { questionNodes } from "./question.js";

const ENDINGS = {
  stopped: ["Stopped. This is what came of it.", "Answer again"],
  interrupted: ["Interrupted: the server ended while it wrote this.", "Ask again"],
  failed: ["The model failed while it wrote this.", "Ask again"],
};

const NAMES = { question: "You", answer: "Answer", system: "System", error: "Damaged message" };

// `actions` are what the buttons do: copy, edit, regenerate, rate, walk. `onSettled` is told what comes of an answer.
export class TurnView {
  #actions;
  #tell;
  #parts;
  #body = h("div", { class: "body" });
  #note = h("p", { class: "note", hidden: true });
  #footer = h("footer");
  #shown = "";

  constructor(turn, actions, onSettled) {
    this.#actions = actions;
    this.#tell = onSettled;
    this.turn = turn;
    const name = NAMES[turn.kind] ?? turn.kind;
    this.element = h("article", { class: `turn ${turn.kind}`, "aria-label": name }, h("h2", { class: "unseen" }, name));
    this.element.append(this.#body, this.#note, this.#footer);
    if (turn.isAnswer) this.#parts = new PartViews(this.#body, (text) => this.turn.isLive && this.#tell(text));
  }

  get isEditing() {
    return this.element.classList.contains("editing");
  }

  set isEditing(value) {
    this.element.classList.toggle("editing", value);
  }

  get body() {
    return this.#body;
  }

  update(turn) {
    if (turn.isAnswer) this.#parts.update(turn.parts.list, Boolean(turn.isLive));
    else if (this.turn.text !== turn.text || !this.#shown)
      this.#body.replaceChildren(...questionNodes(turn.text, turn.kind));
    const [ending] = ENDINGS[turn.status] ?? [];
    if (this.turn.isLive && ending) this.#tell(ending);
    this.turn = turn;
    const { key, seq, siblings, rating, status, isLive, isPending, createdAt } = turn;
    const signature = JSON.stringify([key, seq, siblings, rating, status, isLive, isPending, createdAt]);
    if (signature === this.#shown) return;
    this.#shown = signature;
    this.element.dataset.seq = seq ?? "";
    this.element.classList.toggle("live", Boolean(isLive));
    this.element.classList.toggle("pending", Boolean(isPending));
    this.#showNote();
    this.#showFooter();
  }

  #showNote() {
    const [text, label] = ENDINGS[this.turn.status] ?? [];
    this.#note.hidden = !text;
    if (!text) return this.#note.replaceChildren();
    const again = h(
      "button",
      { type: "button", class: "small", onclick: () => this.#actions.regenerate(this.turn) },
      label,
    );
    this.#note.replaceChildren(icon(this.turn.status === "stopped" ? "stop" : "warning"), h("span", {}, text), again);
  }

  #showFooter() {
    const { turn } = this;
    if (turn.seq === undefined || turn.kind === "error") return this.#footer.replaceChildren();
    const focused = document.activeElement?.closest("footer") === this.#footer && document.activeElement.dataset.what;
    const buttons = turn.isAnswer ? this.#answerButtons() : this.#questionButtons();
    const date = turn.createdAt && new Date(turn.createdAt);
    const time = date && h("time", { dateTime: turn.createdAt, title: date.toLocaleString() }, when(date));
    this.#footer.replaceChildren(...this.#walker(), ...buttons, ...(time ? [time] : []));
    if (focused) this.#footer.querySelector(`[data-what="${focused}"]`)?.focus();
  }

  #button(what, name, label, properties = {}) {
    return iconButton(name, label, () => this.#actions[what](this.turn, this), { "data-what": what, ...properties });
  }

  #questionButtons() {
    const edit =
      this.turn.kind === "question" ? [this.#button("edit", "edit", "Edit", { class: "quiet square idle" })] : [];
    return [this.#button("copy", "copy", "Copy"), ...edit];
  }

  #answerButtons() {
    const rate = (value, name, label) => {
      const isSet = this.turn.rating === value;
      const click = () => this.#actions.rate(this.turn, isSet ? null : value);
      return iconButton(name, label, click, { "data-what": name, "aria-pressed": String(isSet) });
    };
    return [
      this.#button("copy", "copy", "Copy"),
      rate("up", "up-vote", "Good answer"),
      rate("down", "down-vote", "Bad answer"),
      this.#button("regenerate", "again", "Regenerate", { class: "quiet square idle" }),
    ];
  }

  // "2 / 3" between the versions of a question or an answer
  #walker() {
    const { siblings } = this.turn;
    if (!siblings || siblings.branches.length < 2) return [];
    const { index, branches } = siblings;
    const to = (step) => () => this.#actions.walk(this.turn, branches[index + step], step);
    const step = (name, label, by) => {
      const properties = {
        "data-what": name,
        disabled: branches[index + by] === undefined,
        class: "quiet square idle",
      };
      return iconButton(name, label, to(by), properties);
    };
    const label = `Version ${index + 1} of ${branches.length}`;
    const count = h(
      "span",
      { class: "count" },
      h("span", { class: "unseen" }, label),
      h("span", { "aria-hidden": "true" }, `${index + 1} / ${branches.length}`),
    );
    return [
      h("span", { class: "walker" }, step("previous", "Previous version", -1), count, step("next", "Next version", 1)),
    ];
  }
}
