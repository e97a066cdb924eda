// Requests of the page to the server API.

const place = "moot-console-key"; // in sessionStorage

export let key = sessionStorage.getItem(place) ?? "";

export function remember(text) {
  key = text;
  if (text) sessionStorage.setItem(place, text);
  else sessionStorage.removeItem(place);
}

// Fault is an error of the server. Its status is 0 if the server cannot be reached.
export class Fault extends Error {
  constructor(status, message, code = "") {
    super(message);
    this.status = status;
    this.code = code; // for programs
  }
}

const timeout = 60_000; // ms; longer than the server takes for any request

// ask sends a request. accepted are statuses other than those of success whose answer is not a Fault either. If signal aborts the
// request, its promise never settles, because nobody waits for the answer.
export async function ask(method, path, body, { signal, accepted = [] } = {}) {
  const late = AbortSignal.timeout(timeout);
  let response;
  let text;
  try {
    response = await fetch(path, {
      method,
      headers: { Authorization: `Bearer ${key}`, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal ? AbortSignal.any([late, signal]) : late,
    });
    text = await response.text();
  } catch {
    if (signal?.aborted) return new Promise(() => {});
    throw new Fault(0, late.aborted ? `the server did not answer within ${timeout / 1000} s` : "the server cannot be reached");
  }
  let answer = {};
  try {
    answer = text ? JSON.parse(text) : {};
  } catch {
    throw new Fault(response.status, `the server did not answer in JSON (${response.status})`);
  }
  if (!response.ok && !accepted.includes(response.status)) throw new Fault(response.status, answer.error?.message ?? `the server answered ${response.status}`, answer.error?.code);
  return answer;
}

export const get = (path, accepted) => ask("GET", path, undefined, { accepted });

export const at = (...parts) => "/api/" + parts.map(encodeURIComponent).join("/");
