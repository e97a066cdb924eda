import { Asks, type Lost } from "./asks.js";
import { Emitter } from "./emitter.js";
import { ClosedError, LostError, VerbError } from "./errors.js";
import { Link, type Frame } from "./link.js";
import { Rooms, type Place } from "./rooms.js";
import { address, defaultSocket, type SocketConstructor } from "./socket.js";
import type { Details, History, Message, Position, Presence, Room } from "./types.js";

export interface ClientOptions {
  /** A JWT, or what gives one: it is asked before each attempt to connect, so that it may be fresh. */
  token?: string | (() => string | Promise<string>);
  /** The fingerprint that this client shows; without it the server uses the connection's id. */
  sessionID?: string;
  /** The WebSocket to use; without it the environment's own. Node.js before 22 has none: give that of the package ws. */
  socket?: SocketConstructor;
  /** The shortest and the longest time between two attempts, in ms: 500 and 20,000. The time is chosen by chance below a bound that doubles. */
  minDelay?: number;
  maxDelay?: number;
  /** ms in which the server must say something while it owes an answer, else the connection counts as lost: 10,000. */
  answerWithin?: number;
  /** ms between two looks whether the server is there: 20,000. A network that went away says nothing by itself. */
  lookEvery?: number;
}

/** Where a client is: before connect(), at it, there, between two attempts, or at its end. */
export type State = "new" | "connecting" | "connected" | "waiting" | "closed";

/** What a client tells. */
export interface Events {
  /** The state has changed. reason says why, where there is a reason; delay is the ms until the next attempt. */
  state: { state: State; reason?: string; delay?: number };
  /**
   * The client is connected, its rooms are joined again; one whose rules cannot be asked for more than a second is joined
   * later. resumed: it is the same connection as before the break.
   */
  connected: { id: string; resumed: boolean };
  message: Message;
  presence: Presence;
  /**
   * The client may lack messages of this room: they were published while it was away and the server cannot give them all, or
   * the room keeps no history, so that nobody knows, or the server itself has lost them.
   */
  gap: { room: string };
  /** The client could not join the room again after a break. */
  left: { room: string; reason: string };
}

/** ms for which a room may be refused before the client goes on without it, and joins it later. */
const rejoinPatience = 1000;

/**
 * A connection to Moot that comes back by itself.
 *
 * After a break it joins its rooms again, and hears what was said meanwhile as far as the rooms keep history. Where
 * the server keeps sessions it is the same connection again. What was asked and not answered is asked again if asking
 * twice does no harm, and fails with a LostError if it might.
 */
export class Client extends Emitter<Events> {
  readonly #url: URL;
  readonly #options: Required<Omit<ClientOptions, "token" | "sessionID">> & ClientOptions;
  readonly #asks = new Asks();
  readonly #rooms = new Rooms();
  readonly #later = new Set<ReturnType<typeof setTimeout>>();
  #state: State = "new";
  #link: Link | undefined;
  #id = "";
  #session: string | undefined;
  #failures = 0; // in a row
  #retry: ReturnType<typeof setTimeout> | undefined;
  #look: ReturnType<typeof setInterval> | undefined;
  #arrival: { promise: Promise<void>; resolve(): void; reject(err: Error): void } | undefined;

  /** url is ws:, wss:, http: or https:, and /ws where it has no path. It throws a TypeError if it is none. */
  constructor(url: string | URL, options: ClientOptions = {}) {
    super();
    this.#url = address(url);
    this.#options = {
      minDelay: 500, maxDelay: 20_000, answerWithin: 10_000, lookEvery: 20_000, ...options,
      socket: options.socket ?? defaultSocket(),
    };
  }

  /** Where the client is just now. */
  get state(): State { return this.#state; }

  /** The connection's id, "" before there was one. It changes with every connection that is not resumed. */
  get id(): string { return this.#id; }

  /** The rooms this client is in, or joins again after a break. */
  get rooms(): string[] { return this.#rooms.names(); }

  /**
   * Connects, and comes back until close(). Resolves when the client is connected for the first time. Rejects with a
   * ClosedError if the server does not want it, and with the signal's reason if that ends first, which closes it.
   */
  connect({ signal }: { signal?: AbortSignal } = {}): Promise<void> {
    if (this.#arrival) return this.#arrival.promise;
    let resolve!: () => void, reject!: (err: Error) => void;
    const promise = new Promise<void>((yes, no) => { resolve = yes; reject = no; });
    this.#arrival = { promise, resolve, reject };
    const abort = () => { reject(signal!.reason); this.close(); };
    if (signal?.aborted) abort(); else signal?.addEventListener("abort", abort, { once: true });
    void promise.catch(() => {}).finally(() => signal?.removeEventListener("abort", abort));
    this.#look = setInterval(() => this.#link?.request("detailsView").catch(() => {}), this.#options.lookEvery);
    (this.#look as { unref?(): void }).unref?.();
    if (this.#state === "new") void this.#open();
    return promise;
  }

  /**
   * Joins a room. With since the room's messages after that position come first; a client that was in the room before
   * the break asks by itself. With presence it hears who comes and goes, where the room tells. recovered is whether
   * nothing is missing, where since was given.
   */
  async join(room: string, options: { since?: Position; presence?: boolean } = {}): Promise<{ recovered?: boolean }> {
    const place = this.#rooms.begin(room, options);
    try {
      const answer = await this.#ask("roomAdd", () => place.request(), "again");
      this.#rooms.joined(place, answer);
      return typeof answer.recovered === "boolean" ? { recovered: answer.recovered } : {};
    } catch (err) {
      if (alreadyThere(err)) return this.#rooms.joined(place), {};
      this.#rooms.failed(place);
      throw err;
    }
  }

  /** Leaves a room. A rule may forbid it: then the client stays in it. */
  async leave(room: string): Promise<void> {
    this.#rooms.leaving(room, true); // after a break it is not joined again only to be left
    try {
      await this.#ask("roomLeave", () => ({ room }), "gone");
    } catch (err) { // asked again after a break, it may have been done before
      if (!says(err, "connection not in this room") || !this.#rooms.has(room)) {
        this.#rooms.leaving(room, false);
        throw err;
      }
    }
    this.#rooms.leave(room);
  }

  /**
   * Says something in a room the client is in. Resolves when the server has accepted it. It has a key by which the
   * server knows it again: where the connection is resumed after a break it is never said twice. Rejects with a
   * LostError where nobody knows whether it was said: the answer was lost, or the server's nodes lost each other.
   */
  async say(room: string, message: string): Promise<void> {
    const key = crypto.randomUUID();
    try {
      await this.#ask("say", () => ({ room, message, key }), "resumed");
    } catch (err) {
      throw says(err, "outcome unknown") ? new LostError("outcome unknown: it may have been said") : err;
    }
  }

  /** Who is in a room: a page of at most limit members (1000), after cursor. */
  async view(room: string, page: { limit?: number; cursor?: string } = {}): Promise<Room> {
    return (await this.#ask("roomView", () => ({ room, ...page }), "again")).data as unknown as Room;
  }

  /** What was said in a room with history, before an offset (or until now), at most limit messages. */
  async history(room: string, page: { limit?: number; before?: number } = {}): Promise<History> {
    return (await this.#ask("roomHistory", () => ({ room, ...page }), "again")).data as unknown as History;
  }

  /** Runs an action that a rule offers, and gives the fields of its answer. */
  async action(name: string, params: Frame = {}): Promise<Frame> {
    const { context: _, messageId: __, ...reply } = await this.#ask("action", () => ({ params: { ...params, action: name } }), "lost");
    return reply;
  }

  /** What the server knows of this connection. */
  async details(): Promise<Details> {
    return (await this.#ask("detailsView", () => ({}), "again")).data as Details;
  }

  /** Shows the server a new token on the connection there is, before the old one expires. */
  async authenticate(token: string): Promise<void> {
    await this.#ask("auth", () => ({ token }), "again");
  }

  /** Ends the connection for good. What waits for an answer is rejected with a ClosedError. */
  close(): void {
    if (this.#state === "closed") return;
    void this.#link?.request("quit").catch(() => {});
    this.#finish(1000, "closed by the client");
  }

  #ask(event: string, fields: () => Frame, lost: Lost): Promise<Frame> {
    if (this.#state === "closed") return Promise.reject(new ClosedError(1000, "closed by the client"));
    return this.#asks.add({ event, fields, lost }, this.#state === "connected" ? this.#link : undefined);
  }

  async #open(): Promise<void> {
    this.#tell("connecting");
    try {
      const url = await this.#address();
      if (this.#state === "closed") return;
      const link: Link = new Link(new this.#options.socket(url), this.#options.answerWithin, {
        opened: () => void this.#greet(link).catch(() => {}), // a link that is lost says so by ended
        heard: (frame) => this.#hear(frame),
        ended: (code, reason) => link === this.#link && this.#lose(code, reason),
      });
      this.#link = link;
    } catch (err) { // of the token's function, or of a socket that takes no such URL
      this.#lose(1006, String(err));
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

  /** Is the connection of before the break again, or a new one; joins the rooms that it is not in, and asks what waits. */
  async #greet(link: Link): Promise<void> {
    const before = await this.#resume(link);
    const who = before ?? ((await link.request("detailsView")).data as Frame);
    const id = String(who.id), resumed = before !== undefined;
    this.#session = typeof who.session === "string" ? who.session : undefined;
    await Promise.all(this.#rooms.all().map((place) => this.#rejoin(link, place, before?.rooms[place.room])));
    if (link !== this.#link) return;
    this.#id = id;
    this.#failures = 0;
    this.#tell("connected");
    this.emit("connected", { id, resumed });
    this.#arrival?.resolve();
    this.#asks.sendAll(link, resumed);
  }

  /** Asks for the session of before the break. undefined if it is over, or there was none. */
  async #resume(link: Link): Promise<Resumed | undefined> {
    if (this.#session === undefined) return undefined;
    try {
      return (await link.request("resume", { session: this.#session, since: this.#rooms.positions() })).data as unknown as Resumed;
    } catch (err) {
      if (!(err instanceof VerbError)) throw err;
      if (mayPass(err)) return giveUp(link, err);
      this.#session = undefined;
      return undefined;
    }
  }

  /** Joins a room again, unless the resumed connection is in it: then the server has said how it stands there. */
  async #rejoin(link: Link, place: Place, standing: Frame | undefined): Promise<void> {
    if (place.leaving && !standing) return;
    try {
      const answer = standing ?? (await link.request("roomAdd", place.request()));
      const known = place.since !== undefined;
      place.begin(answer);
      // A room without history has no positions: nobody can tell what was said during the break.
      if (known ? answer.recovered === false : answer.epoch === undefined) this.emit("gap", { room: place.room });
    } catch (err) {
      if (!(err instanceof VerbError)) throw err;
      if (alreadyThere(err)) return;
      if (err.retryAfter > rejoinPatience) return this.#rejoinLater(link, place, err.retryAfter);
      if (err.retryAfter > 0) { // more rooms than the server takes at once
        await new Promise((resolve) => setTimeout(resolve, err.retryAfter));
        return link === this.#link ? this.#rejoin(link, place, standing) : undefined;
      }
      if (mayPass(err)) return giveUp(link, err);
      this.#rooms.leave(place.room);
      this.emit("left", { room: place.room, reason: err.message });
    }
  }

  /** Goes on beside everything else: one room whose rules fail does not keep the client from the others. */
  #rejoinLater(link: Link, place: Place, after: number): void {
    if (link !== this.#link) return;
    const timer = setTimeout(() => {
      this.#later.delete(timer);
      if (this.#rooms.wants(place)) this.#rejoin(link, place, undefined).catch(() => {}); // the link has ended: the next one joins
    }, after);
    this.#later.add(timer);
  }

  /** Ends what is to be done on the link that there was. */
  #forget(): void {
    this.#link = undefined;
    this.#later.forEach(clearTimeout);
    this.#later.clear();
  }

  #hear(frame: Frame): void {
    if (frame.context === "user") {
      if (this.#rooms.heard(frame)) this.emit("message", frame as unknown as Message);
    } else if (frame.context === "gap") {
      this.emit("gap", { room: String(frame.room) });
    } else if (frame.context === "presence") {
      this.emit("presence", frame as unknown as Presence);
    }
  }

  #lose(code: number, reason: string): void {
    this.#forget();
    const fresh = code === 3502 && typeof this.#options.token === "function" && this.#failures === 0 && this.#id !== "";
    if (ClosedError.isFinal(code) && !fresh) return this.#finish(code, reason);
    if (this.#state === "closed") return;
    this.#asks.lost();
    const { minDelay, maxDelay } = this.#options;
    const delay = Math.random() * Math.min(maxDelay, minDelay * 2 ** this.#failures++); // so that not all come back at once
    this.#retry = setTimeout(() => void this.#open(), delay);
    this.#tell("waiting", { reason, delay });
  }

  #finish(code: number, reason: string): void {
    clearTimeout(this.#retry);
    clearInterval(this.#look);
    const link = this.#link, err = new ClosedError(code, reason);
    this.#forget();
    link?.end(code, reason);
    this.#asks.fail(err);
    this.#arrival?.reject(err);
    this.#tell("closed", { reason });
  }

  #tell(state: State, more: { reason?: string; delay?: number } = {}): void {
    this.#state = state;
    this.emit("state", { state, ...more });
  }
}

/** What resume answers. */
interface Resumed {
  id: string;
  session: string;
  rooms: Record<string, Frame>;
}

const says = (err: unknown, words: string) => err instanceof VerbError && err.message.startsWith(words);
const alreadyThere = (err: unknown) => says(err, "connection already in this room");

/** Ends a link on which the client cannot be yet where it was, so that it tries again later. */
function giveUp(link: Link, why: VerbError): Promise<never> {
  link.end(1006, `not yet: ${why.message}`);
  return Promise.reject(new LostError());
}

const mayPass = (err: VerbError) =>
  err.retryAfter > 0 || ["session is busy", "cluster unavailable", "outcome unknown"].some((words) => says(err, words));
