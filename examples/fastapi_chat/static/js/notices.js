// What the page tells: notices that are seen, and what only a screen reader says.

import { $, h, iconButton } from "./dom.js";

const SHOWN = 7000; // milliseconds of a notice that is no error

// Shows a notice; `action` is [label, what it does]. An error stays until it is closed, or something else is done.
export function notify(text, { action, isError = false } = {}) {
  clearErrors();
  const close = () => notice.remove();
  const act = action && h("button", { type: "button", onclick: () => (close(), action[1]()) }, action[0]);
  const dismiss = iconButton("close", "Dismiss", close);
  const notice = h(
    "div",
    { class: isError ? "notice error" : "notice", role: isError ? "alert" : "status" },
    h("p", {}, text),
    act,
    dismiss,
  );
  $("notices").append(notice);
  if (!isError) setTimeout(close, SHOWN);
}

export function clearErrors() {
  for (const notice of $("notices").querySelectorAll(".error")) notice.remove();
}

export function announce(text) {
  const log = $("announcer");
  if (text.trim()) log.append(h("p", {}, text));
  while (log.childElementCount > 20) log.firstElementChild.remove();
}
