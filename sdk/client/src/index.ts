export { Client, type ClientOptions, type Events, type State } from "./client.js";
export { CloseCode, ClosedError, LostError, VerbError } from "./errors.js";
export type { Details, HeldMessage, History, Json, Member, Message, Outcome, Position, Presence, ReportOutcome, Room, Sent } from "./types.js";
export type { SocketConstructor, SocketLike } from "./socket.js";
