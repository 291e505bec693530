// Server-sent events that survive what happens to a connection: they go on behind the last one that came.
// EventSource would do, did it say with which status it was refused.

import { Refused, request } from "./api.js";
import * as connection from "./connection.js";

const FIRST_PAUSE = 400;
const LONGEST_PAUSE = 8000; // milliseconds

// Yields what events carry, until the reader stops or the signal aborts. Throws `Refused` where trying again is no use.
// `onOpen` is called when a connection begins with what happens from now on.
export async function* events(path, signal, { after, onOpen = () => {} } = {}) {
  let last = after;
  let pause = FIRST_PAUSE;
  while (!signal.aborted) {
    try {
      const from = last === undefined ? "" : `?after=${encodeURIComponent(last)}`;
      const response = await request(path + from, { signal, accept: "text/event-stream" });
      if (last === undefined) onOpen();
      for await (const { id, event, data } of read(response.body)) {
        if (event === "problem") throw new Refused(503, JSON.parse(data).detail);
        if (id !== undefined) last = id;
        pause = FIRST_PAUSE;
        if (data !== undefined) yield JSON.parse(data);
      }
    } catch (error) {
      if (signal.aborted) return;
      if (isFinal(error)) throw error;
      connection.lost();
    }
    await connection.pause(pause * (0.75 + Math.random() / 2), signal);
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }
}

function isFinal(error) {
  if (error instanceof Refused) return error.status > 0 && error.status !== 429 && error.status < 500;
  return !(error instanceof TypeError); // which is what a broken connection is
}

async function* read(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (pending + value).split(/\r?\n\r?\n/);
      pending = blocks.pop();
      for (const block of blocks) yield parse(block);
    }
  } finally {
    reader.cancel().catch(() => {}); // it may be broken already
  }
}

function parse(block) {
  const lines = block
    .split(/\r?\n/)
    .map((line) => /^(\w+): ?(.*)$/.exec(line))
    .filter(Boolean);
  const of = (name) => lines.filter(([, field]) => field === name).map(([, , value]) => value);
  const data = of("data");
  return { id: of("id").at(-1), event: of("event").at(-1), data: data.length ? data.join("\n") : undefined };
}
