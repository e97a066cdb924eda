package trial

import (
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
)

// sizeOf returns an upper bound of the length of a trace's line, before it is encoded. Above MaxRecordingBytes, the
// line may be longer.
func sizeOf(t *host.Trace) int {
	const each = 256 // names of fields, ids, addresses, numbers
	ev, s := t.Event, &t.Answer
	n := 2*each + escaped(ev.Message.Text) + escaped(ev.Params) + profileSize(ev.Conn) + variantSize(&s.Variant) + escaped(s.Reply) + escaped(s.Reason)
	for i := range t.Calls {
		n += each + escaped(t.Calls[i].Key) + len(t.Calls[i].Bytes)*4/3
	}
	for i := range t.Asks {
		n += each + escaped(t.Asks[i].Body) + escaped(t.Asks[i].Answer)
	}
	for i := range t.Lines {
		n += escaped(t.Lines[i].Text)
	}
	for i := range s.Receivers {
		n += each + profileSize(s.Receivers[i].Profile)
	}
	for _, v := range s.Verdicts { // each receiver has an answer of its own in the line
		n += 24
		if n > MaxRecordingBytes {
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
		if m := s.Effects[i].Sanction; m != nil {
			n += escaped(m.Set.User) + escaped(m.Set.Rooms) + escaped(m.Set.Reason) + escaped(m.Set.Note)
		}
		if u := s.Effects[i].Identity; u != nil {
			n += escaped(u.User)
		}
		if m := s.Effects[i].Amend; m != nil {
			n += escaped(m.Room) + escaped(m.Message.Text)
		}
		if r := s.Effects[i].Removal; r != nil {
			n += escaped(r.Connection) + escaped(r.Room) + escaped(r.Reason)
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

// escaped returns the length of UTF-8 text or JSON as encoding/json writes it in a string or value, at most, without
// quotes.
func escaped[T ~string | ~[]byte](s T) (n int) {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			n += 2
		case c < ' ' || c == '<' || c == '>' || c == '&':
			n += 6
		case c == 0xe2: // the first byte of U+2028 and U+2029, which are escaped
			n += 4
		default:
			n++
		}
	}
	return n
}
