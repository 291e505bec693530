// Where messages are written. What is written is kept, by chat, until it is sent.

import { $ } from "./dom.js";

const key = (id) => `draft ${id ?? "new"}`;

let chat = null;

// Shows what was written for a chat, or for a new one.
export function openDraft(id) {
  chat = id;
  $("text").value = sessionStorage.getItem(key(id)) ?? "";
  fit();
  allow();
}

export function write(text) {
  $("text").value = text;
  keep();
  focus();
}

// Not on phones, where it would bring up the keyboard.
export function focus() {
  if (matchMedia("(pointer: fine)").matches) $("text").focus();
}

// Takes the text that is being sent out of the field, and returns how to put it back.
export function take() {
  const text = $("text").value;
  const from = chat;
  write("");
  return () => {
    sessionStorage.setItem(key(from), text);
    if (chat === from && !$("text").value) write(text);
  };
}

// Forgets a text that was sent, though nobody said so.
export function forget(text) {
  if ($("text").value === text) write("");
}

export function setState({ isBusy, canStop, isStopping }) {
  $("send").hidden = canStop;
  $("stop").hidden = !canStop;
  $("stop").disabled = isStopping;
  $("compose").dataset.busy = isBusy;
  allow();
}

export function onSend(task) {
  $("compose").onsubmit = (event) => {
    event.preventDefault();
    if (maySend()) task($("text").value);
  };
}

function keep() {
  if ($("text").value) sessionStorage.setItem(key(chat), $("text").value);
  else sessionStorage.removeItem(key(chat));
  fit();
  allow();
}

const maySend = () => $("text").value.trim() !== "" && $("compose").dataset.busy !== "true";

function allow() {
  $("send").disabled = !maySend();
}

// Makes the field as high as its text is; not with each chunk of an answer, since it costs a layout.
function fit() {
  if (CSS.supports("field-sizing", "content")) return;
  $("text").style.height = "auto";
  $("text").style.height = `${$("text").scrollHeight}px`;
}

$("text").addEventListener("input", keep);
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("compose").requestSubmit();
  }
});
