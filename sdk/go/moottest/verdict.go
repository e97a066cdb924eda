//go:build !wasm

package moottest

import (
	"encoding/json"
	"slices"
)

// judged returns v, or the failure that the host would report for it.
func judged(hook int, v Verdict) Verdict {
	spoken := hook == 3 || hook == 4
	switch {
	case v.Answer == Drop && !spoken, v.Answer == Rewrite && !spoken && hook != 7:
		return Verdict{Answer: Failed, Reason: string(v.Answer) + " means nothing at " + hooks[hook]}
	case v.Answer == Hold && hook != 3:
		return Verdict{Answer: Failed, Reason: "hold means nothing at " + hooks[hook]}
	case v.Answer == Ask && (hook > 3 && hook != 7):
		return Verdict{Answer: Failed, Reason: "ask means nothing at " + hooks[hook]}
	case v.Kind == 2 && !valid(v.Message):
		return Verdict{Answer: Failed, Reason: "the message is not JSON"}
	}
	for _, o := range []struct{ what, text string }{{"extra", v.Extra}, {"reply", v.Reply}} {
		var members map[string]json.RawMessage
		if o.text == "" {
			continue
		}
		if json.Unmarshal([]byte(o.text), &members) != nil || members == nil {
			return Verdict{Answer: Failed, Reason: o.what + " is not a JSON object"}
		}
		for i, name := range reserved {
			if _, used := members[name]; used && (i < inReply || o.what == "extra") {
				return Verdict{Answer: Failed, Reason: o.what + " uses the reserved name " + name}
			}
		}
	}
	for i, r := range v.Receivers {
		v.Receivers[i] = judged(hook, r)
	}
	return v
}

// Limits of an ask, in bytes.
const (
	maxAskBody = 16 << 10
	maxState   = 4 << 10
)

// judgedAsk returns v, or the failure that the host would report for an ask. It has no effects: the host discards them.
func judgedAsk(v Verdict, asks []string) Verdict {
	switch a := &v.Asked; {
	case !slices.Contains(asks, a.Name):
		return Verdict{Answer: Failed, Reason: "the module does not declare the ask " + a.Name}
	case len(a.Body) > maxAskBody, a.Body != "" && !valid(a.Body):
		return Verdict{Answer: Failed, Reason: "the body of an ask is not JSON, or too long"}
	case len(a.State) > maxState:
		return Verdict{Answer: Failed, Reason: "the state of an ask is too long"}
	}
	return v
}

// reserved names belong to the engine; a reply may use those from inReply on. The host leaves id, user and held
// out of extra, and refuses the others.
var reserved = [...]string{"context", "messageId", "status", "error", "offset", "epoch", "room", "from", "sentAt", "message", "id", "user", "held", "edits", "retracts", "editedAt", "editedBy"}

const inReply = 9

// maxHold is the longest time to live of a hold, in ms.
const maxHold = 30 * 24 * 3600 * 1000

var answers = map[int32]Answer{0: Allow, 1: Deny, 2: Rewrite, 4: AllowEnd, 5: Drop, 6: Hold, 7: Ask}

// decode reads a guest's answer: the number that it returned, the frame's result
// slots and the memory that they point to.
func decode(returned int32, frame, memory []byte) Verdict {
	text := func(b []byte, slot int) string {
		at := le.Uint32(b[slot:])
		return string(memory[at : at+le.Uint32(b[slot+4:])])
	}
	receivers := int(le.Uint32(frame[12:]))
	if returned == 3 {
		verdicts := frame[le.Uint32(frame[28:]):][:receivers]
		return Verdict{Answer: Rewrite, Receivers: each(verdicts, memory[le.Uint32(frame[96:]):], text)}
	}
	answer, ok := answers[returned]
	if !ok {
		return Verdict{Answer: Failed}
	}
	v := Verdict{
		Answer:  answer,
		Code:    le.Uint32(frame[32:]),
		Reason:  text(frame, 36),
		Message: text(frame, 44),
		Kind:    le.Uint32(frame[52:]),
		Extra:   text(frame, 56),
		Room:    text(frame, 64),
		From:    text(frame, 72),
		SentAt:  int64(le.Uint64(frame[80:])),
		Reply:   text(frame, 88),
		TTL:     int64(min(le.Uint64(frame[104:]), maxHold)),
		Asked:   Asked{text(frame, 112), text(frame, 120), text(frame, 128)},
	}
	one := v
	for range receivers {
		v.Receivers = append(v.Receivers, one)
	}
	return v
}

// each returns the verdict of each receiver by its byte.
func each(verdicts, variants []byte, text func([]byte, int) string) []Verdict {
	var list []Verdict
	for _, b := range verdicts {
		switch b {
		case 0:
			list = append(list, Verdict{Answer: Allow})
		case 1:
			list = append(list, Verdict{Answer: Drop})
		default:
			k := variants[20*int(b-2):]
			list = append(list, Verdict{Answer: Rewrite, Message: text(k, 0), Kind: le.Uint32(k[8:]), Extra: text(k, 12)})
		}
	}
	return list
}
