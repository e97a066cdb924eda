// Calls is a module that calls every host function of the SDK.
package main

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	moot "github.com/mootchat/moot/sdk/go"
)

func init() {
	moot.Register(moot.Module{
		Name:         "calls",
		Reads:        []string{"message", "room", "id", "locale", "params", "properties.role"},
		Capabilities: []string{"kv", "rate", "emit", "rooms", "properties:mood"},
		OnSayReceive: receive,
		OnSay:        say,
		Actions:      []moot.Action{{Name: "every", Run: every}},
	})
}

func main() {}

func receive(e *moot.Event) moot.Verdict {
	if e.Message() == "panic" {
		panic("as it was told")
	}
	return moot.Rewrite().JSON(`{"was":` + moot.Quote(e.Message()) + `}`).
		Extra(`{"seen":true}`).Room("elsewhere").From("9").SentAt(time.UnixMilli(5))
}

// say greets each receiver in its language, and drops the message for "fr".
func say(e *moot.Event, c *moot.Connection) moot.Verdict {
	switch c.Locale() {
	case "fr":
		return moot.Drop()
	case "de":
		return moot.Rewrite().Text("hallo: " + e.Message())
	}
	return moot.Allow()
}

// every replies with the result of each function.
func every(e *moot.Event) moot.Verdict {
	got := map[string]any{}
	note := func(name string, value any, err error) {
		if err != nil {
			value = err.Error()
		}
		got[name] = value
	}
	e.Log(moot.LevelWarn, "a line from "+e.Connection().ID())
	println("a line of standard error")
	b := make([]byte, 1000)
	err := e.Random(b)
	note("random", strings.Trim(string(b), "\x00") != "", err)
	note("now", time.Since(e.Now()).Abs() < time.Minute, nil)
	kv := e.KV()
	long := strings.Repeat("x", 1000)
	_, err = kv.Get("long")
	note("absent", nil, err)
	err = kv.Set("long", long, time.Hour)
	value, err2 := kv.Get("long")
	note("kv", value == long, errors.Join(err, err2))
	sum, err := kv.Add("n", 1<<40, 0)
	note("add", sum, err)
	done, err := kv.Swap("s", "", "v", 0)
	note("swap", done, err)
	had, err := kv.Delete("s")
	note("delete", had, err)
	wait, err := e.Take("k", 1, 1, time.Hour)
	note("take", wait.Milliseconds(), err)
	wait, err = e.Take("k", 1, 1, time.Hour)
	note("take again", wait > 59*time.Minute, err)
	_, err = e.RoomSize()
	note("room size", nil, err)
	room, err := e.FindRoom("lobby")
	note("find", room, err)
	note("create", nil, e.CreateRoom("new"))
	note("destroy", nil, e.DestroyRoom("old"))
	note("mood", nil, e.SetProperty("mood", `"fine"`))
	note("role", nil, e.SetProperty("role", `"admin"`))
	note("reads role", e.Connection().Property("role"), nil)
	note("emit", nil, e.Emit(moot.Emit{Room: "lobby", Text: "hello"}))
	note("emit to", nil, e.Emit(moot.Emit{Connection: "1", JSON: `{"a":1}`}))
	note("count", nil, e.Count("things", 3))
	note("params", len(e.Params()), nil)
	reply, _ := json.Marshal(got)
	return moot.Reply(string(reply))
}
