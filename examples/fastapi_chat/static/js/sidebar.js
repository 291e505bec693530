// The list of chats, by date, and the drawer that it is in on narrow screens.

import { chatMenu } from "./chatmenu.js";
import * as chats from "./chats.js";
import { $, eachFrame, h, icon, iconButton, isNarrow, place } from "./dom.js";
import { period } from "./format.js";
import { attempt, quietly } from "./tasks.js";

let open = null; // the id of the chat that is open
const items = new Map(); // by id: {element, signature}
const groups = new Map(); // by heading

export function mark(id) {
  open = id;
  draw();
}

export const show = eachFrame(draw);

function draw() {
  const found = new Map();
  for (const info of chats.list()) {
    const name = info.pinned && !info.archived ? "Pinned" : period(chats.date(info));
    if (!found.has(name)) found.set(name, []);
    found.get(name).push(item(info));
  }
  const names = [...found.keys()].sort((a, b) => (b === "Pinned") - (a === "Pinned"));
  place(
    $("chats"),
    names.map((name) => group(name, found.get(name))),
  );
  const isEmpty = found.size === 0;
  $("chats-state").hidden = !isEmpty;
  if (isEmpty)
    $("chats-state").textContent = chats.showsArchive() ? "No chat is archived." : "Your chats will be listed here.";
}

function group(name, elements) {
  if (!groups.has(name)) groups.set(name, h("section", {}, h("h2", {}, name), h("ul")));
  const section = groups.get(name);
  place(section.lastElementChild, elements);
  return section;
}

function item(info) {
  const id = info.session_id;
  const isRunning = Boolean(info.answers?.length);
  const signature = JSON.stringify([info.title, info.pinned, info.archived, isRunning, id === open]);
  const known = items.get(id);
  if (known?.signature === signature) return known.element;
  const element = known?.element ?? h("li");
  const title = info.title ?? "Untitled";
  const link = h(
    "a",
    { href: `#${encodeURIComponent(id)}`, title, "data-id": id },
    h("span", { class: "clip" }, title),
  );
  if (isRunning) link.append(h("span", { class: "running", role: "img", "aria-label": "An answer is being written" }));
  else if (info.pinned) link.append(icon("pin"));
  if (id === open) link.setAttribute("aria-current", "page");
  const options = iconButton("more", `Options of “${title}”`, () => chatMenu(options, chats.get(id)), {
    "aria-haspopup": "menu",
    "aria-expanded": "false",
  });
  const focused = element.contains(document.activeElement) ? document.activeElement.tagName : null;
  element.replaceChildren(link, options);
  if (focused) element.querySelector(focused)?.focus();
  items.set(id, { element, signature });
  return element;
}

// More chats come when the end of the list is nearly seen.
const seen = new IntersectionObserver(
  async (entries) => {
    if (!entries.some((one) => one.isIntersecting) || !chats.hasMore()) return;
    await quietly(chats.readMore);
    seen.unobserve($("chats-end"));
    seen.observe($("chats-end")); // so that it is told again where it stays in sight
  },
  { root: $("side-scroll"), rootMargin: "0px 0px 400px 0px" },
);
seen.observe($("chats-end"));

$("archive").onclick = () => showArchive(!chats.showsArchive());

async function showArchive(isShown) {
  await attempt(() => chats.read(isShown));
  $("archive").setAttribute("aria-pressed", chats.showsArchive());
  $("archive").querySelector("span").textContent = chats.showsArchive() ? "Back to the chats" : "Archived chats";
}

// The drawer. On wide screens the sidebar stands beside the chat, unless it was put away.

const WIDE = "sidebar";

export function setSidebar(isShown) {
  if (isNarrow()) $("app").classList.toggle("drawer", isShown);
  else localStorage.setItem(WIDE, isShown ? "shown" : "hidden");
  arrange();
  if (isNarrow()) (isShown ? $("new") : $("side-open")).focus();
}

const isShown = () =>
  isNarrow() ? $("app").classList.contains("drawer") : localStorage.getItem(WIDE) !== "hidden";
export const toggleSidebar = () => setSidebar(!isShown());
export const closeDrawer = () => isNarrow() && isShown() && setSidebar(false);

function arrange() {
  const shown = isShown();
  if (!isNarrow()) $("app").classList.remove("drawer");
  $("app").classList.toggle("without-side", !shown);
  $("side").inert = !shown;
  $("main").inert = isNarrow() && shown;
  $("side-open").setAttribute("aria-expanded", shown);
}

$("side-open").onclick = () => setSidebar(true);
$("side-close").onclick = () => setSidebar(false);
$("shade").onclick = () => setSidebar(false);
window.addEventListener("resize", arrange);
arrange();
