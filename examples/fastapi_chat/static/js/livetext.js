// A text that grows. Each block of its Markdown keeps its elements; only the last ones are made anew, so that a long
// answer costs no more than a short one, and what is selected stays so.

import { highlightInto } from "./code.js";
import { blocksOf, elementsOf } from "./markdown.js";

const HIGHLIGHTED = 6000; // characters of code that are coloured while they come; more are when the block has ended

export class LiveText {
  #element;
  #text = "";
  #blocks = []; // [{raw, nodes, level}]
  #settled = 0; // how many blocks cannot change any more
  #offset = 0; // and how many characters they are
  #isWhole = true;
  #onSettled;

  // `onSettled` is told the text of each block that will not change any more.
  constructor(element, onSettled) {
    this.#element = element;
    this.#onSettled = onSettled;
  }

  // Shows a text that may go on.
  write(given) {
    const text = normal(given);
    if (text === this.#text) return;
    if (!text.startsWith(this.#text.slice(0, this.#offset))) this.#forget();
    this.#text = text;
    this.#isWhole = false;
    const tokens = blocksOf(text.slice(this.#offset));
    this.#update(tokens, this.#settled);
    this.#settle();
  }

  // Shows a text that is whole: what depends on its end, such as links that are defined there, is right now.
  end(given) {
    const text = normal(given);
    if (this.#isWhole && text === this.#text) return;
    this.#text = text;
    this.#isWhole = true;
    const tokens = blocksOf(text);
    if (Object.keys(tokens.links).length) this.#cut(0);
    this.#update(tokens, 0);
    this.#say(this.#settled);
    this.#settled = this.#blocks.length;
    this.#offset = text.length;
  }

  #forget() {
    this.#cut(0);
    this.#settled = this.#offset = 0;
  }

  #update(tokens, from) {
    let at = 0;
    while (at < tokens.length && this.#blocks[from + at]?.raw === tokens[at].raw && this.#isDone(from + at)) at++;
    const grown = at === tokens.length - 1 ? this.#growCode(this.#blocks[from + at], tokens[at]) : false;
    if (grown) at++;
    this.#cut(from + at);
    for (const token of tokens.slice(at)) {
      const { nodes, level } = elementsOf(token, this.#blocks.at(-1)?.level ?? 2);
      this.#element.append(...nodes);
      this.#blocks.push({ raw: token.raw, nodes, level, code: token.type === "code" ? token : null });
    }
  }

  // A block of code that was too long for colours gets them once it has ended.
  #isDone(index) {
    return !this.#blocks[index].isPlain || (!this.#isWhole && index === this.#blocks.length - 1);
  }

  #growCode(block, token) {
    if (this.#isWhole || !block?.code || token.type !== "code" || token.lang !== block.code.lang) return false;
    if (!token.text.startsWith(block.code.text)) return false;
    const code = block.nodes[0].querySelector?.("code");
    if (!code) return false;
    if (token.text.length <= HIGHLIGHTED) highlightInto(code, token.text, code.getAttribute("data-language"));
    else {
      code.append(token.text.slice(block.code.text.length));
      block.isPlain = true;
    }
    Object.assign(block, { raw: token.raw, code: token });
    return true;
  }

  #cut(from) {
    for (const block of this.#blocks.splice(from)) for (const node of block.nodes) node.remove();
    this.#settled = Math.min(this.#settled, from);
  }

  // What two more blocks follow cannot change: the next one may still become a part of the one before it.
  #settle() {
    const from = this.#settled;
    for (;;) {
      const open = this.#blocks.slice(this.#settled);
      if (open.filter((block) => block.nodes.length).length <= 2) break;
      this.#offset += open[0].raw.length;
      this.#settled++;
    }
    this.#say(from, this.#settled);
  }

  #say(from, to) {
    for (const block of this.#blocks.slice(from, to).filter((one) => one.nodes.length)) {
      this.#onSettled(block.code ? "Code." : block.nodes.map((node) => node.textContent).join(" "));
    }
  }
}

const normal = (text) => text.replace(/\r\n?/g, "\n");
