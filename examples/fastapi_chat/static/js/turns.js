// Turns of a conversation, as they are shown: a question, or all messages of one answer.

import { Parts } from "./parts.js";

// Returns the turns of stored entries, oldest first.
export function turnsOf(entries) {
  const turns = [];
  for (const entry of entries) {
    const type = entry.message?.type ?? "error";
    const isAnswer = type === "ai" || type === "tool";
    const last = turns.at(-1);
    if (isAnswer && last?.isAnswer) extend(last, entry);
    else turns.push(isAnswer ? extend(answer(entry), entry) : other(entry, type));
  }
  return turns;
}

const keyOf = (entry) => entry.id ?? `at ${entry.seq}`;

function other(entry, type) {
  const parts = entry.message ? new Parts([entry.message]).list : [];
  const text = entry.message ? parts.map((part) => part.text).join("\n\n") : "This message cannot be read.";
  return {
    key: keyOf(entry),
    kind: type === "human" ? "question" : type,
    seq: entry.seq,
    text,
    siblings: entry.siblings,
    createdAt: entry.created_at,
  };
}

function answer(entry) {
  const siblings = entry.siblings;
  return { key: keyOf(entry), kind: "answer", isAnswer: true, seq: entry.seq, parts: new Parts(), siblings };
}

function extend(turn, entry) {
  const { message } = entry;
  turn.parts.add(message);
  turn.siblings ??= entry.siblings;
  turn.createdAt = entry.created_at;
  if (message.type === "ai") {
    turn.rated = entry.seq; // where a rating is kept
    turn.rating = entry.annotations?.rating ?? null;
    turn.status = message.response_metadata?.answer ?? "complete";
  }
  return turn;
}

// The turn of an answer that is being written.
export function liveTurn({ id, parts, status }) {
  return { key: id, kind: "answer", isAnswer: true, parts, status, isLive: status === null };
}

// The turn of a question that is being sent.
export function pendingTurn({ id, text }) {
  return { key: id, kind: "question", text, isPending: true };
}
