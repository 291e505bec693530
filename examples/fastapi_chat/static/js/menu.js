// A menu beside a button: arrow keys walk through it, Escape closes it.

import { h, icon } from "./dom.js";

const MARGIN = 8; // pixels

// `items` are {label, name of the icon, run, isDanger, isChecked}; those with `isChecked` are a choice of one.
export function openMenu(button, items) {
  const menu = h("div", {
    class: "menu",
    role: "menu",
    popover: "auto",
    "aria-label": button.getAttribute("aria-label") ?? "Options",
  });
  menu.append(...items.map((item) => entry(item, menu)));
  button.closest("nav, main").append(menu); // what is outside of them, screen readers do not find
  menu.addEventListener("toggle", ({ newState }) => {
    const isOpen = newState === "open";
    button.setAttribute("aria-expanded", isOpen);
    if (isOpen) return;
    const hadFocus = menu.contains(document.activeElement) || document.activeElement === document.body;
    menu.remove();
    if (hadFocus) button.focus();
  });
  menu.addEventListener("keydown", (event) => walk(event, menu));
  menu.showPopover();
  beside(button, menu);
  menu.firstElementChild.focus();
}

function entry({ label, icon: name, run, isDanger, isChecked }, menu) {
  const choose = () => {
    menu.hidePopover();
    run();
  };
  const role = isChecked === undefined ? "menuitem" : "menuitemradio";
  const properties = { type: "button", role, tabIndex: -1, onclick: choose, class: isDanger ? "danger" : undefined };
  const made = h("button", properties, icon(name), h("span", {}, label));
  if (isChecked !== undefined) made.setAttribute("aria-checked", isChecked);
  return made;
}

function walk(event, menu) {
  const items = [...menu.children];
  const at = items.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1, Tab: null }[event.key];
  if (to === null) menu.hidePopover();
  if (to === null || to === undefined) return;
  event.preventDefault();
  items.at(to % items.length).focus();
}

// Places a menu under a button, or over it where there is no room.
function beside(button, menu) {
  const { left, right, top, bottom } = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const x = left + width + MARGIN > innerWidth ? right - width : left;
  const y = bottom + height + MARGIN > innerHeight ? top - height - 4 : bottom + 4;
  menu.style.left = `${Math.max(MARGIN, x)}px`;
  menu.style.top = `${Math.max(MARGIN, y)}px`;
}
