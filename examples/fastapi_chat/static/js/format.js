// Dates, titles and pieces of text, as people read them.

const DAY = 86_400_000;
// How many characters a title has at most, and a piece before its match and in all
const TITLE = 60;
const BEFORE = 40;
const MOST = 180;

function midnight(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate());
}

// Today 14:05; 3 Nov, 14:05; 3 Nov 2025, 14:05
export function when(date) {
  const now = new Date();
  const time = { hour: "2-digit", minute: "2-digit" };
  if (midnight(date).getTime() === midnight(now).getTime()) return date.toLocaleTimeString([], time);
  const year = date.getFullYear() === now.getFullYear() ? {} : { year: "numeric" };
  return date.toLocaleString([], { month: "short", day: "numeric", ...year, ...time });
}

// The heading under which a chat is listed.
export function period(date) {
  const days = Math.round((midnight(new Date()) - midnight(date)) / DAY);
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days <= 7) return "Previous 7 days";
  if (days <= 30) return "Previous 30 days";
  return date.toLocaleDateString([], { month: "long", year: "numeric" });
}

// A chat's title: how its first message begins, up to a word's end.
export function titleOf(text) {
  const words =
    text
      .replace(/^[ #>]+|```\w*|\*\*/gm, " ")
      .replace(/\s+/g, " ")
      .trim() || "New chat";
  const characters = [...words];
  if (characters.length <= TITLE) return words;
  const short = characters.slice(0, TITLE).join("");
  return `${short.replace(/\s+\S*$/, "") || short}…`;
}

// Cuts a match's text into pieces around the first word that was found: [{text, found}]. Spans count characters, and
// JavaScript's strings count half of some.
export function pieces(text, spans) {
  const characters = [...text];
  let first = Math.max((spans[0]?.[0] ?? 0) - BEFORE, 0);
  while (first > 0 && first < spans[0][0] && /\S/.test(characters[first - 1])) first++; // a word's beginning
  const end = Math.min(first + MOST, characters.length);
  const cut = (from, to) => characters.slice(from, to).join("");
  const made = first ? [{ text: "…" }] : [];
  let at = first;
  for (const [start, stop] of spans) {
    if (start >= end || start < at) continue;
    made.push({ text: cut(at, start) }, { text: cut(start, Math.min(stop, end)), found: true });
    at = Math.min(stop, end);
  }
  made.push({ text: cut(at, end) }, ...(end < characters.length ? [{ text: "…" }] : []));
  return made.filter((one) => one.text);
}

// A random id. `crypto.randomUUID` is only there where the page came with TLS, or from this machine.
export function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
