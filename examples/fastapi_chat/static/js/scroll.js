// Where the conversation is scrolled to: at its end while an answer is written, unless the reader has gone elsewhere.

import { $ } from "./dom.js";

const NEAR = 60; // pixels
const AHEAD = "800px 0px 0px 0px"; // how far above the screen earlier messages are read

let isFollowing = true;

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export function toEnd({ smoothly = false } = {}) {
  isFollowing = true;
  const scroll = $("scroll");
  scroll.scrollTo({ top: scroll.scrollHeight, behavior: smoothly && !calm() ? "smooth" : "instant" });
}

export function followEnd() {
  if (isFollowing) toEnd();
  tell();
}

// Runs a task that changes what stands above; what is seen stays where it is.
export async function keepPlace(task) {
  const anchor = firstSeen();
  const before = anchor?.getBoundingClientRect().top;
  await task();
  if (anchor?.isConnected) $("scroll").scrollTop += anchor.getBoundingClientRect().top - before;
}

function firstSeen() {
  const top = $("scroll").getBoundingClientRect().top;
  return [...$("messages").children].find((one) => one.getBoundingClientRect().bottom > top);
}

export function reveal(element) {
  isFollowing = false;
  element.scrollIntoView({ block: "center", behavior: "instant" });
  tell();
}

export function stay() {
  isFollowing = false;
}

// Calls `task` whenever the beginning of what was read is nearly seen.
export function onTop(task) {
  const seen = new IntersectionObserver((entries) => entries.some((one) => one.isIntersecting) && task(), {
    root: $("scroll"),
    rootMargin: AHEAD,
  });
  seen.observe($("older"));
  return () => {
    seen.unobserve($("older"));
    seen.observe($("older")); // so that it is told again where it stays in sight
  };
}

function tell() {
  $("newest").hidden = isFollowing || distance() < NEAR;
}

const distance = () => {
  const { scrollHeight, scrollTop, clientHeight } = $("scroll");
  return scrollHeight - scrollTop - clientHeight;
};

let last = 0;
$("scroll").addEventListener(
  "scroll",
  () => {
    const { scrollTop } = $("scroll");
    if (distance() < NEAR) isFollowing = true;
    else if (scrollTop < last) isFollowing = false; // only a reader scrolls up
    last = scrollTop;
    tell();
  },
  { passive: true },
);
new ResizeObserver(followEnd).observe($("scroll"));
$("newest").onclick = () => toEnd({ smoothly: true });
