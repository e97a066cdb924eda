// A connection to Moot that reconnects. This file does not depend on the page.

const minDelay = 500, maxDelay = 15_000; // between attempts to connect, in ms
const answerTimeout = 10_000; // ms; afterwards the connection counts as lost
const pingInterval = 20_000; // ms between requests that check whether the server answers

// Events: "state" {state: connecting|connected|waiting|closed, details, reason, delay}
// and "frame" for each frame that is not a response.
export class Connection extends EventTarget {
  #url;
  #socket = null;
  #pending = new Map(); // messageId -> {resolve, reject, timer}
  #lastID = 0;
  #failures = 0; // consecutive failed attempts
  #timer = 0;

  constructor(url) {
    super();
    this.#url = url;
    setInterval(() => this.id && this.request("detailsView").catch(() => {}), pingInterval);
  }

  id = ""; // of the connection; "" while there is none

  open() {
    clearTimeout(this.#timer);
    const socket = this.#socket = new WebSocket(this.#url);
    this.#setState("connecting");
    socket.onopen = () => this.#identify(socket);
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#handleEnd(socket, code, reason);
  }

  // request sends a verb and resolves to the response. It rejects with the server's error.
  request(event, fields = {}) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return Promise.reject(new Error("not connected"));
    const socket = this.#socket, messageId = ++this.#lastID;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#handleEnd(socket, 0, "the server does not answer"), answerTimeout);
      this.#pending.set(messageId, { resolve, reject, timer });
      socket.send(JSON.stringify({ event, ...fields, messageId }));
    });
  }

  async #identify(socket) {
    const { data } = await this.request("detailsView").catch(() => ({}));
    if (!data || socket !== this.#socket) return;
    this.#failures = 0;
    this.id = data.id;
    this.#setState("connected", { details: data });
  }

  #receive(frame) {
    if (frame.context !== "response") return this.dispatchEvent(new CustomEvent("frame", { detail: frame }));
    const pending = this.#pending.get(frame.messageId);
    if (!pending) return;
    this.#pending.delete(frame.messageId);
    clearTimeout(pending.timer);
    if (frame.error) pending.reject(new Error(String(frame.error).replace(/^Error: /, "")));
    else pending.resolve(frame);
  }

  // handleEnd drops a socket and waits for the next attempt. The codes 1000 and 3500 to
  // 3999 are final: after them it does not reconnect.
  #handleEnd(socket, code, reason) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    this.id = "";
    socket.close();
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(new Error("the connection was lost"));
    }
    this.#pending.clear();
    if (code === 1000 || (code >= 3500 && code < 4000)) return this.#setState("closed", { reason });
    const longest = Math.min(maxDelay, minDelay * 2 ** this.#failures++);
    const delay = longest * (0.5 + Math.random() / 2); // spreads the clients of a restarted server
    this.#timer = setTimeout(() => this.open(), delay);
    this.#setState("waiting", { reason, delay });
  }

  #setState(state, details) {
    this.dispatchEvent(new CustomEvent("state", { detail: { state, ...details } }));
  }
}
