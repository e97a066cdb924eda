/** The part of WebSocket that the client uses. Browsers, Node.js 22 and the package ws provide it. */
export interface SocketLike {
  readonly readyState: number;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

/** A class of sockets that connect when they are created. */
export type SocketConstructor = new (url: string) => SocketLike;

/** The readyState of an open socket. */
export const open = 1;

/** Returns the environment's WebSocket. Throws a TypeError if there is none. */
export function defaultSocket(): SocketConstructor {
  const own = (globalThis as { WebSocket?: SocketConstructor }).WebSocket;
  if (!own) throw new TypeError("this environment has no WebSocket: set the option socket, for example to the WebSocket of the package ws");
  return own;
}

/** Returns the URL to connect to: http and https become ws and wss, and an empty path becomes /ws. */
export function address(written: string | URL): URL {
  const url = new URL(written);
  url.protocol = url.protocol.replace(/^http/, "ws");
  if (url.protocol !== "ws:" && url.protocol !== "wss:") throw new TypeError(`"${written}" is not the address of a server: use a URL such as wss://chat.example.com`);
  if (url.pathname === "/") url.pathname = "/ws";
  return url;
}
