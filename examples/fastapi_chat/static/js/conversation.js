// The open chat: what is stored of it, the answer under way, and what the user does to it. It knows nothing of elements.

import * as api from "./api.js";
import { pause, seen } from "./connection.js";
import { Parts } from "./parts.js";
import { events } from "./stream.js";
import { quietly } from "./tasks.js";
import { liveTurn, pendingTurn, turnsOf } from "./turns.js";

const PAGE = 50;
const REFRESHED = 30; // milliseconds in which changes come close together
const REFUSED = 2000; // milliseconds after which what was refused is asked for again

export class Conversation {
  info = null;
  #entries = []; // stored, oldest first
  #stored = { entries: null, turns: [] };
  #next = null; // the cursor of those before them
  #answer = null; // {id, parts, cursor, status, isStopping} of the answer under way
  #pending = null; // {question, behind, isStopping}: what is being sent, and the position that it will stand behind
  #ending = new AbortController();
  #refreshing = null;
  #begun = 0;
  #done = 0; // of the readings, numbered
  #isFresh = false; // whether it was read since a stream was followed
  #turning = new AbortController(); // ends the stream that is followed, for another one
  #ended = new Set(); // answers that have ended

  // `onChange` is called when there is something new to show, `onGone` when the chat is no longer there.
  constructor(id, { onChange, onGone }) {
    this.id = id;
    this.onChange = onChange;
    this.onGone = onGone;
  }

  get isClosed() {
    return this.#ending.signal.aborted;
  }

  get hasOlder() {
    return this.#next !== null;
  }

  get isRunning() {
    return this.#answer !== null && this.#answer.status === null;
  }

  get isBusy() {
    return this.#pending !== null || this.isRunning;
  }

  get isStopping() {
    return (this.isRunning ? this.#answer.isStopping : this.#pending?.isStopping) ?? false;
  }

  get turns() {
    const entries = this.#pending ? this.#entries.filter((one) => one.seq <= this.#pending.behind) : this.#entries;
    if (this.#stored.entries !== entries) this.#stored = { entries, turns: turnsOf(entries) }; // not with each chunk
    const turns = [...this.#stored.turns];
    if (this.#pending?.question) turns.push(pendingTurn(this.#pending.question));
    const isStored = this.#answer && entries.some((one) => one.id === this.#answer.id);
    if (this.#answer && !isStored && !this.#pending) turns.push(liveTurn(this.#answer));
    return turns;
  }

  close() {
    this.#ending.abort();
  }

  // Reads the chat; then follows it until it is closed.
  async open() {
    await this.#read();
    this.#follow();
  }

  // Reads what is new. Changes that come close together are one reading.
  refresh() {
    this.#refreshing ??= pause(REFRESHED, this.#ending.signal).then(() => {
      this.#refreshing = null;
      return this.isClosed ? undefined : this.#read();
    });
    return this.#refreshing;
  }

  // Reads the newest page, and as far back as `until` where that is a position. Positions never change, so what was
  // read before stays in front of it, unless another branch is shown.
  async #read({ until = Infinity, isOther = false } = {}) {
    const number = ++this.#begun;
    const info = await api.chat(this.id); // first: what changes behind its version is told
    const page = await api.messages(this.id, { limit: PAGE });
    const entries = page.entries.toSorted((a, b) => a.seq - b.seq);
    let next = page.next;
    while (next !== null && next > until && !this.isClosed) next = await this.#before(next, entries);
    if (this.isClosed || number < this.#done) return; // another one, begun later, was faster
    this.#done = number;
    this.#isFresh = true;
    const first = entries[0]?.seq ?? Infinity;
    const older = isOther || next === null ? [] : this.#entries.filter((one) => one.seq < first);
    this.#entries = [...older, ...entries];
    this.#next = older.length ? this.#next : next;
    this.info = info;
    this.#settle(info.answers ?? []);
    this.onChange();
  }

  async #before(cursor, entries) {
    const page = await api.messages(this.id, { before: cursor, limit: PAGE });
    entries.unshift(...page.entries.toSorted((a, b) => a.seq - b.seq));
    return page.next;
  }

  // Reads the page before those that were read.
  async readOlder() {
    if (this.#next === null) return;
    const entries = [];
    const cursor = this.#next;
    const next = await this.#before(cursor, entries);
    if (this.isClosed || this.#next !== cursor) return;
    this.#entries = [...entries, ...this.#entries];
    this.#next = next;
    this.onChange();
  }

  async readUntil(seq) {
    while (!this.isClosed && this.#next !== null && (this.#entries[0]?.seq ?? 0) > seq) await this.readOlder();
  }

  // What the user does

  // Sends a question; with `after`, the position before it, in place of the one that stands there.
  async send(question, after) {
    await this.#ask({ question, behind: after ?? this.#entries.at(-1)?.seq ?? -1 }, async () => {
      await this.#begin(await api.send(this.id, question, after));
      await this.#read({ isOther: after !== undefined, until: after });
    });
  }

  // Asks the question again that stands at a position.
  async regenerate(seq) {
    await this.#ask({ behind: seq }, async () => {
      await this.#begin(await api.regenerate(this.id, seq));
      await this.#read({ isOther: true, until: seq });
    });
  }

  async #ask(pending, task) {
    this.#pending = pending;
    this.onChange();
    try {
      await task();
    } catch (error) {
      if (error.status === 409) await this.refresh(); // something has come that was not known here
      throw error;
    } finally {
      this.#pending = null;
      this.onChange();
    }
  }

  // Stops the answer, or the one that is about to begin.
  async stop() {
    const stopped = this.isRunning ? this.#answer : this.#pending;
    if (!stopped || stopped.isStopping) return;
    stopped.isStopping = true;
    this.onChange();
    if (stopped !== this.#answer) return;
    try {
      await api.stop(this.id, stopped.id);
    } catch (error) {
      stopped.isStopping = false;
      this.onChange();
      throw error;
    }
  }

  // Shows the branch that holds another version of what stands at a position.
  async walk(branch, seq) {
    await api.show(this.id, branch);
    await this.#read({ isOther: true, until: await this.before(seq) });
  }

  async rate(seq, rating) {
    await api.annotate(this.id, seq, { rating });
    this.#entries = this.#entries.map((one) =>
      one.seq === seq ? { ...one, annotations: { ...one.annotations, rating } } : one,
    );
    this.onChange();
  }

  // The position before that of a message: -1 for the first one.
  async before(seq) {
    const index = this.#entries.findIndex((one) => one.seq === seq);
    if (index > 0) return this.#entries[index - 1].seq;
    if (this.#next === null) return -1;
    await this.readOlder();
    return this.before(seq);
  }

  has(id) {
    return this.#entries.some((one) => one.id === id);
  }

  // The position of the question that a turn answers.
  questionOf(turn) {
    const end = turn.seq ?? Infinity;
    return this.#entries.findLast((one) => one.seq < end && one.message?.type === "human")?.seq;
  }

  // What others do, and answers. A browser has six connections to a server, for all its tabs: so this is one stream at a
  // time, none where nobody looks.

  async #follow() {
    const { signal } = this.#ending;
    document.addEventListener("visibilitychange", () => document.hidden && this.#turning.abort(), { signal });
    while (!this.isClosed) {
      await seen(signal);
      this.#turning = new AbortController();
      const until = AbortSignal.any([signal, this.#turning.signal]);
      await this.#orGone(() => (this.isRunning ? this.#take(this.#answer, until) : this.#listen(until)));
    }
  }

  async #orGone(task) {
    try {
      await task();
    } catch (error) {
      if (error.status === 404) this.#gone();
      else {
        await quietly(() => Promise.reject(error));
        await pause(REFUSED, this.#ending.signal);
      }
    }
  }

  #gone() {
    if (this.isClosed) return;
    this.close();
    this.onGone();
  }

  async #listen(signal) {
    const until = this.#entries[0]?.seq;
    if (!this.#isFresh) await this.#read({ isOther: true, until }); // of what nobody looked at, not all is told
    this.#isFresh = false;
    if (this.isRunning) return;
    for await (const { kind } of events(api.chatChangesPath(this.id), signal, { after: this.info.version })) {
      if (kind === "branch" || kind === "reset") await this.#read({ isOther: true, until: this.#entries[0]?.seq });
      else await this.refresh();
    }
  }

  async #begin({ answer }) {
    this.#settle([{ id: answer, stopping: false }]);
    if (this.#pending.isStopping) await this.stop();
  }

  // Turns to an answer that runs; forgets one that has ended and is stored.
  #settle(running) {
    const mine = running.find((one) => one.id === this.#answer?.id);
    if (mine) this.#answer.isStopping ||= mine.stopping;
    else if (running.length && !this.#ended.has(running[0].id)) {
      const { id, stopping } = running[0];
      this.#answer = { id, parts: new Parts(), cursor: undefined, status: null, isStopping: stopping };
      this.#turning.abort();
    } else if (this.#answer && !this.isRunning) this.#answer = null;
  }

  // Takes what comes of an answer, to its end.
  async #take(answer, signal) {
    try {
      for await (const chunk of events(api.answerPath(this.id, answer.id), signal, { after: answer.cursor })) {
        if (chunk.status === null) for (const message of chunk.messages) answer.parts.add(message);
        else Object.assign(answer, { parts: new Parts(chunk.messages), status: chunk.status });
        answer.cursor = chunk.cursor;
        this.onChange();
        if (chunk.status !== null) break;
      }
    } catch (error) {
      if (error.status !== 404) throw error;
      answer.status = "failed"; // there is no such answer any more, or no such chat: the next reading says which
    }
    if (answer.status === null) return;
    this.#ended.add(answer.id);
    await this.#read();
  }
}
