// Runs the front ends' own packages for tests: a job in JSON on each line of the input, its outcome on each line of the output.
import { createInterface } from "node:readline";
import { HttpAgent } from "@ag-ui/client";
import { EventSchemas, MessageSchema, RunAgentInputSchema } from "@ag-ui/core/schemas";

const warnings = []; // the output is for outcomes alone
console.warn = console.info = console.log = (...words) => warnings.push(words.join(" "));

const sdks = new Map();
async function sdk(version) {
  if (!sdks.has(version)) sdks.set(version, await import(version === 7 ? "ai" : `ai${version}`));
  return sdks.get(version);
}

function response(body, headers) {
  return new Response(body, { status: 200, headers });
}

const jobs = {
  // What validateUIMessages makes of messages, and what a model would be sent.
  async validate({ version, messages }) {
    const { validateUIMessages, convertToModelMessages } = await sdk(version);
    const valid = await validateUIMessages({ messages: structuredClone(messages) });
    return { valid, model: await convertToModelMessages(structuredClone(messages)) };
  },

  // What DefaultChatTransport and readUIMessageStream make of the body of a response: each state of the message.
  async read({ version, body, headers, resume, message }) {
    const { DefaultChatTransport, readUIMessageStream } = await sdk(version);
    const requests = [];
    const transport = new DefaultChatTransport({
      api: "http://server/ai-sdk/chat",
      fetch: async (url, init) => {
        requests.push({ url, method: init.method, body: init.body && JSON.parse(init.body) });
        return response(body, headers);
      },
    });
    const messages = [{ id: "q", role: "user", parts: [{ type: "text", text: "?" }] }];
    const stream = resume
      ? await transport.reconnectToStream({ chatId: "c" })
      : await transport.sendMessages({ chatId: "c", messages, trigger: "submit-message" });
    const [chunks, read] = stream.tee();
    const types = [];
    for await (const chunk of chunks) types.push(chunk.type);
    const errors = [];
    const states = [];
    const onError = (error) => errors.push(String(error.message ?? error));
    for await (const state of readUIMessageStream({ stream: read, message, onError })) states.push(state);
    return { types, errors, last: states.at(-1) ?? null, count: states.length, requests };
  },

  // What an HttpAgent makes of the body of a response: its messages, what it was sent, and errors.
  async agent({ body, headers, messages, threadId }) {
    const requests = [];
    const agent = new HttpAgent({
      url: "http://server/ag-ui",
      threadId,
      initialMessages: messages,
      fetch: async (url, init) => {
        requests.push({ url, method: init.method, headers: init.headers, body: JSON.parse(init.body) });
        return response(body, headers);
      },
    });
    const types = [];
    const errors = [];
    const told = {
      onEvent: ({ event }) => void types.push(event.type),
      onRunErrorEvent: ({ event }) => void errors.push(event.message),
    };
    let thrown = null;
    try {
      await agent.runAgent({ runId: "r" }, told);
    } catch (error) {
      thrown = String(error.message ?? error);
    }
    return { types, errors, thrown, messages: agent.messages, requests, warnings: warnings.splice(0) };
  },

  // Whether AG-UI's schemas take messages, events or the input of a run.
  async schemas({ messages = [], events = [], input }) {
    for (const message of messages) MessageSchema.parse(message);
    for (const event of events) EventSchemas.parse(event);
    if (input) RunAgentInputSchema.parse(input);
    return null;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { job, ...given } = JSON.parse(line);
  let outcome;
  try {
    outcome = { value: await jobs[job](given) };
  } catch (error) {
    outcome = { error: String(error.message ?? error) };
  }
  process.stdout.write(JSON.stringify(outcome) + "\n");
}
