// The global `moot` of a script. A script registers its handlers when it is loaded; then the host calls them, one event
// at a time. Handlers are synchronous. The host creates and discards several instances of a script as it needs them:
// keep lasting state in moot.kv.

declare namespace moot {
  type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

  /** A handler's answer; undefined acts as allow(). */
  interface Verdict { readonly _verdict: unique symbol }

  type Hook = "connect" | "join" | "onSayReceive" | "say" | "leave" | "disconnect";

  /** The event. A field that the script does not read (see declare), or that the hook does not have, is undefined. */
  interface Event {
    readonly hook: Hook | "action";
    readonly room: string;
    readonly tenant: string;
    /** The id of the sending connection, "0" for the system. */
    readonly from: string;
    /** A text, or the parsed value if the message is JSON. */
    readonly message: Json;
    readonly context: string;
    /** At leave roomLeave, destroyed, disconnect, removed or node_lost; at join rejoined, or undefined. */
    readonly cause: string | undefined;
    readonly action: string;
    readonly params: { readonly [name: string]: Json };
    /** The id of the message, for amend; undefined in an ephemeral room. A message that a rule moves to another room gets another id there. */
    readonly messageId: string | undefined;
    /** The id of the message that the event edits; message is its whole new text. undefined: it is a new message. */
    readonly edits: string | undefined;
    /** ms since 1970. */
    readonly sentAt: number;
    /** The number of the message in its room on this node. */
    readonly sequence: number;
    /** The number of members of the room on all nodes. It is not available at say. */
    readonly roomSize: number;
  }

  interface Connection {
    readonly id: string;
    readonly fingerprint: string;
    /** The user that the client's token names, or a rule: see identity. */
    readonly user: string | undefined;
    readonly transport: "websocket" | "socket";
    readonly remoteIP: string;
    readonly tenant: string;
    /** A tag such as en-GB. */
    readonly locale: string | undefined;
    /** ms since 1970. */
    readonly connectedAt: number;
    /** ms since 1970, undefined outside a room. */
    readonly joinedAt: number | undefined;
    /** undefined if the property is not set, or the script does not read it. */
    property(name: string): Json | undefined;
    /** Applied after the whole chain allows; undefined removes the property. Needs properties:NAME. */
    setProperty(name: string, value: Json | undefined): void;
  }

  interface Rewrite {
    message?: Json;
    /** Merged into the payload that clients receive. */
    extra?: { [name: string]: Json };
    /** onSayReceive only: another room, sender, time. */
    room?: string;
    from?: string;
    sentAt?: number;
  }

  /** The entry's config. */
  const config: { readonly [name: string]: Json };

  /** Declares the manifest of the script: see sdk/ABI.md. Call it once, at the top. */
  function declare(what: {
    name?: string;
    version?: string;
    /** The fields that the script sees, such as "message", "id", "properties.role". Default: all but properties. */
    reads?: string[];
    /** The fields of a receiver that the answer of say depends on. The handler is called once per set of their values. */
    vary?: string[];
    pure?: boolean;
    /** The capabilities that the entry must grant, such as "kv", "rate", "emit", "rooms", "sanctions", "members", "identity", "amend", "properties:role". */
    capabilities?: string[];
    /** A JSON Schema of the entry's config. The host checks the config against it, also if the script then fails. */
    config?: object;
    /** Calls the script for events that an earlier entry of the chain has denied, and for no others. Its verdict does not count. */
    denials?: boolean;
    /** The names of the services that the script asks: the entry defines each of them. It needs a handler for "answer". */
    asks?: string[];
  }): void;

  /** Registers a handler for a hook. connection is undefined for a message of the system. */
  function on(hook: "onSayReceive", handler: (event: Event, connection: Connection | undefined) => Verdict | void): void;
  /** Registers a handler that is called for each receiver of a message. */
  function on(hook: "say", handler: (event: Event, receiver: Connection) => Verdict | void): void;
  function on(hook: "connect" | "join" | "leave" | "disconnect", handler: (event: Event, connection: Connection) => Verdict | void): void;

  /** The answer of a service to an ask. */
  interface Answer {
    /** The name of the ask. */
    readonly name: string;
    /** The HTTP status, 200 to 499: a 404 is an answer too. */
    readonly status: number;
    /** The parsed answer; undefined if the service sent no JSON. */
    readonly json: any;
    /** The state of the ask. */
    readonly state: any;
    /** 1 for the first ask about the event, 2 for the second one. */
    readonly number: number;
  }
  /** Registers the handler for answers. The event is the one about which the script asked, and the verdict is for its hook. */
  function on(hook: "answer", handler: (event: Event, answer: Answer, connection: Connection | undefined) => Verdict | void): void;

  type ActionHandler = (event: Event, connection: Connection) => Verdict | void;
  interface ActionSpec {
    description?: string;
    /** Muted clients may not run it: in all rooms, or in the room of its input `room`. */
    speech?: boolean;
    inputs?: { [name: string]: { required?: boolean; description?: string } };
  }
  /** Registers an action that clients run by name. */
  function action(name: string, handler: ActionHandler): void;
  function action(name: string, spec: ActionSpec, handler: ActionHandler): void;

  function allow(): Verdict;
  /** Allows, and no later module is called. */
  function allowEnd(): Verdict;
  /** Refuses. The client receives the reason, and as code of the error a number that the rule defines. */
  function deny(reason?: string, code?: number): Verdict;
  /** Discards the message silently; for onSayReceive and say. */
  function drop(): Verdict;
  /**
   * Keeps the message back until a moderator, who sees the reason, decides; for onSayReceive. It expires after ttl ms, at
   * most 30 days; default: the tenant's.
   */
  function hold(reason?: string, options?: { ttl?: number }): Verdict;
  /**
   * Asks the service with this name, one of asks of declare: the handler for "answer" receives the answer. body is for the service, at most 16 KiB of
   * JSON. state, at most 4 KiB of JSON, comes back with the answer. Do not keep it in global variables: another instance may receive the answer. For connect, join,
   * onSayReceive, actions and, once more, "answer". Effects of this call are discarded; changes in kv stay.
   */
  function ask(name: string, body?: Json, options?: { state?: Json }): Verdict;
  /** Rewrites the message; a string is its new text. For onSayReceive and say. */
  function rewrite(what: string | Rewrite): Verdict;
  /** Answers an action. */
  function reply(fields: { [name: string]: Json }): Verdict;

  /** The rule's own store in its tenant, on all nodes. Needs kv. ttl is in ms; default: no expiry. */
  const kv: {
    get(key: string): string | undefined;
    set(key: string, value: string, ttl?: number): void;
    /** Removes a key; true if it existed. */
    delete(key: string): boolean;
    /** Adds, and returns the sum; an absent number counts as 0. */
    add(key: string, delta?: number, ttl?: number): number;
    /** Sets the value if the current value is old (undefined: absent); true if it did. */
    swap(key: string, old: string | undefined, value: string, ttl?: number): boolean;
  };

  const rate: {
    /** Takes tokens (default 1) from a bucket that holds burst, starts full and gains one token per `per` ms. Returns 0, or the ms until they are available. Needs rate. */
    take(key: string, bucket: { tokens?: number; burst: number; per: number }): number;
  };

  /** Needs rooms. Rooms are created and destroyed after the whole chain allows. */
  const rooms: {
    get(name: string): { room: string; membersCount: number } | undefined;
    create(name: string): void;
    destroy(name: string): void;
  };

  /** Sends a message from the system to a room, to one connection or to all connections of a user, after the whole chain allows; at most 4 in one call. Needs emit. */
  function emit(what: { room: string; message: Json } | { connection: string; message: Json } | { user: string; message: Json }): void;
  /** The user or address, the kind and the rooms of a sanction. rooms is a name in which one * stands for any text; default: all rooms. */
  type Sanctioned = ({ user: string } | { address: string }) & { kind: "mute" | "shadow" | "ban"; rooms?: string };
  /** The rule's own sanctions: see sdk/ABI.md. They apply also if the event is denied. Needs sanctions. */
  const sanctions: {
    /** ttl is in ms; default: no end. The user receives the reason, moderators see the note. */
    set(sanction: Sanctioned & { ttl?: number; reason?: string; note?: string }): void;
    pardon(sanction: Sanctioned): void;
  };

  /** Removes clients, also if the event is denied. The client receives the reason. Needs members. */
  const members: {
    remove(member: { connection: string; room: string; reason?: string }): void;
    close(client: { connection: string; reason?: string }): void;
  };

  /** Needs identity. */
  const identity: {
    /** Names the user of the event's connection, at connect or an action, after the whole chain allows. Throws if the connection has another user, which cannot be changed. */
    setUser(user: string): void;
  };

  /** Retracts and edits messages, also if the event is denied. Needs amend. */
  const amend: {
    retract(message: { room: string; id: string }): void;
    /**
     * Replaces a message that is in the history of its room. Other rules see the new text as an event with edits, and may deny it. A
     * message that a moderator has edited does not change.
     */
    edit(message: { room: string; id: string; message: Json }): void;
  };

  /** Adds to one of the rule's own counters. */
  function count(metric: string, delta?: number): void;
  /** Writes a line to the server's log. */
  function log(...words: unknown[]): void;
  /** A random number from 0 to 1, without 1. */
  function random(): number;
}
