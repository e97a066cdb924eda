package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"

	"github.com/mootchat/moot/engine/hook"
)

// A message id has 24 characters of idDigits: 12 are random, 6 prove the author's connection
// and 6 prove the author's user, by a keyed digest. Thus every node can check the author of a
// message, even if the room has no history or a rule has changed the sender.

const (
	idDigits  = "0123456789abcdefghijklmnopqrstuv"
	idRandom  = 12
	idProof   = 6
	idLength  = idRandom + 2*idProof
	maxIDSize = 24 // bytes of an id in a request
)

// Kinds of proofs.
const (
	byConnection = 'c'
	byUser       = 'u'
)

// newMessageID returns the id of a new message in a room. author may be nil: the proofs are then random, and no client
// can amend the message.
func (e *Engine) newMessageID(tenant, room string, author *hook.Profile) string {
	var id [idLength]byte
	putDigits(id[:idRandom], rand.Uint64())
	putDigits(id[idRandom:], rand.Uint64())
	if author != nil {
		e.proveAuthor(&id, tenant, room, author)
	}
	return string(id[:])
}

// setMessageID gives a new message the id that it has in the room of the event; "" in an ephemeral room.
func (e *Engine) setMessageID(ev *hook.Event, settings *RoomSettings) {
	ev.MessageID = ""
	if !settings.Retention.Ephemeral {
		ev.MessageID = e.newMessageID(ev.Tenant, ev.Room, ev.Conn)
	}
}

// releasedMessageID returns the id that a held message has in the room in which it is published. It is the id that the message
// got when it was held. If a rule has moved the message since then, or the nodes have another secret, only the first characters
// are the same.
func (e *Engine) releasedMessageID(held, tenant, room string, author *hook.Profile) string {
	if len(held) != idLength { // the message was said in an ephemeral room
		return e.newMessageID(tenant, room, author)
	}
	var id [idLength]byte
	copy(id[:], held)
	e.proveAuthor(&id, tenant, room, author)
	return string(id[:])
}

// proveAuthor writes the proofs of the author into an id.
func (e *Engine) proveAuthor(id *[idLength]byte, tenant, room string, author *hook.Profile) {
	e.prove(id[idRandom:], byConnection, id[:idRandom], tenant, room, author.ID)
	if author.User != "" {
		e.prove(id[idRandom+idProof:], byUser, id[:idRandom], tenant, room, author.User)
	}
}

func putDigits(dst []byte, bits uint64) {
	for i := range dst {
		dst[i] = idDigits[bits&31]
		bits >>= 5
	}
}

// prove writes the proof for the author of a message with these random digits: a connection id or a user.
func (e *Engine) prove(dst []byte, kind byte, random []byte, tenant, room, author string) {
	var space [512]byte
	b := append(append(append(space[:0], e.secret...), kind), random...)
	b = append(append(append(append(b, tenant...), 0), room...), 0)
	sum := sha256.Sum256(append(b, author...))
	putDigits(dst[:idProof], binary.LittleEndian.Uint64(sum[:]))
}

// isAuthor reports whether the connection, or another one of its user, is the author of the message in the room.
func (e *Engine) isAuthor(id, tenant, room string, p *hook.Profile) bool {
	if len(id) != idLength {
		return false
	}
	var proof [idProof]byte
	random, proofs := []byte(id[:idRandom]), id[idRandom:]
	e.prove(proof[:], byConnection, random, tenant, room, p.ID)
	if string(proof[:]) == proofs[:idProof] {
		return true
	}
	e.prove(proof[:], byUser, random, tenant, room, p.User)
	return p.User != "" && string(proof[:]) == proofs[idProof:]
}

// validMessageID reports whether id has the form of a message id of a request.
func validMessageID(id string) bool {
	for _, c := range []byte(id) {
		if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '-' || c == '_') {
			return false
		}
	}
	return id != "" && len(id) <= maxIDSize
}
