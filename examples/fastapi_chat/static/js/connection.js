// Whether the server answers, and the line that says so while it does not.

import { $ } from "./dom.js";

const FIRST = 1000;
const LONGEST = 8000; // milliseconds between questions

let looking = null; // ends the questions; null while the server answers
const waiting = new Set();

export function lost() {
  if (looking) return;
  looking = new AbortController();
  look(looking.signal);
  tell();
}

// Asks until the server answers: nothing else may ask soon.
async function look(signal) {
  for (let wait = FIRST; ; wait = Math.min(wait * 2, LONGEST)) {
    await pause(wait, signal);
    if (signal.aborted) return;
    if (
      await fetch("/healthz", { cache: "no-store" }).then(
        () => true,
        () => false,
      )
    )
      return found();
  }
}

export function found() {
  if (!looking) return;
  looking.abort();
  looking = null;
  tell();
}

function tell() {
  const line = $("connection");
  line.hidden = !looking && navigator.onLine;
  if (line.hidden) line.textContent = "";
  else if (!navigator.onLine)
    line.textContent = "You are offline. What you write is kept; this page goes on once you are back.";
  else line.textContent = "The server does not answer. Trying again …";
}

// Waits so long, or until the network is back, or the signal aborts.
export function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      waiting.delete(end);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    waiting.add(end);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}

// Waits until somebody looks at the page.
export function seen(signal) {
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      signal.removeEventListener("abort", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
    look();
  });
}

window.addEventListener("offline", tell);
window.addEventListener("online", () => {
  tell();
  for (const end of waiting) end();
});
