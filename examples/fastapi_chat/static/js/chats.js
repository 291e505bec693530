// The list of the user's chats: what was read of it, kept up to date by the stream of changes.

import * as api from "./api.js";
import { events } from "./stream.js";
import { quietly } from "./tasks.js";

const PAGE = 40;
const PINNED = 100;

const known = new Map(); // by id: what the server said of a chat
let next = null; // the cursor of the chats behind those that were read
let isArchive = false;
let listener = () => {};

export const onChange = (task) => (listener = task);
export const hasMore = () => next !== null;
export const showsArchive = () => isArchive;
export const get = (id) => known.get(id);

// Returns the chats, the one written last first.
export function list() {
  const wanted = [...known.values()].filter((one) => one.archived === isArchive);
  return wanted.sort((a, b) => date(b) - date(a));
}

export const date = (info) => new Date(info.updated_at ?? info.created_at ?? Date.now());

// Reads the beginning of the list, or of the archived chats.
export async function read(archived = isArchive) {
  const pages = await first(archived);
  isArchive = archived;
  known.clear();
  next = pages[0].next;
  take(pages);
}

function first(archived) {
  const pinned = archived ? { sessions: [] } : api.chats({ limit: PINNED, pinned: true });
  return Promise.all([api.chats({ limit: PAGE, archived }), pinned]);
}

function take(pages) {
  for (const page of pages) for (const info of page.sessions) known.set(info.session_id, info);
  listener();
}

// Reads the beginning of the list again. What was read behind it stays.
async function refresh() {
  const archived = isArchive;
  const pages = await first(archived);
  if (archived !== isArchive) return;
  const oldest = pages[0].next === null ? -Infinity : Math.min(...pages[0].sessions.map(date));
  const there = new Set(pages.flatMap((page) => page.sessions.map((one) => one.session_id)));
  for (const [id, info] of known)
    if (!there.has(id) && info.archived === archived && date(info) >= oldest) known.delete(id);
  take(pages);
}

let isReading = false;
export async function readMore() {
  if (isReading || next === null) return;
  isReading = true;
  try {
    const cursor = next;
    const page = await api.chats({ limit: PAGE, archived: isArchive, before: cursor });
    if (next !== cursor) return; // the other list was read meanwhile
    next = page.next;
    take([page]);
  } finally {
    isReading = false;
  }
}

export function put(info) {
  known.set(info.session_id, info);
  listener();
}

export function drop(id) {
  if (known.delete(id)) listener();
}

export async function change(id, values) {
  put(await api.change(id, values));
}

export async function remove(id) {
  await api.remove(id);
  drop(id);
}

// Follows what happens to the list, here and elsewhere, for as long as the page is there. A browser has six connections
// to a server, for all its tabs: so one tab follows, and tells the others.
export function watch(user) {
  const name = `chats of ${user}`;
  const others = new BroadcastChannel(name);
  let last;
  const take = async (change) => {
    last = change.cursor;
    if (!(await quietly(() => apply(change)))) await catchUp();
  };
  others.onmessage = ({ data }) => take(data);
  const follow = () =>
    quietly(async () => {
      const onOpen = () => quietly(refresh); // something may have come before
      for await (const change of events(api.changesPath, new AbortController().signal, { after: last, onOpen })) {
        others.postMessage(change);
        await take(change);
      }
    });
  if (navigator.locks) navigator.locks.request(name, follow);
  else follow(); // a page that came without TLS has no locks
}

// Reads the list after a change that could not be read, once the server answers again.
async function catchUp() {
  for (let pause = 1000; pause <= 32_000; pause *= 2) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    if (await quietly(refresh)) return;
  }
}

async function apply({ kind, session_id: id }) {
  if (kind === "reset" || !id) await refresh();
  else if (kind === "removed") drop(id);
  else await look(id);
}

async function look(id) {
  try {
    put(await api.chat(id));
  } catch (error) {
    if (error.status !== 404) throw error;
    drop(id);
  }
}
