// The page: who is signed in, which chat is open, and what belongs together.

import * as api from "./api.js";
import { chatMenu, remove, rename } from "./chatmenu.js";
import * as chats from "./chats.js";
import * as chatview from "./chatview.js";
import * as composer from "./composer.js";
import { $, h } from "./dom.js";
import { titleOf, uuid } from "./format.js";
import { openMenu } from "./menu.js";
import { clearErrors, notify } from "./notices.js";
import * as scroll from "./scroll.js";
import { clearSearch, markWords, onOpen, unmarkWords } from "./search.js";
import { listShortcuts, setShortcuts } from "./shortcuts.js";
import * as sidebar from "./sidebar.js";
import { attempt, onSignedOut } from "./tasks.js";
import { setTheme, theme, toggleTheme } from "./themes.js";

const SUGGESTIONS = ["Hi, my name is Alice.", "My favourite colour is green.", "What did I say?"];

let isBeginning = false;
let lastInfo = null; // what was read last of the open chat, which the list then knows too
let question = null; // {id, text} of what was sent last and may not have come: sent again, it is stored once

// Who

onSignedOut(showSignIn);

function showSignIn() {
  chatview.openChat(null);
  $("app").hidden = true;
  $("sign-in").hidden = false;
  $("name").focus();
}

$("sign-in-form").onsubmit = (event) => {
  event.preventDefault();
  attempt(async () => {
    await api.signIn($("name").value);
    location.reload(); // nothing of another user is left
  });
};

async function signOut() {
  await attempt(async () => {
    await api.signOut();
    sessionStorage.clear();
    location.replace(location.pathname);
  });
}

async function start() {
  const { name } = await api.me();
  $("user").textContent = name;
  $("initial").textContent = [...name][0].toUpperCase();
  $("greeting").textContent = `What is on your mind, ${name}?`;
  $("sign-in").hidden = true;
  $("app").hidden = false;
  await Promise.all([chats.read(), follow()]);
  chats.watch(name);
}

$("account").onclick = () => {
  const choose = (label, name) => ({
    label,
    icon: "theme",
    isChecked: theme() === name,
    run: () => setTheme(name),
  });
  openMenu($("account"), [
    choose("As the system is", null),
    choose("Light", "light"),
    choose("Dark", "dark"),
    { label: "Keyboard shortcuts", icon: "keyboard", run: listShortcuts },
    { label: "Sign out", icon: "leave", run: signOut },
  ]);
};

// Which chat: its id is in the address, so that a reload comes back to it

function inAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1)) || null;
  } catch {
    return null; // somebody has typed a "%"
  }
}

function go(id) {
  if (id !== inAddress()) history.pushState(null, "", id ? `#${encodeURIComponent(id)}` : location.pathname);
  return follow();
}

async function follow() {
  const id = inAddress();
  sidebar.closeDrawer();
  sidebar.mark(id);
  unmarkWords();
  composer.openDraft(id);
  await attempt(
    async () => {
      try {
        await chatview.openChat(id, gone);
      } catch (error) {
        if (error.status !== 404) throw error;
        gone();
      }
    },
    { canRepeat: true },
  );
}

function gone() {
  const id = inAddress();
  if (id) chats.drop(id);
  history.replaceState(null, "", location.pathname);
  follow();
  notify("This chat is no longer there. It was deleted, or it is not yours.", { isError: true });
}

window.addEventListener("popstate", follow);
$("new").onclick = $("new-here").onclick = begin;

async function begin() {
  await go(null);
  composer.focus();
}

// What is shown around the messages

chatview.onShown(() => {
  const open = chatview.current();
  if (open?.info && open.info !== lastInfo) chats.put((lastInfo = open.info));
  if (question && open?.has(question.id)) hasCome();
  showTitle();
  $("options").hidden = !open;
  $("empty").hidden = Boolean(open) || isBeginning;
  const isBusy = isBeginning || (open?.isBusy ?? false);
  composer.setState({ isBusy, canStop: isBusy && Boolean(open), isStopping: open?.isStopping ?? false });
});

chats.onChange(() => {
  sidebar.show();
  showTitle();
});

function showTitle() {
  const title = chatview.current() ? (infoOfOpen()?.title ?? "Untitled") : "New chat";
  $("title").textContent = title;
  document.title = chatview.current() ? `${title} - chatmem chat` : "chatmem chat";
}

$("options").onclick = () => withOpen((info) => chatMenu($("options"), info));

function withOpen(task) {
  const info = infoOfOpen();
  return info ? task(info) : false;
}

function infoOfOpen() {
  const open = chatview.current();
  return chats.get(open?.id) ?? open?.info;
}

$("suggestions").append(
  ...SUGGESTIONS.map((text) => h("li", {}, h("button", { type: "button", onclick: () => composer.write(text) }, text))),
);

onOpen(async (id, seq, words = []) => {
  await go(id);
  if (seq === undefined) return;
  await attempt(async () => {
    const element = await chatview.reveal(seq);
    if (element) markWords(element, words);
  });
});

// Talking

composer.onSend(async (text) => {
  const putBack = composer.take();
  scroll.toEnd();
  const open = chatview.current();
  question = question?.text === text ? question : { id: uuid(), text };
  const isSent = await attempt(() => (open ? open.send(question) : sendFirst(question)));
  if (isSent || question === null) question = null;
  else putBack();
});

// A question is stored that seemed not to have come.
function hasCome() {
  composer.forget(question.text);
  clearErrors();
  question = null;
}

async function sendFirst(question) {
  isBeginning = true;
  composer.setState({ isBusy: true, canStop: false, isStopping: false });
  try {
    const made = await api.begin(question, titleOf(question.text));
    if (inAddress()) return; // the user has gone elsewhere meanwhile
    history.pushState(null, "", `#${encodeURIComponent(made.session_id)}`);
  } finally {
    isBeginning = false;
    composer.setState({ isBusy: false, canStop: false, isStopping: false });
  }
  await follow();
  composer.focus();
}

$("stop").onclick = () => {
  stop();
  composer.focus();
};

function stop() {
  const open = chatview.current();
  if (!open?.isBusy) return false;
  return attempt(() => open.stop());
}

// The keyboard

function escape() {
  if (!$("hits").hidden) {
    clearSearch();
    composer.focus();
  } else if (sidebar.closeDrawer() === false) return stop();
  return true;
}

setShortcuts([
  { keys: "Mod+K", label: "Search all chats", run: () => (sidebar.setSidebar(true), $("query").select()) },
  { keys: "Mod+Shift+O", label: "New chat", run: begin },
  { keys: "Mod+Shift+S", label: "Show or hide the sidebar", run: sidebar.toggleSidebar },
  { keys: "/", label: "Write a message", isTyped: true, run: composer.focus },
  { keys: "Escape", label: "Stop the answer, end the search, close the sidebar", run: escape },
  { keys: "Alt+ArrowUp", label: "Edit your last message", run: () => chatview.editLast() },
  { keys: "Mod+Shift+C", label: "Copy the last answer", run: () => chatview.copyLast() },
  { keys: "Mod+Shift+E", label: "Rename this chat", run: () => withOpen(rename) },
  { keys: "Mod+Shift+Backspace", label: "Delete this chat", run: () => withOpen(remove) },
  { keys: "Mod+Shift+L", label: "Dark or light", run: toggleTheme },
  { keys: "?", label: "List these shortcuts", isTyped: true, run: listShortcuts },
]);

attempt(start, { canRepeat: true });
