/** Tells listeners of events by name. Listeners are called in the order they came. */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<(event: any) => void>>();

  /** Calls listener with each event of that name, until the function that is returned is called. */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    const all = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, all.add(listener));
    return () => void all.delete(listener);
  }

  /** A listener that throws does not keep the others from hearing: its error is reported (on the console, where there is no reportError). */
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
