package cluster

import "context"

// Amendment is a message of a room that retracts or edits an earlier message of the room. It has
// a position of its own.
type Amendment struct {
	// Message is the id of the earlier message: the member "id" of its payload, see
	// wire.PayloadID. It has 1 to 24 of [A-Za-z0-9_-].
	Message string

	// At is the offset at which History has the message; 0: it is not in History.
	At uint64

	// Retract is true for a retraction, and false for an edit.
	Retract bool

	// Payload of an edit is the new version of the message, with the same id. That of a retraction
	// is data for members. A valid JSON object; the caller may reuse it.
	Payload []byte
}

// Amender is the part of a [Broker] that changes messages.
type Amender interface {
	// Amend publishes an amendment: it calls Handler.Amended on every node with members of the
	// room, in the order of the room's messages.
	//
	// At the same moment History changes: at its position an edited message has the payload of
	// its last edit, and a retracted message is gone. Of the amendments of a message, only the last
	// one is kept, at its own position. Nodes that read missed messages receive them in this form as
	// well. A retracted message is not published again after a failure of the backend.
	//
	// Amendments do not count as messages in Retention.Messages, but they count in
	// Retention.Bytes, and a room keeps at most 4*Messages positions.
	//
	// A second retraction of a message changes nothing, and is not published while the backend
	// remembers the first one. Errors: ErrNoMessage for an edit of a message that History does
	// not have; ErrUnavailable; ErrUnknown.
	Amend(ctx context.Context, room RoomID, a Amendment, keep Retention) error
}
