// Package client is a client of Moot: it connects, joins rooms, says things, and comes
// back by itself when the connection breaks. engine/wire/PROTOCOL.md is what it speaks.
//
// A Client is made by Connect, and lives until Close. What happens is told to the
// handlers in its Options; its methods ask the server and wait for the answer, or for a
// connection if there is none just now.
package client
