// What can be done to a chat, from the list or from above it.

import * as chats from "./chats.js";
import { askTitle, confirm } from "./dialogs.js";
import { openMenu } from "./menu.js";
import { notify } from "./notices.js";
import { attempt } from "./tasks.js";

export function chatMenu(button, info) {
  openMenu(button, [
    { label: "Rename", icon: "edit", run: () => rename(info) },
    { label: info.pinned ? "Unpin" : "Pin", icon: "pin", run: () => set(info, { pinned: !info.pinned }) },
    { label: info.archived ? "Move out of the archive" : "Archive", icon: "archive", run: () => archive(info) },
    { label: "Delete", icon: "delete", run: () => remove(info), isDanger: true },
  ]);
}

const set = (info, values) => attempt(() => chats.change(info.session_id, values));

export async function rename(info) {
  const title = await askTitle(info.title ?? "");
  if (title && title !== info.title) await set(info, { title });
}

async function archive(info) {
  const archived = !info.archived;
  if (!(await set(info, { archived }))) return;
  const undo = ["Undo", () => set(info, { archived: !archived })];
  notify(archived ? "The chat is in the archive." : "The chat is back in the list.", { action: undo });
}

export async function remove(info) {
  const isSure = await confirm(
    "Delete this chat?",
    `“${info.title ?? "Untitled"}” and all its messages go. They cannot be brought back.`,
    "Delete",
  );
  if (!isSure) return;
  if (await attempt(() => chats.remove(info.session_id))) notify("The chat is deleted.");
}
