// A connection to Moot that comes back. It knows the protocol and nothing of the page.

const firstDelay = 500, longestDelay = 15_000; // ms between attempts
const answerWithin = 10_000; // ms, else the connection counts as lost
const lookEvery = 20_000; // ms: a socket whose network went away says nothing by itself

// Events: "state" {state: connecting|connected|waiting|closed, details, reason, delay}
// and "frame" with whatever is no response.
export class Connection extends EventTarget {
  #url;
  #socket = null;
  #waiting = new Map(); // messageId -> {resolve, reject, timer}
  #lastID = 0;
  #failures = 0; // in a row
  #timer = 0;

  constructor(url) {
    super();
    this.#url = url;
    setInterval(() => this.id && this.request("detailsView").catch(() => {}), lookEvery);
  }

  id = ""; // of the connection, while there is one

  open() {
    clearTimeout(this.#timer);
    const socket = this.#socket = new WebSocket(this.#url);
    this.#tell("connecting");
    socket.onopen = () => this.#greet(socket);
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#lose(socket, code, reason);
  }

  // request sends a verb and gives the response, or an error with the server's words.
  request(event, fields = {}) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return Promise.reject(new Error("not connected"));
    const socket = this.#socket, messageId = ++this.#lastID;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#lose(socket, 0, "the server does not answer"), answerWithin);
      this.#waiting.set(messageId, { resolve, reject, timer });
      socket.send(JSON.stringify({ event, ...fields, messageId }));
    });
  }

  async #greet(socket) {
    const { data } = await this.request("detailsView").catch(() => ({}));
    if (!data || socket !== this.#socket) return;
    this.#failures = 0;
    this.id = data.id;
    this.#tell("connected", { details: data });
  }

  #hear(frame) {
    if (frame.context !== "response") return this.dispatchEvent(new CustomEvent("frame", { detail: frame }));
    const waiting = this.#waiting.get(frame.messageId);
    if (!waiting) return;
    this.#waiting.delete(frame.messageId);
    clearTimeout(waiting.timer);
    if (frame.error) waiting.reject(new Error(String(frame.error).replace(/^Error: /, "")));
    else waiting.resolve(frame);
  }

  // lose lets go of a socket. 1000 and 3500-3999 mean: do not come back.
  #lose(socket, code, reason) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    this.id = "";
    socket.close();
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(new Error("the connection was lost"));
    }
    this.#waiting.clear();
    if (code === 1000 || (code >= 3500 && code < 4000)) return this.#tell("closed", { reason });
    const longest = Math.min(longestDelay, firstDelay * 2 ** this.#failures++);
    const delay = longest * (0.5 + Math.random() / 2); // so that not all come back at once
    this.#timer = setTimeout(() => this.open(), delay);
    this.#tell("waiting", { reason, delay });
  }

  #tell(state, more) {
    this.dispatchEvent(new CustomEvent("state", { detail: { state, ...more } }));
  }
}
