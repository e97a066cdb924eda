package vectors_test

import (
	"encoding/hex"

	"github.com/mootchat/moot/host/abi"
)

// result is a golden answer: the event, the verdict, and one encoding of it.
type result struct {
	Name    string  `json:"name"`
	Hook    string  `json:"hook"`
	Frame   string  `json:"frame"`   // hex: the frame without results
	Verdict verdict `json:"verdict"` // the meaning of the answer
	// Receivers are the verdicts for the receivers of a say. Each is Verdict, unless Returns
	// is 3.
	Receivers []verdict `json:"receivers,omitempty"`
	Returns   int       `json:"returns"`
	FrameAt   int       `json:"frameAt"` // address of the frame in Memory
	Memory    string    `json:"memory"`  // hex: the guest's memory from address 0 on, after the call
}

// verdict is an answer by name; missing fields are not set.
type verdict struct {
	Answer  string  `json:"answer"` // allow, allowEnd, deny, drop, rewrite, hold, ask
	Code    uint32  `json:"code,omitempty"`
	Reason  string  `json:"reason,omitempty"`
	Message *string `json:"message,omitempty"` // null: not rewritten
	Kind    uint32  `json:"kind,omitempty"`    // of the message
	Extra   string  `json:"extra,omitempty"`
	Room    string  `json:"room,omitempty"`
	From    string  `json:"from,omitempty"`
	SentAt  uint64  `json:"sentAt,omitempty"`
	Reply   string  `json:"reply,omitempty"`
	TTL     uint64  `json:"ttl,omitempty"` // ms, of a hold
	Ask     string  `json:"ask,omitempty"` // the name of an ask
	Body    string  `json:"body,omitempty"`
	State   string  `json:"state,omitempty"`
}

func text(s string) verdict { return verdict{Answer: "rewrite", Message: &s, Kind: abi.KindText} }
func js(s string) verdict   { return verdict{Answer: "rewrite", Message: &s, Kind: abi.KindJSON} }

func results() []result {
	all := text("HELLO")
	all.Extra, all.Room, all.From, all.SentAt = `{"shouted":true}`, "otherRoom", "77", noon+1
	greeting := text("Guten Tag, 世界")
	greeting.Extra = `{"translated":"de"}`
	extra := verdict{Answer: "rewrite", Extra: `{"seen":1}`}
	allow, drop := verdict{Answer: "allow"}, verdict{Answer: "drop"}

	list := []result{
		{Name: "allow", Hook: "onSayReceive", Verdict: allow},
		{Name: "allow and end the chain", Hook: "onSayReceive", Verdict: verdict{Answer: "allowEnd"}},
		{Name: "deny", Hook: "join", Verdict: verdict{Answer: "deny", Reason: "members only: grüß Gott"}},
		{Name: "deny with a code", Hook: "onSayReceive", Verdict: verdict{Answer: "deny", Reason: "slow down", Code: 429}},
		{Name: "deny without a reason", Hook: "connect", Verdict: verdict{Answer: "deny"}},
		{Name: "drop", Hook: "onSayReceive", Verdict: drop},
		{Name: "hold", Hook: "onSayReceive", Verdict: verdict{Answer: "hold", Reason: "a link of a new user: grüß Gott", TTL: 86_400_000}},
		{Name: "hold for the time of the tenant, without a reason", Hook: "onSayReceive", Verdict: verdict{Answer: "hold"}},
		{Name: "ask", Hook: "onSayReceive", Verdict: verdict{Answer: "ask", Ask: "one", Body: `{"text":"grüß Gott"}`, State: "a state"}},
		{Name: "ask without a body and a state", Hook: "connect", Verdict: verdict{Answer: "ask", Ask: "two"}},
		{Name: "rewrite the message", Hook: "onSayReceive", Verdict: text("HELLO")},
		{Name: "rewrite the message as JSON", Hook: "onSayReceive", Verdict: js(`{"text":"hello"}`)},
		{Name: "rewrite the message to nothing", Hook: "onSayReceive", Verdict: text("")},
		{Name: "rewrite extra alone", Hook: "onSayReceive", Verdict: extra},
		{Name: "rewrite everything", Hook: "onSayReceive", Verdict: all},
		{Name: "reply", Hook: "action", Verdict: verdict{Answer: "allow", Reply: `{"authorized":true}`}},
		{Name: "no reply", Hook: "action", Verdict: allow},
		{Name: "deny an action", Hook: "action", Verdict: verdict{Answer: "deny", Reason: "unknown token"}},
		{Name: "say: the same to all", Hook: "say", Verdict: greeting, Receivers: []verdict{greeting, greeting, greeting}},
		{Name: "say: to nobody", Hook: "say", Verdict: drop, Receivers: []verdict{drop, drop, drop}},
		{Name: "say: as it is", Hook: "say", Verdict: allow, Receivers: []verdict{allow, allow}},
		{Name: "say: some and not others", Hook: "say", Receivers: []verdict{allow, drop, allow, drop, drop}},
		{Name: "say: variants, one of them shared", Hook: "say", Receivers: []verdict{greeting, allow, js(`[1]`), drop, greeting, extra, text("")}},
	}
	for i := range list {
		list[i].finish()
	}
	return list
}

func (r *result) finish() {
	f := frame{Hook: r.Hook, Event: event{fields{"room": "lobby", "message": "hello"}, noon, 1}}
	switch r.Hook {
	case "say":
		for i := range r.Receivers {
			f.Receivers = append(f.Receivers, connection{Fields: fields{"id": string(rune('a' + i))}})
		}
	case "action":
		f.Event = event{Fields: fields{"action": "login"}}
		fallthrough
	default:
		f.Connection = &connection{Fields: fields{"id": "a"}}
	}
	minor := 0
	if r.Verdict.Answer == "hold" || r.Verdict.Answer == "ask" {
		minor = 1
	}
	f.finish(minor, 0)
	r.Frame = f.Hex
	m := &memory{bytes: f.bytes(0)}
	m.bytes = append(make([]byte, 64), m.bytes...)
	r.FrameAt = 64
	if r.Verdict.Answer == "" {
		r.Verdict.Answer, r.Returns = "perReceiver", abi.PerReceiver
		m.receivers(r.FrameAt, r.Receivers)
	} else {
		r.Returns = returns[r.Verdict.Answer]
		m.results(r.FrameAt, &r.Verdict)
	}
	r.Memory = hex.EncodeToString(m.bytes)
}

var returns = map[string]int{"allow": abi.Allow, "deny": abi.Deny, "rewrite": abi.Rewritten, "allowEnd": abi.AllowEnd, "drop": abi.Drop, "hold": abi.Hold, "ask": abi.Ask}

// memory is a guest's memory; results are appended to it.
type memory struct{ bytes []byte }

// put appends s, and writes its pointer and length at slot.
func (m *memory) put(slot int, s string) {
	if s != "" {
		m.putUint32(slot, uint32(len(m.bytes)))
		m.putUint32(slot+4, uint32(len(s)))
		m.bytes = append(m.bytes, s...)
	}
}

func (m *memory) putUint32(slot int, n uint32) { le.PutUint32(m.bytes[slot:], n) }

func (m *memory) results(at int, v *verdict) {
	m.putUint32(at+abi.ResultCode, v.Code)
	m.put(at+abi.ResultReason, v.Reason)
	m.putUint32(at+abi.ResultMessageKind, v.Kind)
	if v.Message != nil {
		m.put(at+abi.ResultMessage, *v.Message)
	}
	m.put(at+abi.ResultExtra, v.Extra)
	m.put(at+abi.ResultRoom, v.Room)
	m.put(at+abi.ResultFrom, v.From)
	le.PutUint64(m.bytes[at+abi.ResultSentAt:], v.SentAt)
	m.put(at+abi.ResultReply, v.Reply)
	le.PutUint64(m.bytes[at+abi.ResultTTL:], v.TTL)
	m.put(at+abi.ResultAsk, v.Ask)
	m.put(at+abi.ResultAskBody, v.Body)
	m.put(at+abi.ResultState, v.State)
}

// receivers writes a verdict byte for each receiver, and equal rewrites as one variant.
func (m *memory) receivers(at int, list []verdict) {
	verdicts := at + int(le.Uint32(m.bytes[at+abi.FrameVerdicts:]))
	var variants []verdict
	for i, v := range list {
		switch v.Answer {
		case "drop":
			m.bytes[verdicts+i] = abi.VerdictDrop
		case "rewrite":
			k := index(variants, v)
			if k == len(variants) {
				variants = append(variants, v)
			}
			m.bytes[verdicts+i] = byte(abi.VerdictVariant + k)
		}
	}
	m.bytes = pad(m.bytes)
	table := len(m.bytes)
	m.putUint32(at+abi.ResultVariantCount, uint32(len(variants)))
	if len(variants) > 0 {
		m.putUint32(at+abi.ResultVariants, uint32(table))
	}
	m.bytes = append(m.bytes, make([]byte, abi.VariantSize*len(variants))...)
	for k, v := range variants {
		record := table + abi.VariantSize*k
		m.putUint32(record+abi.VariantKind, v.Kind)
		if v.Message != nil {
			m.put(record+abi.VariantMessage, *v.Message)
		}
		m.put(record+abi.VariantExtra, v.Extra)
	}
}

func index(list []verdict, v verdict) int {
	for i, o := range list {
		same := (o.Message == nil) == (v.Message == nil) && (o.Message == nil || *o.Message == *v.Message)
		if same && o.Kind == v.Kind && o.Extra == v.Extra {
			return i
		}
	}
	return len(list)
}
