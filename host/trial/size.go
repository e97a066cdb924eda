package trial

import (
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
)

// sizeOf is about how long the line will be, at most; beyond MostOfRecording it may be
// less. It is known before the line is made, so that what is made has room.
func sizeOf(t *host.Trace) int {
	const each = 256 // names of fields, ids, addresses, numbers
	ev, s := t.Event, &t.Said
	n := 2*each + escaped(ev.Message.Text) + escaped(ev.Params) + profileSize(ev.Conn) + variantSize(&s.Variant) + escaped(s.Reply) + escaped(s.Reason)
	for i := range t.Calls {
		n += each + escaped(t.Calls[i].Key) + len(t.Calls[i].Bytes)*4/3
	}
	for i := range t.Lines {
		n += escaped(t.Lines[i].Text)
	}
	for i := range s.Receivers {
		n += each + profileSize(s.Receivers[i].Profile)
	}
	for _, v := range s.Verdicts { // each receiver's answer is spelled out
		n += 24
		if n > MostOfRecording {
			break
		}
		if v >= abi.VerdictVariant {
			n += variantSize(&s.Variants[v-abi.VerdictVariant])
		}
	}
	for i := range s.Effects {
		n += each
		if e := s.Effects[i].Emit; e != nil {
			n += escaped(e.Message.Text)
		}
		if p := s.Effects[i].Property; p != nil {
			n += escaped(p.Value)
		}
	}
	return n
}

func profileSize(p *hook.Profile) (n int) {
	if p == nil {
		return 0
	}
	for i := range p.Properties {
		n += escaped(p.Properties[i].Name) + 8 + escaped(p.Properties[i].Value)
	}
	return n
}

func variantSize(v *host.Variant) int {
	n := escaped(v.Extra)
	if v.Message != nil {
		n += escaped(v.Message.Text)
	}
	return n
}

// escaped is how long UTF-8, be it text or JSON, is at most within encoding/json's, without
// quotes around it.
func escaped[T ~string | ~[]byte](s T) (n int) {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			n += 2
		case c < ' ' || c == '<' || c == '>' || c == '&':
			n += 6
		case c == 0xe2: // U+2028 and U+2029 begin so, and are escaped
			n += 4
		default:
			n++
		}
	}
	return n
}
