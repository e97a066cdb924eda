import { LostError } from "./errors.js";
import type { Frame, Link } from "./link.js";

/**
 * What becomes of a question whose answer was lost with the connection: it is asked again; asked again on a resumed
 * connection, where the server knows it, else lost; answered by the break itself, unless it was resumed; lost.
 */
export type Lost = "again" | "resumed" | "gone" | "lost";

interface Ask {
  event: string;
  fields: () => Frame;
  lost: Lost;
  sent: boolean;
  resolve(answer: Frame): void;
  reject(err: Error): void;
}

/** The questions that have no answer yet, in the order they were asked. */
export class Asks {
  readonly #open = new Set<Ask>();

  /** Asks over link, or over the next one if there is none. */
  add(question: Pick<Ask, "event" | "fields" | "lost">, link: Link | undefined): Promise<Frame> {
    return new Promise((resolve, reject) => {
      const ask = { ...question, sent: false, resolve, reject };
      this.#open.add(ask);
      if (link) this.#send(ask, link);
    });
  }

  /** Asks over a new link what waits. */
  sendAll(link: Link, resumed: boolean): void {
    for (const ask of this.#open) {
      if (ask.sent && !resumed && ask.lost === "resumed") this.#settle(ask, () => ask.reject(new LostError()));
      else if (ask.sent && !resumed && ask.lost === "gone") this.#settle(ask, () => ask.resolve({}));
      else this.#send(ask, link);
    }
  }

  /** The link was lost: what may not be asked again fails now. */
  lost(): void {
    for (const ask of this.#open) if (ask.sent && ask.lost === "lost") this.#settle(ask, () => ask.reject(new LostError()));
  }

  /** Nothing is asked any more. */
  fail(err: Error): void {
    for (const ask of this.#open) this.#settle(ask, () => ask.reject(err));
  }

  #send(ask: Ask, link: Link): void {
    ask.sent = true;
    link.request(ask.event, ask.fields()).then(
      (answer) => this.#settle(ask, () => ask.resolve(answer)),
      (err) => err instanceof LostError || this.#settle(ask, () => ask.reject(err)), // what is lost waits for the next link
    );
  }

  #settle(ask: Ask, how: () => void): void {
    if (this.#open.delete(ask)) how();
  }
}
