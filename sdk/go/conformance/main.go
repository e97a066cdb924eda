// Conformance is the guest that exercises the whole SDK: it executes a script, see
// host/hosttest/CONFORMANCE.md.
package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	moot "github.com/mootchat/moot/sdk/go"
)

func init() { moot.Register(module()) }

func main() {}

var config map[string]json.RawMessage

func module() moot.Module {
	handle := func(e *moot.Event) moot.Verdict { return follow(e, e.Connection(), nil) }
	return moot.Module{
		Name:    "conformance",
		Version: "1.0.0",
		Reads: []string{"room", "tenant", "from", "message", "context", "cause", "action", "params", "messageId", "edits", "id", "fingerprint", "user", "transport",
			"remoteIP", "locale", "connectedAt", "joinedAt", "properties.do", "properties.role", "properties.strikes", "properties.mood"},
		Capabilities: []string{"kv", "rate", "emit", "rooms", "properties:mood", "sanctions", "members", "identity", "amend"},
		Config:       moot.Into(&config),
		Init: func() error {
			if reason, ok := config["refuse"]; ok {
				return errors.New(text(unquote(string(reason))))
			}
			return nil
		},
		OnConnect: handle, OnJoin: handle, OnSayReceive: handle, OnLeave: handle, OnDisconnect: handle,
		OnSay: func(e *moot.Event, c *moot.Connection) moot.Verdict { return follow(e, c, nil) },
		Asks:  []string{"one", "two"},
		OnAnswer: func(e *moot.Event, a *moot.Answer) moot.Verdict {
			return follow(e, e.Connection(), a)
		},
		Actions: []moot.Action{
			{Name: "login", Description: "logs in", Inputs: []moot.Input{{Name: "token", Required: true, Description: "who"}}, Run: handle},
			{Name: "roll", Speech: true, Run: handle},
		},
	}
}

func unquote(s string) string { return strings.Trim(s, `"`) }

func text(digits string) string {
	b, err := hex.DecodeString(digits)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func number(digits string) int64 {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// run is the state of a script's execution.
type run struct {
	e     *moot.Event
	c     *moot.Connection
	a     *moot.Answer // nil: at a hook
	v     moot.Verdict
	lines []string
}

func follow(e *moot.Event, c *moot.Connection, a *moot.Answer) moot.Verdict {
	script := unquote(string(config["do"]))
	if script == "" {
		script = unquote(e.Connection().Property("do"))
	}
	if script == "" {
		script = e.Message()
	}
	r := run{e: e, c: c, a: a}
	mine := a == nil
	for _, op := range strings.Split(script, ";") {
		args := strings.Split(op, " ")
		if args[0] == "id" {
			mine = text(args[1]) == c.ID()
		} else if args[0] == "answered" {
			mine = a != nil && int64(a.Number()) == number(args[1])
		} else if mine {
			r.do(args[0], args[1:])
		}
	}
	if len(r.lines) == 0 {
		return r.v
	}
	switch said := strings.Join(r.lines, "\n"); e.Hook() {
	case 3, 4:
		return moot.Rewrite().Text(said)
	case 7:
		return moot.Reply(`{"said":` + moot.Quote(said) + `}`)
	default:
		return moot.Deny(said)
	}
}

func (r *run) do(op string, args []string) {
	switch op {
	case "":
	case "allow":
		r.v = moot.Allow()
	case "end":
		r.v = moot.AllowEnd()
	case "drop":
		r.v = moot.Drop()
	case "hold":
		r.v = moot.Hold(text(args[1]), ms(args[0]))
	case "ask":
		r.v = moot.Ask(text(args[0]), text(args[1])).State(text(args[2]))
	case "deny":
		r.v = moot.Deny(text(args[1])).Code(uint32(number(args[0])))
	case "fail":
		panic("as it was told")
	case "text":
		r.v = r.v.Text(text(args[0]))
	case "json":
		r.v = r.v.JSON(text(args[0]))
	case "extra":
		r.v = r.v.Extra(text(args[0]))
	case "room":
		r.v = r.v.Room(text(args[0]))
	case "from":
		r.v = r.v.From(text(args[0]))
	case "sentAt":
		r.v = r.v.SentAt(time.UnixMilli(number(args[0])))
	case "reply":
		r.v = moot.Reply(text(args[0]))
	case "tell":
		r.printEvent()
	case "log":
		r.e.Log(moot.Level(number(args[0])), text(args[1]))
	default:
		r.lines = append(r.lines, op+"="+r.call(op, args))
	}
}

func ms(digits string) time.Duration { return time.Duration(number(digits)) * time.Millisecond }

// call calls a host function and returns its result.
func (r *run) call(op string, args []string) string {
	e, kv := r.e, r.e.KV()
	arg := func(i int) string { return text(args[i]) }
	switch op {
	case "quote":
		return moot.Quote(arg(0))
	case "now":
		return fmt.Sprint(e.Now().UnixMilli())
	case "roomsize":
		return value(e.RoomSize())
	case "random":
		b := make([]byte, number(args[0]))
		err := e.Random(b)
		return value(hex.EncodeToString(b), err)
	case "config":
		return there(string(config[arg(0)]))
	case "prop":
		return there(r.c.Property(arg(0)))
	case "setprop":
		return value(0, e.SetProperty(arg(0), arg(1)))
	case "roomget":
		return value(e.FindRoom(arg(0)))
	case "roomnew":
		return value(0, e.CreateRoom(arg(0)))
	case "roomend":
		return value(0, e.DestroyRoom(arg(0)))
	case "get":
		return value(kv.Get(arg(0)))
	case "set":
		return value(0, kv.Set(arg(0), arg(1), ms(args[2])))
	case "del":
		return truth(kv.Delete(arg(0)))
	case "add":
		return value(kv.Add(arg(0), number(args[1]), ms(args[2])))
	case "cas":
		return truth(kv.Swap(arg(0), arg(1), arg(2), ms(args[3])))
	case "take":
		wait, err := e.Take(arg(0), int(number(args[1])), int(number(args[3])), ms(args[2]))
		return value(wait.Milliseconds(), err)
	case "emit":
		return value(0, e.Emit(emit(number(args[0]), arg(1), arg(2))))
	case "sanction":
		return value(0, e.SetSanction(sanction(args)))
	case "pardon":
		return value(0, e.PardonSanction(sanction(args)))
	case "remove":
		return value(0, e.RemoveMember(arg(0), arg(1), arg(2)))
	case "close":
		return value(0, e.CloseConnection(arg(0), arg(1)))
	case "user":
		return value(0, e.SetUser(arg(0)))
	case "retract":
		return value(0, e.RetractMessage(arg(0), arg(1)))
	case "edit":
		m := moot.Edit{Room: arg(1), ID: arg(2), Text: arg(3)}
		if args[0] == "1" {
			m.Text, m.JSON = "", arg(3)
		}
		return value(0, e.EditMessage(m))
	case "count":
		return value(0, e.Count(arg(0), number(args[1])))
	}
	panic("there is no operation " + op)
}

// sanction returns the sanction of the parameters kind, user, address, rooms and, unless they are left out, ttl, reason and note.
func sanction(args []string) moot.Sanction {
	s := moot.Sanction{Kind: moot.Kind(text(args[0])), User: text(args[1]), Address: text(args[2]), Rooms: text(args[3])}
	if len(args) > 4 {
		s.TTL, s.Reason, s.Note = ms(args[4]), text(args[5]), text(args[6])
	}
	return s
}

func emit(kind int64, to, body string) moot.Emit {
	m := moot.Emit{Room: to, Text: body}
	if kind&1 != 0 {
		m.Text, m.JSON = "", body
	}
	if kind&2 != 0 {
		m.Room, m.Connection = "", to
	}
	if kind&4 != 0 {
		m.Room, m.User = "", to
	}
	return m
}

func value[T any](v T, err error) string {
	for code, e := range []error{nil, moot.ErrAbsent, moot.ErrNotGranted, moot.ErrOverBudget, moot.ErrBadPointer, moot.ErrTooLarge, moot.ErrUnavailable} {
		if e != nil && err == e {
			return fmt.Sprint("!-", code)
		}
	}
	return fmt.Sprint(v)
}

func truth(done bool, err error) string {
	if done {
		return value(1, err)
	}
	return value(0, err)
}

func there(s string) string {
	if s == "" {
		return value("", moot.ErrAbsent)
	}
	return s
}

func (r *run) printEvent() {
	e, c := r.e, r.c
	say := func(name, value string) {
		if value != "" {
			r.lines = append(r.lines, name+"="+value)
		}
	}
	at := func(name string, t time.Time) {
		if !t.IsZero() {
			say(name, fmt.Sprint(t.UnixMilli()))
		}
	}
	say("hook", fmt.Sprint(e.Hook()))
	say("room", e.Room())
	say("tenant", e.Tenant())
	say("from", e.From())
	say("message", e.Message())
	if e.IsJSON() {
		say("json", "1")
	}
	say("context", e.Context())
	say("cause", e.Cause())
	say("action", e.Action())
	say("params", e.Params())
	say("messageId", e.MessageID())
	say("edits", e.Edits())
	at("sentAt", e.SentAt())
	if e.Sequence() != 0 {
		say("sequence", fmt.Sprint(e.Sequence()))
	}
	say("c.id", c.ID())
	say("c.fingerprint", c.Fingerprint())
	say("c.user", c.User())
	say("c.transport", c.Transport())
	say("c.remoteIP", c.RemoteIP())
	say("c.tenant", c.Tenant())
	say("c.locale", c.Locale())
	at("c.connectedAt", c.ConnectedAt())
	at("c.joinedAt", c.JoinedAt())
	for _, name := range []string{"role", "strikes", "mood"} {
		say("c."+name, c.Property(name))
	}
	if a := r.a; a != nil {
		say("a.name", a.Name())
		say("a.status", fmt.Sprint(a.Status()))
		say("a.number", fmt.Sprint(a.Number()))
		say("a.json", a.JSON())
		say("a.state", a.State())
	}
}
