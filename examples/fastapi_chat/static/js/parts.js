// What the parts of an answer are, as its messages tell, whole ones or chunks: text, thoughts, tools that were called.

export class Parts {
  constructor(messages = []) {
    this.list = [];
    this.messages = new Set();
    for (const message of messages) this.add(message);
  }

  add(message) {
    if (message.type === "tool") return this.#result(message);
    const isNew = !this.messages.has(message.id);
    this.messages.add(message.id);
    const { reasoning_content: thought } = message.additional_kwargs ?? {};
    if (typeof thought === "string") this.#text("thought", thought, isNew);
    const content = typeof message.content === "string" ? [message.content] : (message.content ?? []);
    for (const block of content) this.#block(block, isNew);
    const chunks = message.tool_call_chunks ?? [];
    if (chunks.length) for (const chunk of chunks) this.#callChunk(chunk, message.id);
    else for (const call of message.tool_calls ?? []) this.#call(call);
  }

  get text() {
    return this.list
      .filter((part) => part.kind === "text")
      .map((part) => part.text)
      .join("\n\n");
  }

  #block(block, isNew) {
    if (typeof block === "string") this.#text("text", block, isNew);
    else if (typeof block.text === "string") this.#text("text", block.text, isNew);
    else if (block.type === "reasoning" || block.type === "thinking") {
      this.#text("thought", block.reasoning ?? block.thinking ?? "", isNew);
    } else if (/image|audio|video|file/.test(block.type))
      this.list.push({ kind: "other", text: block.type.replace(/_.*/, "") });
  }

  // Chunks of one message are one text, unless something else came between them.
  #text(kind, text, isNew) {
    if (!text) return;
    const last = this.list.at(-1);
    if (last?.kind === kind && !isNew) last.text += text;
    else this.list.push({ kind, text });
  }

  #call({ id, name, args }) {
    if (this.#called(id)) return;
    this.list.push({ kind: "tool", id, name, input: JSON.stringify(args, null, 2), output: null });
  }

  #callChunk({ id, name, args, index }, message) {
    const slot = `${message} ${index}`;
    const open = this.list.findLast((part) => part.kind === "tool" && part.slot === slot);
    if (open && (!id || id === open.id)) open.input += args ?? "";
    else this.list.push({ kind: "tool", slot, id, name: name ?? "", input: args ?? "", output: null });
  }

  #result({ tool_call_id: id, content, status }) {
    const output = typeof content === "string" ? content : JSON.stringify(content, null, 2);
    const part = this.#called(id);
    if (part) Object.assign(part, { output, failed: status === "error" });
    else this.list.push({ kind: "tool", id, name: "", input: "", output, failed: status === "error" });
  }

  #called(id) {
    return id && this.list.find((part) => part.kind === "tool" && part.id === id);
  }
}
