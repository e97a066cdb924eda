package cluster

import "context"

// Amendment is a message of a room that retracts or edits an earlier message of the room. It has
// a position of its own.
type Amendment struct {
	// Message is the id of the earlier message: the member "id" of its payload, see
	// wire.PayloadID. It has 1 to 24 characters of A-Z, a-z, 0-9, _ and -.
	Message string

	// At is the offset of the message in History; 0: History does not have it.
	At uint64

	// Retract is true for a retraction, and false for an edit.
	Retract bool

	// Payload is a JSON object with members: for an edit the new version of the message, with the
	// same id; for a retraction the data that members receive. The caller may reuse it after Amend.
	Payload []byte
}

// AmendmentStats counts retractions, or edits, on a node since it started.
type AmendmentStats struct {
	Published uint64
	Refused   uint64 // by the server or a rule, for example because the message is not in history
	Failed    uint64 // because of a fault of the node or of the cluster; the amendment may have been published
}

// Amender is the part of a [Broker] that changes messages.
type Amender interface {
	// Amend publishes an amendment: it calls Handler.Amended on every node with members of the
	// room, in the order of the room's messages.
	//
	// History changes at the same moment: the position of an edited message has the payload of
	// the last edit, and the position of a retracted message has no message. History keeps only the last
	// amendment of each message, at the position of the amendment. Nodes that read missed messages receive
	// the same. The backend does not publish a retracted message again after a failure.
	//
	// Amendments do not count as messages in Retention.Messages, but they count in
	// Retention.Bytes, and a room keeps at most 4*Messages positions.
	//
	// A second retraction of a message changes nothing, and is not published while the backend
	// remembers the first one. Errors: ErrNoMessage for an edit of a message that History does
	// not have; ErrUnavailable; ErrUnknown.
	Amend(ctx context.Context, room RoomID, a Amendment, keep Retention) error
}
