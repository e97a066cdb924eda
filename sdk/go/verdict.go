package moot

import "time"

// What a hook returns, and the kinds of a message.
const (
	allow       = 0
	deny        = 1
	rewritten   = 2
	perReceiver = 3
	allowEnd    = 4
	drop        = 5
	guestError  = -1

	kindText = 1
	kindJSON = 2
)

// Verdict is a module's answer. The zero Verdict allows. It is kept small: at say
// there is one for each receiver.
type Verdict struct {
	answer     int32
	code, kind uint32
	text       string // a denial's reason, a new message, an action's reply
	extra      string
	envelope   *envelope // nil: as it was
}

// envelope is what else a message can be rewritten in.
type envelope struct {
	room, from string
	sentAt     int64
}

// Allow lets it happen; the next module of the chain is asked.
func Allow() Verdict { return Verdict{} }

// AllowEnd lets it happen and asks no later module. At say it is Allow, unless
// every receiver has it.
func AllowEnd() Verdict { return Verdict{answer: allowEnd} }

// Deny refuses it and tells the client why, in at most 1024 bytes.
func Deny(reason string) Verdict { return Verdict{answer: deny, text: reason} }

// Drop makes a message vanish: at onSayReceive for all, and the sender hears
// that it was said; at say for the receiver. Elsewhere it is an error.
func Drop() Verdict { return Verdict{answer: drop} }

// Rewrite lets a message go on changed: the methods of a verdict say in what.
// It is for onSayReceive and say; elsewhere it is an error.
func Rewrite() Verdict { return Verdict{answer: rewritten} }

// Reply answers an action with a JSON object. The names context, messageId,
// status, error, offset, epoch, room, from and sentAt are taken.
func Reply(json string) Verdict { return Verdict{text: json} }

// Text makes the verdict a rewrite, and the message this text.
func (v Verdict) Text(s string) Verdict {
	v.answer, v.text, v.kind = rewritten, s, kindText
	return v
}

// JSON makes the verdict a rewrite, and the message this JSON text.
func (v Verdict) JSON(json string) Verdict {
	v.answer, v.text, v.kind = rewritten, json, kindJSON
	return v
}

// Extra makes the verdict a rewrite that adds the members of this JSON object to
// the payload that clients get. The names context, messageId, status, error,
// offset, epoch, room, from, sentAt and message are taken.
func (v Verdict) Extra(json string) Verdict {
	v.answer, v.extra = rewritten, json
	return v
}

// Room makes the verdict a rewrite that moves the message to this room, which
// must exist.
func (v Verdict) Room(name string) Verdict {
	e := v.readdressed()
	e.room = name
	return Verdict{rewritten, v.code, v.kind, v.text, v.extra, e}
}

// From makes the verdict a rewrite that has the message come from this sender.
func (v Verdict) From(id string) Verdict {
	e := v.readdressed()
	e.from = id
	return Verdict{rewritten, v.code, v.kind, v.text, v.extra, e}
}

// SentAt makes the verdict a rewrite in which this is the time of the message.
func (v Verdict) SentAt(t time.Time) Verdict {
	e := v.readdressed()
	e.sentAt = t.UnixMilli()
	return Verdict{rewritten, v.code, v.kind, v.text, v.extra, e}
}

// readdressed is a copy of the envelope: verdicts share none.
func (v Verdict) readdressed() *envelope {
	if v.envelope == nil {
		return new(envelope)
	}
	e := *v.envelope
	return &e
}

// Code gives a denial a number of the module's own; 0 is none.
func (v Verdict) Code(n uint32) Verdict { v.code = n; return v }
