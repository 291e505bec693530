// Dialogs that ask: whether to do what cannot be undone, and for a title.

import { $ } from "./dom.js";

function ask(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue !== "");
  });
}

export function confirm(title, text, action) {
  $("confirming-title").textContent = title;
  $("confirming-text").textContent = text;
  $("confirming-yes").textContent = action;
  return ask($("confirming"));
}

// Returns the new title, or null.
export async function askTitle(title) {
  $("new-title").value = title;
  const asked = ask($("renaming"));
  $("new-title").select();
  const given = (await asked) && $("new-title").value.trim();
  return given || null;
}

for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", ({ target }) => {
    if (target === dialog || target.closest("[data-close]")) dialog.close(""); // the backdrop is the dialog's own
  });
}
