import { Emitter } from "./emitter.js";
import { ClosedError, LostError, VerbError } from "./errors.js";
import { Link, type Frame } from "./link.js";
import { PendingRequests, type RetryPolicy } from "./pending.js";
import { Rooms, type Membership } from "./rooms.js";
import { address, defaultSocket, type SocketConstructor } from "./socket.js";
import type { Details, HeldMessage, History, Json, Message, Outcome, Position, Presence, ReportOutcome, Room, Sent } from "./types.js";

export interface ClientOptions {
  /** A JSON Web Token, or a function that returns one. The function is called before each attempt to connect. An error is retried. */
  token?: string | (() => string | Promise<string>);
  /** The fingerprint that the client sends; default: the server uses the connection's id. */
  sessionID?: string;
  /** The WebSocket class; default: the environment's. Node.js before 22 has none: pass the one of the package ws. */
  socket?: SocketConstructor;
  /** Bound of the first delay between two attempts to connect, in ms; default 500. It doubles with each failure. The delay is random below it. */
  minDelay?: number;
  /** Largest bound of the delay between two attempts, in ms; default 20,000. */
  maxDelay?: number;
  /** How long the server may send nothing while a request waits for its answer, in ms; then the connection counts as lost. Default 10,000. */
  answerTimeout?: number;
  /** Time between two requests by which the client checks that the server still answers, in ms; default 20,000. */
  pingInterval?: number;
}

/**
 * The state of a client: new (connect was not called), connecting, connected, waiting (for the next attempt), or closed
 * (for good).
 */
export type State = "new" | "connecting" | "connected" | "waiting" | "closed";

/** The events of a client, for Client.on. */
export interface Events {
  /**
   * The state has changed. code and reason: why the client waits or has closed; code is a CloseCode, or 1006 if the connection broke. delay: time until
   * the next attempt, in ms.
   */
  state: { state: State; code?: number; reason?: string; delay?: number };
  /**
   * The client is connected and has joined its rooms again. A room whose rules do not answer for more than a second is
   * joined later. resumed: the connection kept its id, properties and rooms.
   */
  connected: { id: string; resumed: boolean };
  /** A message of a joined room. */
  message: Message;
  /** The new version of a message, with the id of the message. The client may not have received the message before. */
  edited: Message;
  /** The message with this id must no longer be shown. by is absent if its author retracted it. */
  retracted: { id: string; room: string; by?: string };
  /** Members joined or left a room that was joined with presence. */
  presence: Presence;
  /** A report that this client sent with notify was decided. */
  reported: ReportOutcome;
  /**
   * Messages of the room may be missing: after a break, if the client has missed messages that the room's history does not have, or if the server
   * cannot know (rules hide messages of a room without history, or the room is ephemeral), and whenever the server reports that it lost messages.
   */
  gap: { room: string };
  /** A held message of the user was decided. The client said it in a room that it joined with moderation. */
  outcome: Outcome;
  /** The client could not join the room again after a break. */
  left: { room: string; reason: string };
}

/** A room that is refused for longer, in ms, does not delay the other rooms. */
const maxRejoinWait = 1000;

/**
 * A connection to Moot that reconnects until it is closed.
 *
 * After a break the client resumes its session if the server keeps sessions. Otherwise it joins its rooms again, and
 * receives the messages that it missed from rooms with history. Requests without an answer are sent again if repeating
 * them is safe; the others fail with a LostError. Requests wait while there is no connection.
 */
export class Client extends Emitter<Events> {
  readonly #url: URL;
  readonly #options: Required<Omit<ClientOptions, "token" | "sessionID">> & ClientOptions;
  readonly #pending = new PendingRequests();
  readonly #rooms = new Rooms();
  readonly #later = new Set<ReturnType<typeof setTimeout>>();
  #state: State = "new";
  #link: Link | undefined;
  #id = "";
  #session: string | undefined;
  #failures = 0; // consecutive failed attempts
  #retryAfter: number | undefined; // ms; the server's time to connect again after the end of this link
  #retry: ReturnType<typeof setTimeout> | undefined;
  #ping: ReturnType<typeof setInterval> | undefined;
  #firstConnect: { promise: Promise<void>; resolve(): void; reject(err: Error): void } | undefined;

  /** Creates a client that is not connected. url is a ws:, wss:, http: or https: URL; without a path it means /ws. Throws a TypeError for other URLs. */
  constructor(url: string | URL, options: ClientOptions = {}) {
    super();
    this.#url = address(url);
    this.#options = {
      minDelay: 500, maxDelay: 20_000, answerTimeout: 10_000, pingInterval: 20_000, ...options,
      socket: options.socket ?? defaultSocket(),
    };
  }

  /** The current state. */
  get state(): State { return this.#state; }

  /** The id of the connection, or of the last one; "" before the first. Every connection that is not resumed has a new id. */
  get id(): string { return this.#id; }

  /** The names of the rooms that the client is in or joins again after a break. */
  get rooms(): string[] { return this.#rooms.names(); }

  /**
   * Connects, and keeps the client connected until close(). Resolves when the client is connected for the first time.
   * Rejects with a ClosedError if the server refuses the client for good. If signal is aborted first, connect() closes
   * the client and rejects with the signal's reason. Further calls return the same promise.
   */
  connect({ signal }: { signal?: AbortSignal } = {}): Promise<void> {
    if (this.#firstConnect) return this.#firstConnect.promise;
    let resolve!: () => void, reject!: (err: Error) => void;
    const promise = new Promise<void>((yes, no) => { resolve = yes; reject = no; });
    this.#firstConnect = { promise, resolve, reject };
    const abort = () => { reject(signal!.reason); this.close(); };
    if (signal?.aborted) abort(); else signal?.addEventListener("abort", abort, { once: true });
    void promise.catch(() => {}).finally(() => signal?.removeEventListener("abort", abort));
    this.#ping = setInterval(() => this.#link?.request("detailsView").catch(() => {}), this.#options.pingInterval);
    (this.#ping as { unref?(): void }).unref?.();
    if (this.#state === "new") void this.#open();
    return promise;
  }

  /**
   * Joins a room, and joins it again after each break until leave(). Resolves if the client is in the room already.
   * since asks for the room's messages after that position before new ones; after a break the client does so itself.
   * presence asks for presence events, if the room sends them. moderation asks for an outcome event about each message of the
   * client in the room that a rule holds. history asks for that number of the last messages before the join, in a room with
   * history; they are not message events. recovered says whether all messages since `since` follow; undefined without since. If the history cannot be
   * read, rejects with the error of history(), and the client stays in the room.
   */
  async join(room: string, options: { since?: Position; presence?: boolean; moderation?: boolean; history?: number } = {}): Promise<{ recovered?: boolean; history?: History }> {
    const membership = this.#rooms.begin(room, options);
    let joined: Frame = {};
    try {
      const answer = await this.#request("roomAdd", () => membership.request(), "always");
      this.#rooms.joined(membership, answer);
      joined = answer;
    } catch (err) {
      if (!alreadyInRoom(err)) {
        this.#rooms.failed(membership);
        throw err;
      }
      this.#rooms.joined(membership);
    }
    const recovered = options.since && typeof joined.recovered === "boolean" ? { recovered: joined.recovered } : {};
    if (!options.history || typeof joined.offset !== "number") return recovered;
    // Later messages are message events, so the history ends at the position of the join.
    const history = await this.history(room, { limit: options.history, before: joined.offset + 1 }).catch((err) => {
      if (!refusedWith(err, "room keeps no history")) throw err;
    });
    return history ? { ...recovered, history } : recovered;
  }

  /** Leaves a room. If a rule denies it, rejects with a VerbError and the client stays in the room. */
  async leave(room: string): Promise<void> {
    this.#rooms.leaving(room, true); // a break now must not join it again
    try {
      await this.#request("roomLeave", () => ({ room }), "unlessReplaced");
    } catch (err) { // an attempt before a break may have succeeded
      if (!refusedWith(err, "connection not in this room") || !this.#rooms.has(room)) {
        this.#rooms.leaving(room, false);
        throw err;
      }
    }
    this.#rooms.leave(room);
  }

  /**
   * Sends a message to a room that the client is in: a text, or an object or array in a room with json. Resolves with the
   * message's id when the server has accepted it; "" in an ephemeral room, and if a rule holds the message: see send. The request carries a
   * random key: if the connection breaks and is resumed, the request is repeated and the server publishes it once.
   * Rejects with a LostError if the outcome is unknown: the connection was not resumed, or the server lost its cluster.
   */
  async say(room: string, message: string | Json[] | { [name: string]: Json }): Promise<string> {
    return (await this.send(room, message)).id ?? "";
  }

  /** Sends a message like say. The result has the id of a published message, or held if a rule holds the message until a moderator decides about it. */
  async send(room: string, message: string | Json[] | { [name: string]: Json }): Promise<Sent> {
    const key = crypto.randomUUID();
    try {
      const { id, held } = await this.#request("say", () => ({ room, message, key }), "resumed");
      return { ...(typeof id === "string" && { id }), ...(typeof held === "string" && { held }) };
    } catch (err) {
      throw refusedWith(err, "outcome unknown") ? new LostError("outcome unknown: the message may have been published") : err;
    }
  }

  /** Returns a page of the messages of this client or its user that wait for a decision: at most limit (default 50, maximum 100), after cursor. */
  async heldMessages(page: { limit?: number; cursor?: string } = {}): Promise<{ held: HeldMessage[]; cursor?: string }> {
    return (await this.#request("heldView", () => ({ ...page }), "always")).data as unknown as { held: HeldMessage[]; cursor?: string };
  }

  /** Returns a message of this client or its user that a rule holds or has held, with its outcome. */
  async heldMessage(held: string): Promise<HeldMessage> {
    return (await this.#request("heldView", () => ({ held }), "always")).data as unknown as HeldMessage;
  }

  /** Withdraws a held message of this client or its user. Rejects with a VerbError if it was decided before. */
  async withdraw(held: string): Promise<void> {
    await this.#request("heldWithdraw", () => ({ held }), "never");
  }

  /** Replaces the text of a message of this client or its user in a room with history. Rejects with a VerbError if the history does not have it. */
  async edit(room: string, id: string, message: string | Json[] | { [name: string]: Json }): Promise<void> {
    await this.#request("edit", () => ({ room, id, message }), "always");
  }

  /** Takes back a message of this client or its user. */
  async retract(room: string, id: string): Promise<void> {
    await this.#request("retract", () => ({ room, id }), "always");
  }

  /**
   * Reports a message or a user to the moderators. The client must be in the room, or in any room if the target has none. notify asks for the outcome as an event reported.
   * A second report of the same target has no effect.
   */
  async report(target: { room: string; id: string } | { user: string; room?: string }, reason?: string, { notify = false } = {}): Promise<void> {
    await this.#request("report", () => ({ ...target, ...(reason && { reason }), ...(notify && { notify }) }), "always");
  }

  /** Returns a page of the members of a room: at most limit (default and maximum 1000), after cursor. */
  async view(room: string, page: { limit?: number; cursor?: string } = {}): Promise<Room> {
    return (await this.#request("roomView", () => ({ room, ...page }), "always")).data as unknown as Room;
  }

  /** Returns past messages of a room with history: at most limit (default 50, maximum 1000), the latest with an offset below before. */
  async history(room: string, page: { limit?: number; before?: number } = {}): Promise<History> {
    return (await this.#request("roomHistory", () => ({ room, ...page }), "always")).data as unknown as History;
  }

  /** Runs an action of a rule and returns the fields of its answer. Rejects with a LostError if the connection breaks before the answer. */
  async action(name: string, params: Frame = {}): Promise<Frame> {
    const { context: _, messageId: __, ...reply } = await this.#request("action", () => ({ params: { ...params, action: name } }), "never");
    return reply;
  }

  /** Returns what the server knows about this connection. */
  async details(): Promise<Details> {
    return (await this.#request("detailsView", () => ({}), "always")).data as Details;
  }

  /** Renews the token of the connection. Call it before the current token expires; the new token must name the same user. */
  async authenticate(token: string): Promise<void> {
    await this.#request("auth", () => ({ token }), "always");
  }

  /** Ends the connection for good. Requests that wait for an answer are rejected with a ClosedError. */
  close(): void {
    if (this.#state === "closed") return;
    void this.#link?.request("quit").catch(() => {});
    this.#finish(1000, "closed by the client");
  }

  #request(event: string, fields: () => Frame, retry: RetryPolicy): Promise<Frame> {
    if (this.#state === "closed") return Promise.reject(new ClosedError(1000, "closed by the client"));
    return this.#pending.add({ event, fields, retry }, this.#state === "connected" ? this.#link : undefined);
  }

  async #open(): Promise<void> {
    this.#setState("connecting");
    try {
      const url = await this.#address();
      if (this.#state === "closed") return;
      const link: Link = new Link(new this.#options.socket(url), this.#options.answerTimeout, {
        opened: () => void this.#establish(link).catch(() => {}), // if the link is lost, ended is called too
        frame: (frame) => this.#handleFrame(frame),
        ended: (code, reason) => link === this.#link && this.#handleEnd(code, reason),
      });
      this.#link = link;
    } catch (err) { // from the function token or the constructor of the socket
      this.#handleEnd(1006, String(err));
    }
  }

  async #address(): Promise<string> {
    const { token, sessionID } = this.#options;
    const url = new URL(this.#url);
    const given = typeof token === "function" ? await token() : token;
    if (given !== undefined) url.searchParams.set("token", given);
    if (sessionID !== undefined) url.searchParams.set("sessionID", sessionID);
    return url.href;
  }

  /** Resumes the session or takes the identity of a new connection, joins the rooms that it is not in, and sends the waiting requests. */
  async #establish(link: Link): Promise<void> {
    const session = await this.#resume(link);
    const identity = session ?? ((await link.request("detailsView")).data as Frame);
    const id = String(identity.id), resumed = session !== undefined;
    this.#session = typeof identity.session === "string" ? identity.session : undefined;
    await Promise.all(this.#rooms.all().map((membership) => this.#rejoin(link, membership, session?.rooms[membership.room])));
    if (link !== this.#link) return;
    this.#id = id;
    this.#failures = 0;
    this.#setState("connected");
    this.emit("connected", { id, resumed });
    this.#firstConnect?.resolve();
    this.#pending.sendAll(link, resumed);
  }

  /** Resumes the session of the lost connection. Resolves to undefined if it has ended or there was none. */
  async #resume(link: Link): Promise<Resumed | undefined> {
    if (this.#session === undefined) return undefined;
    try {
      return (await link.request("resume", { session: this.#session, since: this.#rooms.positions() })).data as unknown as Resumed;
    } catch (err) {
      if (!(err instanceof VerbError)) throw err;
      if (isTemporary(err)) return retryLater(link, err);
      this.#session = undefined;
      return undefined;
    }
  }

  /** Joins a room again. resumed is the room's state if the resumed connection is in it already; then no request is needed. */
  async #rejoin(link: Link, membership: Membership, resumed: Frame | undefined): Promise<void> {
    if (membership.leaving && !resumed) return;
    try {
      const answer = resumed ?? (await link.request("roomAdd", membership.request()));
      membership.begin(answer);
      if (!answer.recovered) this.emit("gap", { room: membership.room });
    } catch (err) {
      if (!(err instanceof VerbError)) throw err;
      if (alreadyInRoom(err)) return;
      if (err.retryAfter > maxRejoinWait) return this.#rejoinLater(link, membership, err.retryAfter);
      if (err.retryAfter > 0) { // the rate limit: more rooms than the server accepts at once
        await new Promise((resolve) => setTimeout(resolve, err.retryAfter));
        return link === this.#link ? this.#rejoin(link, membership, resumed) : undefined;
      }
      if (isTemporary(err)) return retryLater(link, err);
      this.#rooms.leave(membership.room);
      this.emit("left", { room: membership.room, reason: err.message });
    }
  }

  /** Joins a room in the background, so that a room whose rules fail does not keep the client from the others. */
  #rejoinLater(link: Link, membership: Membership, after: number): void {
    if (link !== this.#link) return;
    const timer = setTimeout(() => {
      this.#later.delete(timer);
      if (this.#rooms.wants(membership)) this.#rejoin(link, membership, undefined).catch(() => {}); // the link has ended: the next one joins
    }, after);
    this.#later.add(timer);
  }

  /** Drops the link and the timers that belong to it. */
  #dropLink(): void {
    this.#link = undefined;
    this.#later.forEach(clearTimeout);
    this.#later.clear();
  }

  #handleFrame(frame: Frame): void {
    if (frame.context === "user") {
      if (!this.#rooms.received(frame)) return;
      const { retracts, edits, ...message } = frame;
      if (retracts !== undefined) {
        const by = typeof frame.retractedBy === "string" ? { by: frame.retractedBy } : {};
        this.emit("retracted", { id: String(retracts), room: String(frame.room), ...by });
      }
      else this.emit(edits === undefined ? "message" : "edited", message as unknown as Message);
    } else if (frame.context === "moderation") {
      const { context: _, ...outcome } = frame;
      if (outcome.held) this.emit("outcome", outcome as unknown as Outcome);
      else this.emit("reported", outcome as unknown as ReportOutcome);
    } else if (frame.context === "gap") {
      this.emit("gap", { room: String(frame.room) });
    } else if (frame.context === "api" && frame.status === "Bye") {
      this.#retryAfter = Number(frame.retryAfter ?? 0);
    } else if (frame.context === "presence") {
      this.emit("presence", frame as unknown as Presence);
    }
  }

  /** Waits for the next attempt to connect after the end of a link, or ends the client if code is final. */
  #handleEnd(code: number, reason: string): void {
    this.#dropLink();
    const stale = code === 3502 && typeof this.#options.token === "function" && this.#failures === 0 && this.#id !== ""; // a new token may be accepted
    if (ClosedError.isFinal(code) && !stale) return this.#finish(code, reason);
    if (this.#state === "closed") return;
    this.#pending.lost();
    const { minDelay, maxDelay } = this.#options;
    // A server that shuts down spreads its clients itself; the random delay spreads those of a server that was lost.
    const delay = this.#retryAfter || Math.random() * Math.min(maxDelay, minDelay * 2 ** this.#failures++);
    this.#retryAfter = undefined;
    this.#retry = setTimeout(() => void this.#open(), delay);
    this.#setState("waiting", { code, reason, delay });
  }

  #finish(code: number, reason: string): void {
    clearTimeout(this.#retry);
    clearInterval(this.#ping);
    const link = this.#link, err = new ClosedError(code, reason);
    this.#dropLink();
    link?.end(code, reason);
    this.#pending.fail(err);
    this.#firstConnect?.reject(err);
    this.#setState("closed", { code, reason });
  }

  #setState(state: State, details: { code?: number; reason?: string; delay?: number } = {}): void {
    this.#state = state;
    this.emit("state", { state, ...details });
  }
}

/** The data of the answer to resume. */
interface Resumed {
  id: string;
  session: string;
  rooms: Record<string, Frame>;
}

const refusedWith = (err: unknown, prefix: string) => err instanceof VerbError && err.message.startsWith(prefix);
const alreadyInRoom = (err: unknown) => refusedWith(err, "connection already in this room");

/** Ends a link on which the session or a room is not available yet, so that the client connects again later. */
function retryLater(link: Link, err: VerbError): Promise<never> {
  link.end(1006, `not available yet: ${err.message}`);
  return Promise.reject(new LostError());
}

/** Returns whether a refusal is temporary. */
const isTemporary = (err: VerbError) =>
  err.retryAfter > 0 || ["session is busy", "cluster unavailable", "outcome unknown"].some((prefix) => refusedWith(err, prefix));
