/** The server refused a request: by a rule, by a limit, or because the request was not valid. */
export class VerbError extends Error {
  override name = "VerbError";
  constructor(
    /** The reason that the server or the rule gave. */
    message: string,
    /**
     * Milliseconds after which the request may be repeated: the client sent too many requests, or the rules of a room do
     * not answer now. 0: the server gave no time.
     */
    readonly retryAfter = 0,
    /** The number that the rule gave with its denial; rules define their numbers. 0: there is none. */
    readonly code = 0,
  ) {
    super(message);
  }
}

/** The connection broke before the answer came. The server may have carried out the request. */
export class LostError extends Error {
  override name = "LostError";
  constructor(message = "the connection was lost before the answer came: the request may have been carried out") {
    super(message);
  }
}

/** The client is closed for good. */
export class ClosedError extends Error {
  override name = "ClosedError";
  constructor(
    /** The WebSocket close code: 1000 after close() or the server's normal close, 3500 to 3999 if the server refuses the client for good. */
    readonly code: number,
    /** The reason that the server gave; may be "". */
    readonly reason: string,
  ) {
    super(`closed: ${reason || "no reason was given"} (${code})`);
  }

  /** Returns whether the client must not reconnect after this close code. */
  static isFinal(code: number): boolean {
    return code === 1000 || (code >= 3500 && code < 4000);
  }
}

/** The close codes of the server, as ClosedError.code and as code of the event state. PROTOCOL.md describes them. */
export const CloseCode = {
  quit: 1000, lost: 1006, shutdown: 3001, slowReader: 3008, idle: 3009, tryAgain: 3010, tokenUnchecked: 3011, full: 3012, unavailable: 3013,
  denied: 3501, token: 3502, removed: 3503, origin: 3504, tenant: 3505, resumed: 3506, banned: 3507,
} as const;
