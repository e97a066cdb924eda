import { LostError } from "./errors.js";
import type { Frame, Link } from "./link.js";

/**
 * The policy for a request that is unanswered when the connection is lost.
 * - always: it is sent again.
 * - resumed: it is sent again on a resumed connection, where the server recognizes its key; else it fails with a LostError.
 * - unlessReplaced: it is sent again on a resumed connection; on a new one, which is in no room, it counts as done.
 * - never: it fails with a LostError.
 */
export type RetryPolicy = "always" | "resumed" | "unlessReplaced" | "never";

interface Request {
  event: string;
  fields: () => Frame; // called for each attempt
  retry: RetryPolicy;
  sent: boolean;
  resolve(answer: Frame): void;
  reject(err: Error): void;
}

/** The requests that wait for an answer, in the order in which they were made. */
export class PendingRequests {
  readonly #requests = new Set<Request>();

  /** Sends a request over link, or over the next link if link is undefined. */
  add(request: Pick<Request, "event" | "fields" | "retry">, link: Link | undefined): Promise<Frame> {
    return new Promise((resolve, reject) => {
      const pending = { ...request, sent: false, resolve, reject };
      this.#requests.add(pending);
      if (link) this.#send(pending, link);
    });
  }

  /** Sends the waiting requests over a new link. resumed: its connection is the same as before. */
  sendAll(link: Link, resumed: boolean): void {
    for (const request of this.#requests) {
      if (request.sent && !resumed && request.retry === "resumed") this.#settle(request, () => request.reject(new LostError()));
      else if (request.sent && !resumed && request.retry === "unlessReplaced") this.#settle(request, () => request.resolve({}));
      else this.#send(request, link);
    }
  }

  /** The link was lost: requests that must not be repeated fail. */
  lost(): void {
    for (const request of this.#requests) {
      if (request.sent && request.retry === "never") this.#settle(request, () => request.reject(new LostError()));
    }
  }

  /** Rejects all requests. */
  fail(err: Error): void {
    for (const request of this.#requests) this.#settle(request, () => request.reject(err));
  }

  #send(request: Request, link: Link): void {
    request.sent = true;
    link.request(request.event, request.fields()).then(
      (answer) => this.#settle(request, () => request.resolve(answer)),
      (err) => err instanceof LostError || this.#settle(request, () => request.reject(err)), // a lost request waits for the next link
    );
  }

  #settle(request: Request, settle: () => void): void {
    if (this.#requests.delete(request)) settle();
  }
}
