import { LostError, VerbError } from "./errors.js";
import { open, type SocketLike } from "./socket.js";
import type { Json } from "./types.js";

/** A JSON object: a frame, or a part of one. */
export type Frame = { [name: string]: Json };

/** Callbacks of a link. */
export interface LinkEvents {
  /** The socket is open. */
  opened(): void;
  /** A frame came that is not a response. */
  frame(frame: Frame): void;
  /** The link has ended. Called once, after the waiting requests were rejected. */
  ended(code: number, reason: string): void;
}

interface Pending {
  resolve(answer: Frame): void;
  reject(err: Error): void;
}

/** One WebSocket connection and the requests that were sent over it. */
export class Link {
  readonly #socket: SocketLike;
  readonly #events: LinkEvents;
  readonly #answerTimeout: number;
  readonly #pending = new Map<number, Pending>();
  #lastID = 0;
  #timer: ReturnType<typeof setTimeout> | undefined; // runs while requests are pending; ends the link
  #ended = false;

  /** answerTimeout is how long the server may send nothing while a request waits for its answer, in ms. */
  constructor(socket: SocketLike, answerTimeout: number, events: LinkEvents) {
    this.#socket = socket;
    this.#events = events;
    this.#answerTimeout = answerTimeout;
    socket.onopen = () => { if (!this.#ended) { this.#stopTimer(); events.opened(); } };
    socket.onmessage = ({ data }: { data: unknown }) => this.#receive(data);
    socket.onerror = () => {}; // onclose follows
    socket.onclose = ({ code, reason }: { code: number; reason: string }) => this.end(code, reason);
    this.#startTimer();
  }

  /** Sends a verb. The promise is rejected with a VerbError or a LostError. */
  request(event: string, fields: Frame = {}): Promise<Frame> {
    if (this.#ended || this.#socket.readyState !== open) return Promise.reject(new LostError());
    const messageId = ++this.#lastID;
    return new Promise((resolve, reject) => {
      this.#pending.set(messageId, { resolve, reject });
      this.#startTimer();
      this.#socket.send(JSON.stringify({ ...fields, event, messageId }));
    });
  }

  /** Closes the socket and rejects the waiting requests with a LostError. */
  end(code: number, reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopTimer();
    if (this.#socket.readyState <= open) this.#socket.close(1000);
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(new LostError());
    this.#events.ended(code, reason);
  }

  /** Ends the link after answerTimeout, unless a frame comes first. Does nothing if the timer runs. */
  #startTimer(): void {
    this.#timer ??= setTimeout(() => this.end(1006, "the server does not answer"), this.#answerTimeout);
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #receive(data: unknown): void {
    if (this.#ended) return;
    this.#stopTimer();
    const frame = parse(data);
    if (!frame) return this.end(1006, "the server sent a frame that is not a JSON object");
    const pending = frame.context === "response" ? this.#pending.get(Number(frame.messageId)) : undefined;
    if (pending) this.#pending.delete(Number(frame.messageId));
    if (this.#pending.size > 0) this.#startTimer();
    if (!pending) return this.#events.frame(frame);
    if (frame.error === undefined) return pending.resolve(frame);
    pending.reject(new VerbError(String(frame.error).replace(/^Error: /, ""), Number(frame.retryAfter ?? 0), Number(frame.code ?? 0)));
  }
}

function parse(data: unknown): Frame | undefined {
  try {
    const frame: unknown = JSON.parse(String(data));
    return typeof frame === "object" && frame !== null && !Array.isArray(frame) ? (frame as Frame) : undefined;
  } catch {
    return undefined;
  }
}
