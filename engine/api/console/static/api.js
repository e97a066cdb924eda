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
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function ask(method, path, body) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: { Authorization: `Bearer ${key}`, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(60_000),
    });
  } catch {
    throw new Fault(0, "the server cannot be reached");
  }
  const text = await response.text();
  let answer = {};
  try {
    answer = text ? JSON.parse(text) : {};
  } catch {
    throw new Fault(response.status, `the server did not answer in JSON (${response.status})`);
  }
  if (!response.ok) throw new Fault(response.status, answer.error?.message ?? `the server answered ${response.status}`);
  return answer;
}

export const get = (path) => ask("GET", path);

export const at = (...parts) => "/api/" + parts.map(encodeURIComponent).join("/");
