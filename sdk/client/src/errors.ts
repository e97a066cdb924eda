/** The server refused a verb: by a rule, a limit, or because it made no sense. */
export class VerbError extends Error {
  override name = "VerbError";
  constructor(
    /** In the server's words, or those of the rule that refused. */
    message: string,
    /** ms after which it may be tried again, where the server says so: the client was too fast, or the rules of a room cannot be asked now. Else 0. */
    readonly retryAfter = 0,
  ) {
    super(message);
  }
}

/** The connection was lost before the answer came. What was asked may have been done. */
export class LostError extends Error {
  override name = "LostError";
  constructor(message = "the connection was lost before the answer came: it may have been done") {
    super(message);
  }
}

/** No answer came in the time that the caller gave. What was asked may be done yet. */
export class TimeoutError extends Error {
  override name = "TimeoutError";
}

/** The client is closed and does not come back by itself. */
export class ClosedError extends Error {
  override name = "ClosedError";
  constructor(
    /** The close code: 1000 after close(), 3500-3999 where the server wants this client gone. */
    readonly code: number,
    /** In the server's words. */
    readonly reason: string,
  ) {
    super(`closed: ${reason || "no reason was given"} (${code})`);
  }

  /** Whether the code says that coming back makes no sense. */
  static isFinal(code: number): boolean {
    return code === 1000 || (code >= 3500 && code < 4000);
  }
}
