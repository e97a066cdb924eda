/** What the client needs of a WebSocket: the browser's has it, that of Node.js 22, and that of the package ws. */
export interface SocketLike {
  readonly readyState: number;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

/** Makes a socket that connects at once. */
export type SocketConstructor = new (url: string) => SocketLike;

/** readyState of a socket that may send. */
export const open = 1;

/** The environment's own WebSocket, or an error that says what to do without one. */
export function defaultSocket(): SocketConstructor {
  const own = (globalThis as { WebSocket?: SocketConstructor }).WebSocket;
  if (!own) throw new TypeError("there is no WebSocket here: give the option socket, such as WebSocket of the package ws");
  return own;
}

/** The URL to connect to for what the user wrote: ws or wss, and /ws where there is no path. */
export function address(written: string | URL): URL {
  const url = new URL(written);
  url.protocol = url.protocol.replace(/^http/, "ws");
  if (url.protocol !== "ws:" && url.protocol !== "wss:") throw new TypeError(`${written} is not a URL such as wss://chat.example.com`);
  if (url.pathname === "/") url.pathname = "/ws";
  return url;
}
