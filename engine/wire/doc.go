// Package wire turns frames into values and values into frames. It is pure:
// bytes in, bytes out, no sockets, no clock, no state but [Lines]. What it must
// agree with is the wire format of ActionHero v29.3.5 and the socket server
// plugin 3.0.1, except where this text says otherwise.
//
// Words: a request is what a client sent; a response answers it and carries its
// messageId; a payload is a chat message on its way to a client.
package wire
