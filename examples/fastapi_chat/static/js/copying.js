// The clipboard, and buttons that say for a moment that they have copied.

import { h, icon } from "./dom.js";
import { announce, notify } from "./notices.js";

const TOLD = 1500; // milliseconds

export async function copy(text, button) {
  try {
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else copyTheOldWay(text); // a page that came without TLS has no clipboard
  } catch {
    return notify("Your browser does not let this page copy. Select the text, and copy it yourself.", { isError: true });
  }
  announce("Copied.");
  if (button.dataset.copied) return;
  const kept = [...button.childNodes];
  button.dataset.copied = "yes";
  button.replaceChildren(...(kept.some((node) => node.nodeName === "svg") ? [icon("done")] : ["Copied"]));
  setTimeout(() => {
    delete button.dataset.copied;
    button.replaceChildren(...kept);
  }, TOLD);
}

function copyTheOldWay(text) {
  const field = h("textarea", { value: text, class: "unseen" });
  const focused = document.activeElement;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
  focused?.focus();
}

// Blocks of code have buttons of their own.
document.addEventListener("click", (event) => {
  const button = event.target.closest(".copy-code");
  if (button) copy(button.closest("figure").querySelector("code").textContent, button);
});
