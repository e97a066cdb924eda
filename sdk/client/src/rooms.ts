import type { Frame } from "./link.js";
import type { Position } from "./types.js";

/** A room that the client is in or is joining, and the position of the last message received. */
export class Membership {
  /** leave() is under way: the room is not joined again after a break. */
  leaving = false;
  #counts = false; // the room has no history: its messages have no positions, and the client counts them
  #counted = 0; // messages without positions since the last request
  #answered: Position | undefined; // the room's position in the last answer

  constructor(readonly room: string, public since: Position | undefined, readonly presence: boolean, readonly moderation = false) {}

  /** Takes the room's position from an answer. In a room with history it is ignored in the epoch of since, because the missed messages follow. */
  begin(answer: Frame): void {
    const at = this.#answered = positionOf(answer);
    if (at && (this.#counts || this.since?.epoch !== at.epoch)) this.since = at;
  }

  /** Notes the position of a message. Returns false for a message that was received before. */
  received(frame: Frame): boolean {
    const at = positionOf(frame);
    if (!at) {
      if (!this.#counts) this.since = this.#answered;
      this.#counts = true;
      this.#counted++;
      return true;
    }
    if (this.since?.epoch === at.epoch && at.offset <= this.since.offset) return false;
    this.since = at;
    return true;
  }

  /** The position of the last message received, for a request; of epoch "" if it is unknown. */
  position(): Frame {
    if (this.since) this.since = { epoch: this.since.epoch, offset: this.since.offset + this.#counted };
    this.#counted = 0;
    return { epoch: "", offset: 0, ...this.since };
  }

  /** The fields of the roomAdd that asks for the messages after the last one received. */
  request(): Frame {
    const request: Frame = { room: this.room, since: this.position(), amendments: true };
    if (this.presence) request.presence = true;
    if (this.moderation) request.moderation = true;
    return request;
  }
}

const positionOf = ({ epoch, offset }: Frame): Position | undefined =>
  typeof epoch === "string" && typeof offset === "number" ? { epoch, offset } : undefined;

/** The memberships of a client. */
export class Rooms {
  readonly #joined = new Map<string, Membership>();
  readonly #joining = new Map<string, Membership>();

  names(): string[] { return [...this.#joined.keys()]; }
  all(): Membership[] { return [...this.#joined.values()]; }
  has(room: string): boolean { return this.#joined.has(room); }
  /** Returns whether the client must still join the room again after a break. */
  wants(membership: Membership): boolean { return this.#joined.get(membership.room) === membership && !membership.leaving; }

  /** The position of the last message received in each room, including rooms that are being joined. */
  positions(): Record<string, Frame> {
    return Object.fromEntries([...this.#joining.values(), ...this.#joined.values()].map((membership) => [membership.room, membership.position()]));
  }

  /** Creates the membership for a call of join(). Positions of messages are noted from here on. */
  begin(room: string, { since, presence = false, moderation = false }: { since?: Position; presence?: boolean; moderation?: boolean }): Membership {
    const membership = new Membership(room, since, presence, moderation);
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
    return membership?.received(frame) ?? true;
  }
}
