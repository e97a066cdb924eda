/** A value as JSON has it. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** A place in what a room has heard. Only rooms that keep history have one. */
export interface Position {
  /** The life of the room's history: offsets of two epochs do not compare. */
  epoch: string;
  /** Counts the room's messages. A rule may hide some, so offsets may skip. */
  offset: number;
}

/** Something said in a room, as the server's rules let this client hear it. */
export interface Message extends Partial<Position> {
  /** What was said: a text, where it came from a client; a rule or the server may say any JSON. */
  message: Json;
  room: string;
  /** The id of the connection that said it; "0" is the server itself. */
  from: string;
  /** ms since 1970, by the server's clock. */
  sentAt: number;
  /** What rules have added, by name. */
  [extra: string]: Json | undefined;
}

/** Who came to a room and who left, gathered over a moment. */
export interface Presence {
  room: string;
  /** Ids of connections. */
  joined: string[];
  left: string[];
  membersCount: number;
}

/** A member of a room. */
export interface Member {
  /** The id of the connection. */
  id: string;
  /** ms since 1970. */
  joinedAt: number;
}

/** A room and a page of its members. */
export interface Room {
  room: string;
  membersCount: number;
  /** By id, at most 1000 (or the limit that was asked for). */
  members: Record<string, Member>;
  /** Where the next page begins; absent on the last. */
  cursor?: string;
}

/** A page of what was said before, oldest first. */
export interface History {
  room: string;
  epoch: string;
  messages: Message[];
  /** What to ask for to get the page before this one; absent where there is none. */
  before?: number;
}

/** This connection, as the server knows it. */
export interface Details {
  id: string;
  fingerprint: string;
  rooms: string[];
  [more: string]: Json | undefined;
}
