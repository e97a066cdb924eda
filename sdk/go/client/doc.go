// Package client is a client of Moot: it connects, joins rooms, sends messages, and
// reconnects when the connection breaks. The protocol is described in
// engine/wire/PROTOCOL.md.
//
// Connect returns a Client, which lives until Close. Events are passed to the handlers
// in its Options. Its methods send a request and wait for the answer; while there is no
// connection they wait for the next one.
package client
