package trial

import (
	"encoding/json"
	"time"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
	"github.com/mootchat/moot/host"
	"github.com/mootchat/moot/host/abi"
)

// Answer is the answer of a module to an event. Fields without a value are omitted.
type Answer struct {
	Verdict string  `json:"verdict" yaml:"verdict"` // allow, allowEnd, deny, drop, rewrite, hold, ask (of a shadow that may not ask), perReceiver, failed
	Reason  string  `json:"reason,omitempty" yaml:"reason,omitempty"`
	Code    uint32  `json:"code,omitempty" yaml:"code,omitempty"`
	TTL     int64   `json:"ttl,omitempty" yaml:"ttl,omitempty"`         // of a hold, in ms; 0: the tenant's default
	Message *string `json:"message,omitempty" yaml:"message,omitempty"` // rewritten to this text
	JSON    JSON    `json:"json,omitempty" yaml:"json,omitempty"`       // or to this value
	Extra   JSON    `json:"extra,omitempty" yaml:"extra,omitempty"`
	Room    string  `json:"room,omitempty" yaml:"room,omitempty"`
	From    string  `json:"from,omitempty" yaml:"from,omitempty"`
	SentAt  int64   `json:"sentAt,omitempty" yaml:"sentAt,omitempty"`
	Reply   JSON    `json:"reply,omitempty" yaml:"reply,omitempty"`

	// Receivers has the answer for each receiver of a say.
	Receivers []Answer `json:"receivers,omitempty" yaml:"receivers,omitempty"`

	// Effects are applied if the whole chain allows the event. Sanctions and the effects below it are also applied after a deny, a
	// drop or a hold.
	Emits      []Emit          `json:"emits,omitempty" yaml:"emits,omitempty"`
	Properties map[string]JSON `json:"properties,omitempty" yaml:"properties,omitempty"` // null: removed
	Created    []string        `json:"created,omitempty" yaml:"created,omitempty"`       // rooms
	Destroyed  []string        `json:"destroyed,omitempty" yaml:"destroyed,omitempty"`
	User       string          `json:"user,omitempty" yaml:"user,omitempty"` // the name of the connection's user
	Sanctions  []Sanction      `json:"sanctions,omitempty" yaml:"sanctions,omitempty"`
	Pardons    []Sanction      `json:"pardons,omitempty" yaml:"pardons,omitempty"`
	Removed    []Removal       `json:"removed,omitempty" yaml:"removed,omitempty"` // from rooms
	Closed     []Removal       `json:"closed,omitempty" yaml:"closed,omitempty"`   // connections
	Retracted  []Amendment     `json:"retracted,omitempty" yaml:"retracted,omitempty"`
	Edited     []Amendment     `json:"edited,omitempty" yaml:"edited,omitempty"`

	// Asks are the questions to external services before the verdict, with their answers.
	Asks []Asked `json:"asks,omitempty" yaml:"asks,omitempty"`

	// Failure is the reason why there is no verdict. Kind is the kind of the failure.
	Kind    string `json:"kind,omitempty" yaml:"kind,omitempty"`
	Failure string `json:"failure,omitempty" yaml:"failure,omitempty"`

	Log []string `json:"log,omitempty" yaml:"log,omitempty"` // lines such as "info hello"
}

// Emit is a message that the module sends.
type Emit struct {
	Room       string  `json:"room,omitempty" yaml:"room,omitempty"`
	Connection string  `json:"connection,omitempty" yaml:"connection,omitempty"`
	User       string  `json:"user,omitempty" yaml:"user,omitempty"`
	Message    *string `json:"message,omitempty" yaml:"message,omitempty"`
	JSON       JSON    `json:"json,omitempty" yaml:"json,omitempty"`
}

// Sanction is a sanction that the module sets or pardons.
type Sanction struct {
	User    string `json:"user,omitempty" yaml:"user,omitempty"`
	Address string `json:"address,omitempty" yaml:"address,omitempty"` // a network, such as 192.0.2.7/32
	Kind    string `json:"kind" yaml:"kind"`
	Rooms   string `json:"rooms" yaml:"rooms"`
	TTL     int64  `json:"ttl,omitempty" yaml:"ttl,omitempty"` // ms; 0: without an end
	Reason  string `json:"reason,omitempty" yaml:"reason,omitempty"`
	Note    string `json:"note,omitempty" yaml:"note,omitempty"`
}

// Removal is a connection that the module removes from a room or closes.
type Removal struct {
	Connection string `json:"connection" yaml:"connection"`
	Room       string `json:"room,omitempty" yaml:"room,omitempty"` // "": it is closed
	Reason     string `json:"reason,omitempty" yaml:"reason,omitempty"`
}

// Amendment is a message that the module retracts or edits.
type Amendment struct {
	Room    string  `json:"room" yaml:"room"`
	ID      string  `json:"id" yaml:"id"`
	Message *string `json:"message,omitempty" yaml:"message,omitempty"` // the new text of an edit
	JSON    JSON    `json:"json,omitempty" yaml:"json,omitempty"`       // or the new value
}

// Cost is the cost of an answer.
type Cost struct {
	Time   time.Duration
	Fuel   uint64 // units, roughly instructions
	Memory int    // bytes of the instance after the call
	Calls  int    // of the module: one serves many receivers
}

var verdicts = map[int32]string{abi.Allow: "allow", abi.Deny: "deny", abi.Rewritten: "rewrite",
	abi.PerReceiver: "perReceiver", abi.AllowEnd: "allowEnd", abi.Drop: "drop", abi.Hold: "hold", abi.Ask: "ask"}

// AnswerOf returns the answer in a trace. If the module denied, dropped or held, it has only the effects that apply then.
func AnswerOf(t *host.Trace) Answer {
	var a Answer
	for _, line := range t.Lines {
		a.Log = append(a.Log, line.Level+" "+line.Text)
	}
	for i := range t.Asks {
		a.Asks = append(a.Asks, askedOf(&t.Asks[i]))
	}
	if t.Err != nil {
		a.Verdict, a.Kind, a.Failure = "failed", t.Kind, t.Err.Error()
		return a
	}
	s := &t.Answer
	a.TTL = s.TTL.Milliseconds()
	a.Verdict, a.Reason, a.Code, a.Room, a.From, a.SentAt, a.Reply = verdicts[s.Verdict], s.Reason, s.Code, s.Room, s.From, s.SentAt, JSON(s.Reply)
	a.rewritten(s.Variant)
	for i := range s.Effects {
		if e := &s.Effects[i]; e.Moderates() {
			a.moderates(e)
		} else if s.Verdict != abi.Deny && s.Verdict != abi.Drop && s.Verdict != abi.Hold {
			a.effect(e)
		}
	}
	for _, v := range s.Verdicts {
		r := Answer{Verdict: "allow"}
		switch {
		case v == abi.VerdictDrop:
			r.Verdict = "drop"
		case v >= abi.VerdictVariant:
			r.Verdict = "rewrite"
			r.rewritten(s.Variants[v-abi.VerdictVariant])
		}
		a.Receivers = append(a.Receivers, r)
	}
	return a
}

func (a *Answer) rewritten(v host.Variant) {
	a.Extra = JSON(v.Extra)
	if v.Message != nil {
		a.Message, a.JSON = message(*v.Message)
	}
}

func message(m wire.Message) (*string, JSON) {
	if m.JSON {
		return nil, JSON(m.Text)
	}
	return &m.Text, nil
}

func (a *Answer) effect(e *hook.Effect) {
	switch {
	case e.Emit != nil:
		m := Emit{Room: e.Emit.Room, Connection: e.Emit.Connection, User: e.Emit.User}
		m.Message, m.JSON = message(e.Emit.Message)
		a.Emits = append(a.Emits, m)
	case e.Property != nil:
		if a.Properties == nil {
			a.Properties = make(map[string]JSON)
		}
		a.Properties[e.Property.Name] = JSON(e.Property.Value)
	case e.Identity != nil:
		a.User = e.Identity.User
	case e.Room.Destroy:
		a.Destroyed = append(a.Destroyed, e.Room.Name)
	default:
		a.Created = append(a.Created, e.Room.Name)
	}
}

func (a *Answer) moderates(e *hook.Effect) {
	if m := e.Amend; m != nil {
		one, list := Amendment{Room: m.Room, ID: m.ID}, &a.Retracted
		if m.Edit {
			one.Message, one.JSON = message(m.Message)
			list = &a.Edited
		}
		*list = append(*list, one)
		return
	}
	if r := e.Removal; r != nil {
		removal, list := Removal{r.Connection, r.Room, r.Reason}, &a.Removed
		if r.Room == "" {
			list = &a.Closed
		}
		*list = append(*list, removal)
		return
	}
	set := &e.Sanction.Set
	s := Sanction{User: set.User, Kind: string(set.Kind), Rooms: set.Rooms, TTL: e.Sanction.TTL.Milliseconds(), Reason: set.Reason, Note: set.Note}
	if set.Network.IsValid() {
		s.Address = set.Network.String()
	}
	if e.Sanction.Pardon {
		a.Pardons = append(a.Pardons, s)
	} else {
		a.Sanctions = append(a.Sanctions, s)
	}
}

// delivered returns the answer for each member.
func delivered(ev *hook.Event, d *hook.Delivery, members int) []Answer {
	list := make([]Answer, members)
	for i := range list {
		k := d.All
		if d.For != nil {
			k = d.For[i]
		}
		list[i] = received(ev, d, k)
	}
	return list
}

func received(ev *hook.Event, d *hook.Delivery, k int32) Answer {
	switch k {
	case hook.AsIs:
		return Answer{Verdict: "allow"}
	case hook.Nothing:
		return Answer{Verdict: "drop"}
	}
	p := &d.Answers[k]
	a := Answer{Verdict: "rewrite"}
	if p.Message != ev.Message {
		a.Message, a.JSON = message(p.Message)
	}
	if string(p.Extra) != string(ev.Extra) {
		a.Extra = JSON(p.Extra)
	}
	if p.Room != ev.Room {
		a.Room = p.Room
	}
	if p.From != ev.From {
		a.From = p.From
	}
	if p.SentAt != ev.SentAt {
		a.SentAt = p.SentAt
	}
	return a
}

// Same reports whether two answers are equal.
func (a *Answer) Same(b *Answer) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}
