// Package wire parses requests and encodes answers and messages. It has no sockets, no
// clock, and no state except [Lines]. The format is that of ActionHero v29.3.5 and its
// socket server plugin 3.0.1, with the additions that PROTOCOL.md describes.
//
// A request is from a client; a response answers it and has its messageId; a payload is a
// chat message for clients.
package wire
