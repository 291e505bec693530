// A page as a user of AG-UI writes it: a run without messages shows the chat and follows the answer that is being written.
import { HttpAgent } from "@ag-ui/client";

const agent = new HttpAgent({ url: "/api/ag-ui", threadId: new URLSearchParams(location.search).get("chat") });
const [main, form, output] = ["main", "form", "output"].map((name) => document.querySelector(name));

function show() {
  main.replaceChildren(
    ...agent.messages.map((message) => {
      const article = document.createElement("article");
      article.dataset.role = message.role;
      const calls = (message.toolCalls ?? []).map((call) => `${call.function.name} ${call.function.arguments}`);
      article.textContent = [message.content, ...calls].filter(Boolean).join(" ");
      return article;
    }),
  );
}

async function run() {
  output.textContent = "running";
  try {
    await agent.runAgent({}, { onMessagesChanged: show, onRunErrorEvent: ({ event }) => void alert(event.code) });
  } finally {
    show();
    output.textContent = "ready";
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const field = form.querySelector("input");
  agent.messages.push({ id: crypto.randomUUID(), role: "user", content: field.value });
  field.value = "";
  run();
});
run();
