// Game is a Moot rule for tic-tac-toe between the members of a room. See README.md. Its state is in moot.kv, so that it
// outlives an instance and is shared by all nodes. A move is one swap: if two moves are concurrent, one is refused.

/// <reference path="../../sdk/script/moot.d.ts" />

type Mark = "X" | "O";
interface Board {
  cells: (Mark | null)[];
  players: { X?: string; O?: string };
  turn: Mark;
  winner: Mark | "draw" | null;
}

moot.declare({ name: "game", version: "1.0.0", reads: ["room", "id", "cause"], capabilities: ["kv", "emit"] });

for (const key of Object.keys(moot.config)) if (key !== "ttl") throw new Error(`unknown setting ${key}: use ttl`);
const ttl = moot.config.ttl ?? 3_600_000; // ms
if (typeof ttl !== "number" || ttl < 1000) throw new Error("ttl must be a number of ms, at least 1000");

const lines = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]];
const key = (room: string) => `board:${room}`;
const empty = (): Board => ({ cells: Array(9).fill(null), players: {}, turn: "X", winner: null });

/** Returns the room of an action. The client must name it, because a rule cannot see the rooms of a connection. */
function roomOf(params: { readonly [name: string]: moot.Json }): string | undefined {
  return typeof params.room === "string" && params.room !== "" ? params.room : undefined;
}

function outcome(cells: (Mark | null)[]): Board["winner"] {
  for (const [a, b, c] of lines) if (cells[a!] && cells[a!] === cells[b!] && cells[a!] === cells[c!]) return cells[a!]!;
  return cells.includes(null) ? null : "draw";
}

/** Makes a move, or returns why it is refused. */
function play(board: Board, player: string, cell: number): string | undefined {
  if (board.winner) return "the game is over: start a new one";
  const { players, turn } = board;
  const other = turn === "X" ? players.O : players.X;
  if (players[turn] === undefined && other !== player) players[turn] = player;
  if (players[turn] !== player) return other === player ? "it is not your turn" : "two others play";
  if (board.cells[cell] !== null) return "the cell is taken";
  board.cells[cell] = turn;
  board.winner = outcome(board.cells);
  board.turn = turn === "X" ? "O" : "X";
  return undefined;
}

/** Stores a board, unless another call has changed it, and announces it in the room. */
function keep(room: string, old: string | undefined, board: Board): moot.Verdict {
  if (!moot.kv.swap(key(room), old, JSON.stringify(board), ttl as number)) return moot.deny("someone was faster: look again");
  moot.emit({ room, message: { game: board as unknown as moot.Json } });
  return moot.reply({ game: board as unknown as moot.Json });
}

const inputs = { room: { required: true, description: "the room whose game it is" } };

moot.action("game.board", { description: "the board of a room's tic-tac-toe", inputs }, (event) => {
  const room = roomOf(event.params);
  if (!room) return moot.deny("room must be a string");
  return moot.reply({ game: JSON.parse(moot.kv.get(key(room)) ?? JSON.stringify(empty())) });
});

moot.action("game.play", {
  description: "puts a mark; the first two who play are the players",
  inputs: { ...inputs, cell: { required: true, description: "0 to 8, row by row" } },
}, (event, connection) => {
  const room = roomOf(event.params), cell = Number(event.params.cell);
  if (!room) return moot.deny("room must be a string");
  if (!Number.isInteger(cell) || cell < 0 || cell > 8) return moot.deny("cell must be a number from 0 to 8");
  const old = moot.kv.get(key(room)), board: Board = old === undefined ? empty() : JSON.parse(old);
  const refusal = play(board, connection.id, cell);
  return refusal === undefined ? keep(room, old, board) : moot.deny(refusal);
});

moot.action("game.new", { description: "clears a board whose game is over, or that the asker plays on", inputs }, (event, connection) => {
  const room = roomOf(event.params);
  if (!room) return moot.deny("room must be a string");
  const old = moot.kv.get(key(room));
  if (old !== undefined) {
    const { winner, players }: Board = JSON.parse(old);
    if (!winner && players.X !== connection.id && players.O !== connection.id) return moot.deny("two others play");
  }
  return keep(room, old, empty());
});
