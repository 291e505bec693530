// Drives LangChain JS's histories: a request of JSON on a line of stdin, its answer on a line of stdout.
// Its argument is the folder that holds node_modules.
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

const require = createRequire(join(process.argv[2], "package.json"));
const messagesOf = require("@langchain/core/messages");
const fromStored = messagesOf.mapStoredMessagesToChatMessages;
const toStored = messagesOf.mapChatMessagesToStoredMessages;

// Two packages have a class of the same name: over `redis` (now @langchain/redis) and over `ioredis`.
const CLASSES = {
  UpstashRedisChatMessageHistory: () =>
    require("@langchain/community/stores/message/upstash_redis").UpstashRedisChatMessageHistory,
  RedisChatMessageHistory: () => require("@langchain/redis").RedisChatMessageHistory,
  "ioredis.RedisChatMessageHistory": () =>
    require("@langchain/community/stores/message/ioredis").RedisChatMessageHistory,
};

function attributes(history) {
  const plain = Object.entries(history).filter(([, value]) => typeof value !== "object");
  return Object.fromEntries(plain.map(([name, value]) => [name, String(value)]));
}

const OPS = {
  add: (history, messages) => history.addMessages(fromStored(messages)),
  add_user: (history, [text]) => history.addUserMessage(text),
  add_ai: (history, [text]) => history.addAIMessage(text),
  read: async (history) => toStored(await history.getMessages()),
  clear: (history) => history.clear(),
  attributes: async (history) => attributes(history),
};

// Upstash's client has no connection; that of `redis` may not have made its own yet.
async function close(client) {
  if (client.quit && client.isOpen !== false) await client.quit();
}

async function run(request) {
  const history = new (CLASSES[request.class]())(request.options);
  // Unheard, an error event would end the process; the call that it fails rejects as well.
  history.client.on?.("error", () => {});
  try {
    return await OPS[request.op](history, request.messages);
  } finally {
    await close(history.client);
  }
}

async function answer(line) {
  try {
    return { ok: (await run(JSON.parse(line))) ?? null };
  } catch (error) {
    return { error: `${error.constructor.name}: ${error.message}` };
  }
}

console.log = console.error; // stdout is for the answers alone
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(await answer(line)) + "\n");
}
