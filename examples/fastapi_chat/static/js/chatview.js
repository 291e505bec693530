// Shows the open chat, and does what its buttons say.

import { Conversation } from "./conversation.js";
import { copy } from "./copying.js";
import { $, eachFrame, place } from "./dom.js";
import { uuid } from "./format.js";
import { announce, notify } from "./notices.js";
import { editQuestion } from "./question.js";
import * as scroll from "./scroll.js";
import { attempt, quietly } from "./tasks.js";
import { TurnView } from "./turnview.js";

let open = null;
let views = new Map();
let listener = () => {};

export const current = () => open;
export const onShown = (task) => (listener = task); // called after each change that is shown

// Opens a chat, or none. Returns when it is shown.
export async function openChat(id, onGone) {
  open?.close();
  views = new Map();
  const opening = id === null ? null : new Conversation(id, { onChange: show, onGone });
  open = opening;
  draw();
  $("loading").hidden = open === null;
  try {
    await opening?.open();
  } finally {
    if (open === opening) $("loading").hidden = true;
  }
  if (open !== opening) return; // another one was opened meanwhile
  draw();
  scroll.toEnd();
}

const show = eachFrame(draw);

function draw() {
  const turns = open?.turns ?? [];
  const kept = new Map();
  for (const turn of turns) {
    const view = views.get(turn.key) ?? new TurnView(turn, actions, announce);
    if (view.turn !== turn || turn.isLive || !views.has(turn.key)) view.update(turn);
    kept.set(turn.key, view);
  }
  views = kept;
  place(
    $("messages"),
    [...kept.values()].map((view) => view.element),
  );
  $("messages").classList.toggle("busy", open?.isBusy ?? false);
  $("messages").setAttribute("aria-busy", open?.isBusy ?? false);
  $("older").hidden = !open?.hasOlder;
  scroll.followEnd();
  listener();
}

// Earlier messages come when their place is nearly seen; what is seen stays.
let isReading = false;
const lookAgain = scroll.onTop(async () => {
  if (isReading || !open?.hasOlder) return;
  isReading = true;
  await quietly(() =>
    scroll.keepPlace(async () => {
      await open.readOlder();
      draw();
    }),
  );
  isReading = false;
  lookAgain();
});

// Opens a message of the open chat, reading back as far as it is.
export async function reveal(seq) {
  scroll.stay();
  await open.readUntil(seq);
  draw();
  const view = [...views.values()].findLast((one) => one.turn.seq !== undefined && one.turn.seq <= seq);
  if (!view) return null;
  scroll.reveal(view.element);
  view.element.classList.remove("sought");
  requestAnimationFrame(() => view.element.classList.add("sought"));
  return view.element;
}

// Runs what changes the chat, unless an answer is being written, which would be refused.
function change(task) {
  if (!open.isBusy) return attempt(task);
  notify("An answer is being written. Stop it first, or wait for its end.", { isError: true });
  return false;
}

function regenerate(turn) {
  const question = open.questionOf(turn);
  if (question === undefined) return notify("There is no question before this answer.", { isError: true });
  scroll.toEnd();
  return change(() => open.regenerate(question));
}

export function editLast() {
  const view = [...views.values()].findLast((one) => one.turn.kind === "question" && one.turn.seq !== undefined);
  if (view) actions.edit(view.turn, view);
}

export function copyLast() {
  const view = [...views.values()].findLast((one) => one.turn.isAnswer);
  const button = view?.element.querySelector('[data-what="copy"]');
  button?.click();
}

const actions = {
  copy: (turn, view) =>
    copy(turn.isAnswer ? turn.parts.text : turn.text, view.element.querySelector('[data-what="copy"]')),
  edit(turn, view) {
    let question = null; // sent again, it is stored once
    editQuestion(view, (text) => {
      question = question?.text === text ? question : { id: uuid(), text };
      return change(async () => open.send(question, await open.before(turn.seq)));
    });
  },
  regenerate,
  rate: (turn, rating) => attempt(() => open.rate(turn.rated, rating)),
  walk: (turn, branch, step) =>
    change(async () => {
      const element = views.get(turn.key).element;
      const { top } = element.getBoundingClientRect();
      scroll.stay();
      await open.walk(branch, turn.seq);
      draw();
      const shown = [...views.values()].find(
        (one) => one.turn.siblings?.branches.includes(branch) && one.turn.kind === turn.kind,
      );
      if (!shown) return;
      $("scroll").scrollTop += shown.element.getBoundingClientRect().top - top;
      const button = step < 0 ? "previous" : "next";
      const other = step < 0 ? "next" : "previous";
      const focused =
        shown.element.querySelector(`[data-what="${button}"]:enabled`) ??
        shown.element.querySelector(`[data-what="${other}"]`);
      focused?.focus({ preventScroll: true });
    }),
};
