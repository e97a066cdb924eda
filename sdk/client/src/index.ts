export { Client, type ClientOptions, type Events, type State } from "./client.js";
export { CloseCode, ClosedError, LostError, VerbError } from "./errors.js";
export type { Details, History, Json, Member, Message, Position, Presence, Room } from "./types.js";
export type { SocketConstructor, SocketLike } from "./socket.js";
