// The views of an answer's parts: its text, its thoughts, and the tools that it used.

import { h, icon } from "./dom.js";
import { LiveText } from "./livetext.js";

export class PartViews {
  #element;
  #onSettled;
  #views = [];
  #waiting = h(
    "p",
    { class: "waiting", "aria-label": "The answer is being written", role: "img" },
    h("i"),
    h("i"),
    h("i"),
  );

  constructor(element, onSettled) {
    this.#element = element;
    this.#onSettled = onSettled;
  }

  update(parts, isLive) {
    parts.forEach((part, index) => {
      if (this.#views[index]?.kind !== part.kind) this.#make(part, index);
      this.#views[index].update(part, isLive && index === parts.length - 1);
    });
    for (const view of this.#views.splice(parts.length)) view.element.remove();
    const isSilent = isLive && parts.at(-1)?.kind !== "text";
    if (isSilent) this.#element.append(this.#waiting);
    else this.#waiting.remove();
  }

  #make(part, index) {
    for (const view of this.#views.splice(index)) view.element.remove();
    const view = new VIEWS[part.kind](this.#onSettled);
    view.kind = part.kind;
    this.#views.push(view);
    this.#element.append(view.element);
  }
}

class TextView {
  constructor(onSettled) {
    this.element = h("div", { class: "markdown" });
    this.live = new LiveText(this.element, onSettled);
  }

  update({ text }, isGrowing) {
    if (isGrowing) this.live.write(text);
    else this.live.end(text);
  }
}

class ThoughtView {
  constructor() {
    this.label = h("span");
    this.text = h("div", { class: "plain" });
    this.element = h("details", { class: "part" }, h("summary", {}, icon("thought"), this.label), this.text);
  }

  update({ text }, isGrowing) {
    this.label.textContent = isGrowing ? "Thinking …" : "Thoughts";
    this.text.textContent = text;
  }
}

class ToolView {
  constructor() {
    this.label = h("span");
    this.input = h("pre", { tabIndex: 0, "aria-label": "What the tool was given" });
    this.output = h("pre", { tabIndex: 0, "aria-label": "What the tool returned" });
    this.element = h("details", { class: "part" }, h("summary", {}, icon("tool"), this.label), this.input, this.output);
  }

  update({ name, input, output, failed }, isGrowing) {
    const state = failed ? "failed" : output !== null ? "" : isGrowing ? "is at work …" : "gave no result";
    this.label.textContent = [name || "A tool", state].filter(Boolean).join(" ");
    this.input.textContent = input;
    this.input.hidden = !input;
    this.output.textContent = output ?? "";
    this.output.hidden = output === null;
  }
}

class OtherView {
  constructor() {
    this.element = h("p", { class: "faint" });
  }

  update({ text }) {
    this.element.textContent = `[${text}]`;
  }
}

const VIEWS = { text: TextView, thought: ThoughtView, tool: ToolView, other: OtherView };
