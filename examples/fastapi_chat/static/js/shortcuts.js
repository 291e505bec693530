// What the keyboard does, and the dialog that lists it.

import { $, h } from "./dom.js";

const isMac = /Mac|iP(hone|ad)/.test(navigator.platform);
const MOD = isMac ? "⌘" : "Ctrl";

let shortcuts = [];

// `all` are {keys, label, run, isTyped}: "Mod+K", "Escape". Those that are typed mean nothing while one writes.
export function setShortcuts(all) {
  shortcuts = all;
  $("shortcuts-list").replaceChildren(
    ...all.map(({ keys, label }) => h("div", {}, h("dt", {}, label), h("dd", {}, ...caps(keys)))),
  );
}

export const listShortcuts = () => $("shortcuts").showModal();

function caps(keys) {
  const names = keys.split("+").map((key) => ({ Mod: MOD, Escape: "Esc", ArrowUp: "↑", ArrowDown: "↓" })[key] ?? key);
  return names.map((name) => h("kbd", {}, name));
}

function pressed({ key, ctrlKey, metaKey, shiftKey, altKey }) {
  const mod = (isMac ? metaKey : ctrlKey) ? "Mod+" : "";
  const name = key.length === 1 ? key.toUpperCase() : key;
  const shift = shiftKey && (key.length > 1 || mod) ? "Shift+" : ""; // "?" is one key, with Shift or without
  return `${mod}${altKey ? "Alt+" : ""}${shift}${name}`;
}

document.addEventListener("keydown", (event) => {
  if (
    event.isComposing ||
    event.defaultPrevented ||
    $("app").hidden ||
    document.querySelector("dialog[open], [popover]:popover-open")
  )
    return;
  const isWriting = event.target.matches("textarea, input");
  const found = shortcuts.find((one) => one.keys === pressed(event) && !(one.isTyped && isWriting));
  if (found && found.run(event) !== false) event.preventDefault();
});
