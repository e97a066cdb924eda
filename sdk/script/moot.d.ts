// What a script of Moot finds as the global moot. A script registers its handlers when it is loaded; from then on it is
// asked, one event at a time, and each handler answers at once. There may be several instances of it, made and thrown
// away as the host likes: what has to last belongs in moot.kv.

declare namespace moot {
  type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

  /** A handler's answer; nothing is allow(). */
  interface Verdict { readonly _verdict: unique symbol }

  type Hook = "connect" | "join" | "onSayReceive" | "say" | "leave" | "disconnect";

  /** What happens. A field that the script does not read (see declare), or that the hook does not have, is undefined. */
  interface Event {
    readonly hook: Hook | "action";
    readonly room: string;
    readonly tenant: string;
    /** The id of the connection that says it, "0" for the system. */
    readonly from: string;
    /** Text, or what JSON holds where the message is JSON. */
    readonly message: Json;
    readonly context: string;
    /** At leave roomLeave, destroyed, disconnect, removed or node_lost; at join rejoined, or undefined. */
    readonly cause: string | undefined;
    readonly action: string;
    readonly params: { readonly [name: string]: Json };
    /** ms since 1970. */
    readonly sentAt: number;
    /** Counts the messages of the room on this node. */
    readonly sequence: number;
    /** Members of the room on all nodes. Not at say. */
    readonly roomSize: number;
  }

  interface Connection {
    readonly id: string;
    readonly fingerprint: string;
    /** Who its token says it is. */
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
    /** undefined where the connection has none, or the script does not read it. */
    property(name: string): Json | undefined;
    /** Once the whole chain allows; undefined removes it. Needs properties:NAME. */
    setProperty(name: string, value: Json | undefined): void;
  }

  interface Rewrite {
    message?: Json;
    /** Merged into the payload that clients get. */
    extra?: { [name: string]: Json };
    /** onSayReceive only: where to say it instead, who says it, when. */
    room?: string;
    from?: string;
    sentAt?: number;
  }

  /** The entry's config. */
  const config: { readonly [name: string]: Json };

  /** What the script says of itself: see Manifest in sdk/ABI.md. Once, at the top. */
  function declare(what: {
    name?: string;
    version?: string;
    /** The fields that it sees, such as "message", "id", "properties.role". Without it: all but properties. */
    reads?: string[];
    /** The fields of a receiver that say's answer depends on: asked once for each set of their values. */
    vary?: string[];
    pure?: boolean;
    /** What its entry must grant, such as "kv", "rate", "emit", "rooms", "properties:role". */
    capabilities?: string[];
  }): void;

  /** Asks the handler at a hook. connection is undefined for a message of the system. */
  function on(hook: "onSayReceive", handler: (event: Event, connection: Connection | undefined) => Verdict | void): void;
  /** Asks the handler for each receiver of a message. */
  function on(hook: "say", handler: (event: Event, receiver: Connection) => Verdict | void): void;
  function on(hook: "connect" | "join" | "leave" | "disconnect", handler: (event: Event, connection: Connection) => Verdict | void): void;

  type ActionHandler = (event: Event, connection: Connection) => Verdict | void;
  interface ActionSpec {
    description?: string;
    inputs?: { [name: string]: { required?: boolean; description?: string } };
  }
  /** Answers an action that clients ask for by name. */
  function action(name: string, handler: ActionHandler): void;
  function action(name: string, spec: ActionSpec, handler: ActionHandler): void;

  function allow(): Verdict;
  /** Allows, and no later module is asked. */
  function allowEnd(): Verdict;
  /** reason is for the client; code is a number of the rule's own. */
  function deny(reason?: string, code?: number): Verdict;
  /** Vanishes without a word. onSayReceive and say. */
  function drop(): Verdict;
  /** A string is the new message. onSayReceive and say. */
  function rewrite(what: string | Rewrite): Verdict;
  /** Answers an action. */
  function reply(fields: { [name: string]: Json }): Verdict;

  /** The rule's own store in its tenant, on all nodes. Needs kv. ttl in ms; without it there is no end. */
  const kv: {
    get(key: string): string | undefined;
    set(key: string, value: string, ttl?: number): void;
    /** Whether it was there. */
    delete(key: string): boolean;
    /** The sum; an absent number is 0. */
    add(key: string, delta?: number, ttl?: number): number;
    /** Sets the value if the key holds old, undefined being absent, and says whether it did. */
    swap(key: string, old: string | undefined, value: string, ttl?: number): boolean;
  };

  const rate: {
    /** Takes tokens (1) from a bucket that holds burst and gains one each per ms. 0, or the ms until they are there. Needs rate. */
    take(key: string, bucket: { tokens?: number; burst: number; per: number }): number;
  };

  /** Needs rooms. What is created or destroyed is once the whole chain allows. */
  const rooms: {
    get(name: string): { room: string; membersCount: number } | undefined;
    create(name: string): void;
    destroy(name: string): void;
  };

  /** A message from the system into a room or to one connection, once the whole chain allows; 4 in one call. Needs emit. */
  function emit(what: { room: string; message: Json } | { connection: string; message: Json }): void;
  /** Adds to a metric of the rule's own. */
  function count(metric: string, delta?: number): void;
  /** A line in the server's log. */
  function log(...words: unknown[]): void;
  /** From 0 to 1, without 1. */
  function random(): number;
}
