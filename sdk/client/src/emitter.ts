/** Passes events to listeners by name, in the order in which the listeners were added. */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<(event: any) => void>>();

  /** Calls listener with each event of that name. The returned function removes the listener. */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    const all = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, all.add(listener));
    return () => void all.delete(listener);
  }

  /** Calls listener with the next event of that name only. The returned function removes the listener. */
  once<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    const off = this.on(name, (event) => { off(); listener(event); });
    return off;
  }

  /** Removes a listener that was given to on. Does nothing if there is no such listener. */
  off<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): void {
    this.#listeners.get(name)?.delete(listener);
  }

  /** Calls the listeners. An error that a listener throws is passed to reportError, or to the console, and the others are still called. */
  protected emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(event);
      } catch (err) {
        (globalThis.reportError ?? console.error)(err);
      }
    }
  }
}
