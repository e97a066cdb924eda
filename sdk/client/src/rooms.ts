import type { Frame } from "./link.js";
import type { Position } from "./types.js";

/** A room that the client is in or is joining, and the position of the last message received. */
export class Membership {
  /** leave() is under way: the room is not joined again after a break. */
  leaving = false;

  constructor(readonly room: string, public since: Position | undefined, readonly presence: boolean) {}

  /** Takes the room's position from the answer to roomAdd. It is ignored in the epoch of since, because the missed messages follow. */
  begin(answer: Frame): void {
    if (typeof answer.epoch === "string" && typeof answer.offset === "number" && this.since?.epoch !== answer.epoch) {
      this.since = { epoch: answer.epoch, offset: answer.offset };
    }
  }

  /** The fields of the roomAdd that asks for the messages after the last one received. */
  request(): Frame {
    const request: Frame = { room: this.room };
    if (this.since) request.since = { epoch: this.since.epoch, offset: this.since.offset };
    if (this.presence) request.presence = true;
    return request;
  }
}

/** The memberships of a client. */
export class Rooms {
  readonly #joined = new Map<string, Membership>();
  readonly #joining = new Map<string, Membership>();

  names(): string[] { return [...this.#joined.keys()]; }
  all(): Membership[] { return [...this.#joined.values()]; }
  has(room: string): boolean { return this.#joined.has(room); }
  /** Returns whether the client must still join the room again after a break. */
  wants(membership: Membership): boolean { return this.#joined.get(membership.room) === membership && !membership.leaving; }

  /** The position of the last message received in each room with history, including rooms that are being joined. */
  positions(): Record<string, Frame> {
    const known = [...this.#joining.values(), ...this.#joined.values()].filter((membership) => membership.since);
    return Object.fromEntries(known.map(({ room, since }) => [room, { ...since! }]));
  }

  /** Creates the membership for a call of join(). Positions of messages are noted from here on. */
  begin(room: string, { since, presence = false }: { since?: Position; presence?: boolean }): Membership {
    const membership = new Membership(room, since, presence);
    this.#joining.set(room, membership);
    return membership;
  }

  joined(membership: Membership, answer: Frame = {}): void {
    membership.begin(answer);
    this.#joining.delete(membership.room);
    if (!this.#joined.has(membership.room)) this.#joined.set(membership.room, membership);
  }

  failed(membership: Membership): void { this.#joining.delete(membership.room); }
  leave(room: string): void { this.#joined.delete(room); }
  leaving(room: string, is: boolean): void {
    const membership = this.#joined.get(room);
    if (membership) membership.leaving = is;
  }

  /** Notes the position of a message. Returns false for a message that was received before. */
  received(frame: Frame): boolean {
    const room = String(frame.room), membership = this.#joined.get(room) ?? this.#joining.get(room);
    if (!membership || typeof frame.offset !== "number" || typeof frame.epoch !== "string") return true;
    if (membership.since?.epoch === frame.epoch && frame.offset <= membership.since.offset) return false;
    membership.since = { epoch: frame.epoch, offset: frame.offset };
    return true;
  }
}
