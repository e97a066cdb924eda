import type { Frame } from "./link.js";
import type { Position } from "./types.js";

/** A room that the client is in or joins, and how far it has heard it. */
export class Place {
  /** The client asked to leave it, and has no answer yet. */
  leaving = false;

  constructor(readonly room: string, public since: Position | undefined, readonly presence: boolean) {}

  /**
   * Takes from the answer to a roomAdd where the room is. In the same epoch what it missed before that comes behind the
   * answer; of another one nothing does.
   */
  begin(answer: Frame): void {
    if (typeof answer.epoch === "string" && typeof answer.offset === "number" && this.since?.epoch !== answer.epoch) {
      this.since = { epoch: answer.epoch, offset: answer.offset };
    }
  }

  /** The fields of a roomAdd that goes on where this place has ended. */
  request(): Frame {
    const request: Frame = { room: this.room };
    if (this.since) request.since = { epoch: this.since.epoch, offset: this.since.offset };
    if (this.presence) request.presence = true;
    return request;
  }
}

/** The rooms of a client. */
export class Rooms {
  readonly #joined = new Map<string, Place>();
  readonly #joining = new Map<string, Place>();

  names(): string[] { return [...this.#joined.keys()]; }
  all(): Place[] { return [...this.#joined.values()]; }
  has(room: string): boolean { return this.#joined.has(room); }
  /** Whether the place is still to be joined again after a break. */
  wants(place: Place): boolean { return this.#joined.get(place.room) === place && !place.leaving; }

  /** How far the rooms were heard, those being joined too. */
  positions(): Record<string, Frame> {
    const known = [...this.#joining.values(), ...this.#joined.values()].filter((place) => place.since);
    return Object.fromEntries(known.map(({ room, since }) => [room, { ...since! }]));
  }

  /** A place in a room that is about to be joined. What is heard of it counts from here on. */
  begin(room: string, { since, presence = false }: { since?: Position; presence?: boolean }): Place {
    const place = new Place(room, since, presence);
    this.#joining.set(room, place);
    return place;
  }

  joined(place: Place, answer: Frame = {}): void {
    place.begin(answer);
    this.#joining.delete(place.room);
    if (!this.#joined.has(place.room)) this.#joined.set(place.room, place);
  }

  failed(place: Place): void { this.#joining.delete(place.room); }
  leave(room: string): void { this.#joined.delete(room); }
  leaving(room: string, is: boolean): void {
    const place = this.#joined.get(room);
    if (place) place.leaving = is;
  }

  /** Notes how far the room was heard. False: this message was heard before. */
  heard(frame: Frame): boolean {
    const room = String(frame.room), place = this.#joined.get(room) ?? this.#joining.get(room);
    if (!place || typeof frame.offset !== "number" || typeof frame.epoch !== "string") return true;
    if (place.since?.epoch === frame.epoch && frame.offset <= place.since.offset) return false;
    place.since = { epoch: frame.epoch, offset: frame.offset };
    return true;
  }
}
