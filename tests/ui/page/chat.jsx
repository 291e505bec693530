// A page as a user of the AI SDK writes it: the router's routes, and nothing of chatmem's own but "stop".
import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";
import { useState } from "react";
import { createRoot } from "react-dom/client";

const id = new URLSearchParams(location.search).get("chat");
const api = "/api/ai-sdk/chat";

function Part({ part }) {
  if (part.type === "text" || part.type === "reasoning") return <p className={part.type}>{part.text}</p>;
  if (!part.type.startsWith("tool-")) return null;
  return <p className="tool">{`${part.type} ${part.state} ${JSON.stringify(part.input)} ${part.output ?? ""}`}</p>;
}

function Chat({ stored }) {
  const transport = new DefaultChatTransport({ api });
  const { messages, sendMessage, regenerate, status, error } = useChat({ id, messages: stored, resume: true, transport });
  const [text, setText] = useState("");
  const send = (event) => {
    event.preventDefault();
    sendMessage({ text });
    setText("");
  };
  const stop = () => fetch(`/api/chats/${id}/answers/${messages.at(-1).id}/stop`, { method: "POST" });
  return (
    <>
      {messages.map((message) => (
        <article key={message.id} data-role={message.role} data-status={message.metadata?.chatmem?.status ?? ""}>
          {message.parts.map((part, index) => <Part key={index} part={part} />)}
        </article>
      ))}
      <form onSubmit={send}>
        <input aria-label="Message" value={text} onChange={(event) => setText(event.target.value)} />
        <button>Send</button>
      </form>
      <button onClick={stop}>Stop</button>
      <button onClick={() => regenerate()}>Again</button>
      <output>{status}</output>
      <p role="alert">{error?.message}</p>
    </>
  );
}

const response = await fetch(`${api}/${id}/messages`);
createRoot(document.getElementById("root")).render(<Chat stored={response.ok ? await response.json() : []} />);
