// What the server is asked: JSON, and answers as server-sent events.

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function request(path, { method = "GET", body, signal } = {}) {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  let response;
  try {
    response = await fetch(path, { method, headers, signal, body: JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "The server does not answer. Try again in a moment.");
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  const text = typeof said.detail === "string" ? said.detail : `The server refused this (${response.status}).`;
  throw new Refused(response.status, text);
}

export async function call(path, options) {
  const response = await request(path, options);
  return response.status === 204 ? null : response.json();
}

// Returns an iterator of [event, data]. EventSource would do, could it send a POST.
export async function stream(path, options) {
  return events(await request(path, { method: "POST", ...options }));
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (pending + value).split("\n\n");
    pending = blocks.pop();
    for (const block of blocks) {
      const event = /^event: (.*)$/m.exec(block);
      const data = /^data: (.*)$/m.exec(block);
      if (event && data) yield [event[1], JSON.parse(data[1])]; // else a comment that keeps the connection alive
    }
  }
}
