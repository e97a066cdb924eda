/** A JSON value. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** The position of a message in a room. Messages have it in rooms with history. */
export interface Position {
  /** Identifies the order of messages that offset counts. Offsets of different epochs cannot be compared. */
  epoch: string;
  /** The number of the message in its epoch, from 1. Offsets may skip numbers, because rules may hide messages from a client. */
  offset: number;
}

/**
 * A message of a room, in the form that the server's rules chose for this client. It has a position if the room has history. Extra: the fields that
 * the rules of the application add, for example Message<{ color: string }>; the client does not check them.
 */
export type Message<Extra extends object = { [extra: string]: Json | undefined }> = Partial<Position> & Extra & {
  /** Identifies the message, also in history and when it is delivered again; absent in an ephemeral room. */
  id?: string;
  /** The user of the sender's token, in rooms that name users. */
  user?: string;
  /** The id under which a rule had held the message before a moderator released it. */
  held?: string;
  /** A string; any JSON value if a rule or the server sent it, or a client in a room with json. */
  message: Json;
  room: string;
  /** The id of the sender's connection; "0" means the server. */
  from: string;
  /** Milliseconds since 1970 by the server's clock. */
  sentAt: number;
  /** The time of the last edit; absent if the message was not edited. */
  editedAt?: number;
  /** The editor; absent if it was the author. */
  editedBy?: string;
};

/** The result of Client.send. */
export interface Sent {
  /** The id of the message; absent in an ephemeral room, and if the message is held. */
  id?: string;
  /** The id under which a rule holds the message until a moderator decides about it; absent if the message is published. */
  held?: string;
}

/** The state of a held message, or the decision about it. */
export interface Outcome {
  /** The id under which it was held. */
  held: string;
  room: string;
  outcome: "waiting" | "released" | "rejected" | "withdrawn" | "expired";
  /** The reason of the moderator. */
  reason?: string;
  /** The id of the released message. */
  id?: string;
}

/** A message of this client or its user that a rule holds. */
export interface HeldMessage extends Outcome {
  message: Json;
  /** Milliseconds since 1970, like heldAt and until. */
  sentAt: number;
  heldAt: number;
  /** When it expires if nobody decides. */
  until?: number;
}

/** The members that joined and left a room within a short time. */
export interface Presence {
  room: string;
  /** Ids of connections. */
  joined: string[];
  left: string[];
  /** The number of members on all nodes. */
  membersCount: number;
  /** Set in a notice of users, in a room that names users; joined and left of the notice itself are then empty. count is the number of users in the room. */
  users?: { joined: string[]; left: string[]; count: number };
}

/** The outcome of a report of this client. */
export interface ReportOutcome {
  room?: string;
  /** The id of the reported message. */
  id?: string;
  /** The reported user. */
  user?: string;
  outcome: "dismissed" | "retracted" | "sanctioned" | "expired";
  /** The reason of the moderator. */
  reason?: string;
}

/** A member of a room. */
export interface Member {
  /** The id of the connection. */
  id: string;
  /** Milliseconds since 1970. */
  joinedAt: number;
  /** The user of the connection, in rooms that name users. */
  user?: string;
}

/** A room and a page of its members. */
export interface Room {
  room: string;
  membersCount: number;
  /** The members of the page, by id: at most 1000, or the limit of the request. */
  members: Record<string, Member>;
  /** The users of these members, with the number of their connections in the room, in rooms that name users. */
  users?: Record<string, { connections: number }>;
  /** The number of users in the room. */
  usersCount?: number;
  /** The cursor of the next page; absent on the last page. */
  cursor?: string;
}

/** A page of the past messages of a room, oldest first. */
export interface History {
  room: string;
  epoch: string;
  messages: Message[];
  /** The value of before that returns the page with older messages; absent if there are none. */
  before?: number;
}

/** The client's connection as the server knows it. */
export interface Details {
  id: string;
  fingerprint: string;
  rooms: string[];
  [more: string]: Json | undefined;
}
