import { LostError, VerbError } from "./errors.js";
import { open, type SocketLike } from "./socket.js";
import type { Json } from "./types.js";

/** A JSON object, as frames are. */
export type Frame = { [name: string]: Json };

/** What a link tells its owner. */
export interface LinkEvents {
  opened(): void;
  /** A frame that answers nothing. */
  heard(frame: Frame): void;
  /** Once, at the end. What is waiting for answers is told by then. */
  ended(code: number, reason: string): void;
}

interface Waiting {
  resolve(answer: Frame): void;
  reject(err: Error): void;
}

/** One socket from its beginning to its end, and what was asked over it. */
export class Link {
  readonly #socket: SocketLike;
  readonly #events: LinkEvents;
  readonly #answerWithin: number;
  readonly #waiting = new Map<number, Waiting>();
  #lastID = 0;
  #patience: ReturnType<typeof setTimeout> | undefined;
  #over = false;

  /** answerWithin, in ms, is how long the server may be silent while it owes an answer. */
  constructor(socket: SocketLike, answerWithin: number, events: LinkEvents) {
    this.#socket = socket;
    this.#events = events;
    this.#answerWithin = answerWithin;
    socket.onopen = () => { if (!this.#over) { this.#arm(false); events.opened(); } };
    socket.onmessage = ({ data }: { data: unknown }) => this.#hear(data);
    socket.onerror = () => {}; // close says it too
    socket.onclose = ({ code, reason }: { code: number; reason: string }) => this.end(code, reason);
    this.#arm(true);
  }

  /** Sends a verb. The promise is rejected with a VerbError, or a LostError. */
  request(event: string, fields: Frame = {}): Promise<Frame> {
    if (this.#over || this.#socket.readyState !== open) return Promise.reject(new LostError());
    const messageId = ++this.#lastID;
    return new Promise((resolve, reject) => {
      this.#waiting.set(messageId, { resolve, reject });
      this.#arm(true);
      this.#socket.send(JSON.stringify({ ...fields, event, messageId }));
    });
  }

  /** Closes the socket; what waits for an answer hears that it is lost. */
  end(code: number, reason: string): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#patience);
    if (this.#socket.readyState <= open) this.#socket.close(1000);
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(new LostError());
    this.#events.ended(code, reason);
  }

  /** Gives up the socket in answerWithin, unless something is heard until then. */
  #arm(owed: boolean): void {
    if (owed && this.#patience !== undefined) return;
    clearTimeout(this.#patience);
    this.#patience = owed ? setTimeout(() => this.end(1006, "the server does not answer"), this.#answerWithin) : undefined;
  }

  #hear(data: unknown): void {
    if (this.#over) return;
    this.#arm(false);
    const frame = parse(data);
    if (!frame) return this.end(1006, "what the server sent is not understood");
    const waiting = frame.context === "response" ? this.#waiting.get(Number(frame.messageId)) : undefined;
    if (waiting) this.#waiting.delete(Number(frame.messageId));
    if (this.#waiting.size > 0) this.#arm(true);
    if (!waiting) return this.#events.heard(frame);
    if (frame.error === undefined) return waiting.resolve(frame);
    waiting.reject(new VerbError(String(frame.error).replace(/^Error: /, ""), Number(frame.retryAfter ?? 0)));
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
