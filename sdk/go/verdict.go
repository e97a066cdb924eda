package moot

import "time"

// Results of a hook, and kinds of a message.
const (
	allow       = 0
	deny        = 1
	rewritten   = 2
	perReceiver = 3
	allowEnd    = 4
	drop        = 5
	hold        = 6
	ask         = 7
	guestError  = -1

	kindText = 1
	kindJSON = 2
)

// Verdict is a module's answer. The zero Verdict allows. It is small, because at say
// there is one per receiver.
type Verdict struct {
	answer     int32
	code, kind uint32
	text       string // the reason of a denial or a hold, a new message, an action's reply, the body of an ask
	extra      string
	envelope   *envelope // nil: neither rewritten nor held, and no ask
}

// envelope holds the rewritten parts of a message beside its content, the time to live of a hold, or the name and the
// state of an ask.
type envelope struct {
	room, from  string
	ask, state  string
	sentAt, ttl int64 // ms
}

// Allow allows the event; the next module of the chain is called.
func Allow() Verdict { return Verdict{} }

// AllowEnd allows the event, and no later module is called. At say it acts as Allow,
// unless every receiver has it.
func AllowEnd() Verdict { return Verdict{answer: allowEnd} }

// Deny refuses the event. The client receives the reason, at most 1024 bytes.
func Deny(reason string) Verdict { return Verdict{answer: deny, text: reason} }

// Drop discards a message silently: at onSayReceive for all receivers, while the
// sender receives a success; at say for this receiver. At other hooks it is an error.
func Drop() Verdict { return Verdict{answer: drop} }

// Hold keeps a message back at onSayReceive until a moderator releases or rejects it.
// Moderators see the reason, at most 1024 bytes. ttl is the time until the message expires,
// at most 30 days; 0: the tenant's default. A message without an author is denied, and so is
// every message at a host of minor 0. At other hooks a hold is an error.
func Hold(reason string, ttl time.Duration) Verdict {
	v := Verdict{answer: hold, text: reason}
	if ttl > 0 {
		v.envelope = &envelope{ttl: max(1, ttl.Milliseconds())}
	}
	return v
}

// Ask asks an external service: the host sends the question, and calls [Module.OnAnswer] with the
// answer. name is one of the module's Asks; the entry defines its URL. json is the body for the
// service, at most 16 KiB of JSON text; "": none. It is for connect, join, onSayReceive, actions
// and, once more, OnAnswer; at other hooks it is an error. The effects of this call are discarded;
// its changes to KV remain. A host of minor 0 denies the event.
func Ask(name, json string) Verdict {
	return Verdict{answer: ask, text: json, envelope: &envelope{ask: name}}
}

// State adds bytes to an ask, at most 4096. They come back with the answer, which another instance
// may receive.
func (v Verdict) State(s string) Verdict {
	e := v.readdressed()
	e.state = s
	return Verdict{v.answer, v.code, v.kind, v.text, v.extra, e}
}

// Rewrite allows a changed message; the methods of a verdict set the changes. It is
// for onSayReceive and say; at other hooks it is an error.
func Rewrite() Verdict { return Verdict{answer: rewritten} }

// Reply answers an action with a JSON object. The names context, messageId,
// status, error, offset, epoch, room, from and sentAt are reserved.
func Reply(json string) Verdict { return Verdict{text: json} }

// Text makes the verdict a rewrite of the message to this text.
func (v Verdict) Text(s string) Verdict {
	v.answer, v.text, v.kind = rewritten, s, kindText
	return v
}

// JSON makes the verdict a rewrite of the message to this JSON text.
func (v Verdict) JSON(json string) Verdict {
	v.answer, v.text, v.kind = rewritten, json, kindJSON
	return v
}

// Extra makes the verdict a rewrite that adds the members of this JSON object to
// the payload that clients receive. The names context, messageId, status, error,
// offset, epoch, room, from, sentAt and message are reserved.
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

// From makes the verdict a rewrite that sets the sender.
func (v Verdict) From(id string) Verdict {
	e := v.readdressed()
	e.from = id
	return Verdict{rewritten, v.code, v.kind, v.text, v.extra, e}
}

// SentAt makes the verdict a rewrite that sets the time of the message.
func (v Verdict) SentAt(t time.Time) Verdict {
	e := v.readdressed()
	e.sentAt = t.UnixMilli()
	return Verdict{rewritten, v.code, v.kind, v.text, v.extra, e}
}

// readdressed returns a copy of v's envelope, so that no two verdicts share one.
func (v Verdict) readdressed() *envelope {
	if v.envelope == nil {
		return new(envelope)
	}
	e := *v.envelope
	return &e
}

// Code adds a number that the module defines to a denial: the client receives it as
// code of the error. 0 is none.
func (v Verdict) Code(n uint32) Verdict { v.code = n; return v }
