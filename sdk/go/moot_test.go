//go:build !wasm

package moot_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	moot "github.com/mootchat/moot/sdk/go"
	"github.com/mootchat/moot/sdk/go/moottest"
)

func guest(t *testing.T, m moot.Module) *moottest.Guest {
	t.Helper()
	g, err := moottest.Load(m, "")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// asked runs the handler at onSayReceive of a module with these capabilities.
func asked(t *testing.T, capabilities []string, handler func(*moot.Event)) (moottest.Verdict, *moottest.Host) {
	t.Helper()
	g := guest(t, moot.Module{Capabilities: capabilities, OnSayReceive: func(e *moot.Event) moot.Verdict {
		handler(e)
		return moot.Allow()
	}})
	g.Host.Rooms["lobby"] = 3
	return g.Ask(moottest.Event{Hook: "onSayReceive", Room: "lobby", Connection: &moottest.Connection{ID: "1"}}), g.Host
}

func TestManifest(t *testing.T) {
	allow := func(*moot.Event) moot.Verdict { return moot.Allow() }
	tests := []struct {
		name   string
		module moot.Module
		want   string
	}{
		{"little", moot.Module{Name: "a", OnJoin: allow},
			`{"name":"a","version":"","hooks":["join"],"reads":null,"vary":null}`},
		{"all for all", moot.Module{Name: "a", Reads: []string{}, OnSayAll: allow},
			`{"name":"a","version":"","hooks":["say"],"reads":[],"vary":[]}`},
		{"much", moot.Module{
			Name: `q"\`, Version: "é\n", Reads: []string{"params", "locale"}, Vary: []string{"locale"}, Pure: true,
			Capabilities: []string{"kv", "properties:a,b"}, ConfigSchema: `{"type":"object"}`,
			OnConnect: allow, OnSay: func(*moot.Event, *moot.Connection) moot.Verdict { return moot.Allow() }, OnDisconnect: allow,
			Actions: []moot.Action{{Name: "x", Run: allow}, {Name: "y", Description: "why", Run: allow,
				Inputs: []moot.Input{{Name: "a", Required: true}, {Name: "b", Description: "bee"}}}}},
			`{"name":"q\"\\","version":"é\u000a","hooks":["connect","say","disconnect","action"],"reads":["params","locale","action"],` +
				`"vary":["locale"],"pure":true,"capabilities":["kv","properties:a,b"],"actions":[{"name":"x","description":"","inputs":{}},` +
				`{"name":"y","description":"why","inputs":{"a":{"description":"","required":true},"b":{"description":"bee"}}}],"config":{"type":"object"}}`},
	}
	for _, test := range tests {
		got := moot.NewGuest(test.module, nil).Manifest()
		if got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%s: not JSON", test.name)
		}
	}
}

func TestQuoteIsJSON(t *testing.T) {
	for _, s := range []string{"", "plain", "a\"b\\c", "\x00\x1f\n", "grüße 🙂 \u2028", "</script>"} {
		var back string
		if err := json.Unmarshal([]byte(moot.Quote(s)), &back); err != nil || back != s {
			t.Errorf("Quote(%q) = %s: %q, %v", s, moot.Quote(s), back, err)
		}
	}
	if got := moot.Quote("a\xffb"); got != "\"a\uFFFDb\"" {
		t.Errorf("Quote of what is not UTF-8 = %s", got)
	}
}

func TestConfig(t *testing.T) {
	type config struct {
		Words []string `json:"words"`
		Limit struct {
			Count int `json:"count"`
		} `json:"limit"`
		Kept string `json:"kept"`
	}
	tests := []struct{ config, want string }{
		{``, ""},
		{`{}`, ""},
		{`{"words":["a"],"limit":{"count":2}}`, ""},
		{`{"words":"a"}`, "words: got string, want []string"},
		{`{"limit":{"count":"2"}}`, "limit.count: got string, want int"},
		{`{"word":[]}`, `unknown field "word"`},
		{`{"limit":{"count":-1}}`, "limit.count: must not be negative"},
	}
	for _, test := range tests {
		c := config{Kept: "default"}
		m := moot.Module{Config: moot.Into(&c), Init: func() error {
			if c.Limit.Count < 0 {
				return errors.New("limit.count: must not be negative")
			}
			return nil
		}}
		err := moot.NewGuest(m, nil).Init(test.config)
		if fmt.Sprint(err) != test.want && (err != nil || test.want != "") {
			t.Errorf("%s: %v, want %q", test.config, err, test.want)
		}
		if c.Kept != "default" {
			t.Errorf("%s: the default became %q", test.config, c.Kept)
		}
	}
	for config, want := range map[string]bool{``: true, `{}`: true, `null`: true, `{"a":1}`: false} {
		if err := moot.NewGuest(moot.Module{}, nil).Init(config); (err == nil) != want {
			t.Errorf("a module without config, given %q: %v", config, err)
		}
	}
}

func TestHookWithoutHandlerAllows(t *testing.T) {
	g := guest(t, moot.Module{Actions: []moot.Action{{Name: "known"}}})
	for _, hook := range []string{"connect", "join", "onSayReceive", "say", "leave", "disconnect", "action"} {
		if v := g.Ask(moottest.Event{Hook: hook, Action: "unknown"}); v.Answer != moottest.Allow {
			t.Errorf("%s: %s", hook, v.Answer)
		}
	}
}

func receivers(n int) []moottest.Connection {
	list := make([]moottest.Connection, n)
	for i := range list {
		list[i].ID = strconv.Itoa(i)
	}
	return list
}

func TestSayAsksForEachReceiver(t *testing.T) {
	g := guest(t, moot.Module{OnSay: func(e *moot.Event, c *moot.Connection) moot.Verdict {
		switch c.ID() {
		case "1":
			return moot.Deny("not you")
		case "2", "4":
			return moot.Rewrite().Text("psst, " + e.Message()).Room("elsewhere").From("9")
		case "3":
			return moot.AllowEnd()
		}
		return moot.Allow()
	}})
	v := g.Ask(moottest.Event{Hook: "say", Message: "hi", Receivers: receivers(5)})
	allow, drop := moottest.Verdict{Answer: moottest.Allow}, moottest.Verdict{Answer: moottest.Drop}
	psst := moottest.Verdict{Answer: moottest.Rewrite, Message: "psst, hi", Kind: 1}
	if want := []moottest.Verdict{allow, drop, psst, allow, psst}; !reflect.DeepEqual(v.Receivers, want) {
		t.Errorf("got %+v", v.Receivers)
	}
}

func TestSayReturnsOneAnswerForEqualReceivers(t *testing.T) {
	tests := []struct {
		answer moot.Verdict
		want   moottest.Answer
	}{
		{moot.Allow(), moottest.Allow}, {moot.Deny("no"), moottest.Deny}, {moot.Rewrite().Text("x"), moottest.Rewrite},
		{moot.AllowEnd(), moottest.AllowEnd}, {moot.Drop(), moottest.Drop},
	}
	for _, test := range tests {
		g := guest(t, moot.Module{OnSay: func(*moot.Event, *moot.Connection) moot.Verdict { return test.answer }})
		v := g.Ask(moottest.Event{Hook: "say", Receivers: receivers(3)})
		if v.Answer != test.want || len(v.Receivers) != 3 || v.Receivers[2].Answer != test.want {
			t.Errorf("%s: %+v", test.want, v)
		}
	}
}

func TestSayAllIsAskedOnce(t *testing.T) {
	calls := 0
	g := guest(t, moot.Module{OnSayAll: func(e *moot.Event) moot.Verdict {
		calls++
		return moot.Rewrite().Text(strings.ToUpper(e.Message()))
	}})
	v := g.Ask(moottest.Event{Hook: "say", Message: "hi", Receivers: receivers(3)})
	if calls != 1 || v.Message != "HI" {
		t.Errorf("%d calls, %+v", calls, v)
	}
}

func TestEachReceiverCanHaveItsAnswer(t *testing.T) {
	g := guest(t, moot.Module{OnSay: func(_ *moot.Event, c *moot.Connection) moot.Verdict {
		return moot.Rewrite().Text("hello " + c.ID())
	}})
	for _, n := range []int{253, 254, 1024, 2} {
		v := g.Ask(moottest.Event{Hook: "say", Receivers: receivers(n)})
		if len(v.Receivers) != n {
			t.Fatalf("%d receivers: %s, %d", n, v.Answer, len(v.Receivers))
		}
		for i, r := range v.Receivers {
			if want := "hello " + strconv.Itoa(i); r.Message != want {
				t.Fatalf("receiver %d receives %q", i, r.Message)
			}
		}
	}
}

func TestUndeclaredFieldsAreEmpty(t *testing.T) {
	var got []string
	g := guest(t, moot.Module{Reads: []string{"room", "id", "properties.a", "joinedAt"}, OnJoin: func(e *moot.Event) moot.Verdict {
		c := e.Connection()
		got = []string{e.Room(), e.Tenant(), c.ID(), c.User(), c.Property("a"), c.Property("b"),
			fmt.Sprint(c.ConnectedAt().IsZero(), c.JoinedAt().UnixMilli())}
		return moot.Allow()
	}})
	g.Ask(moottest.Event{Hook: "join", Room: "lobby", Tenant: "t", Connection: &moottest.Connection{
		ID: "1", User: "ann", Properties: map[string]string{"a": "1", "b": "2"}, ConnectedAt: 5, JoinedAt: 6}})
	if want := []string{"lobby", "", "1", "", "1", "", "true 6"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDeclarationsAreChecked(t *testing.T) {
	tests := []struct {
		module moot.Module
		want   string
	}{
		{moot.Module{Reads: []string{"mesage"}}, `reads: unknown field "mesage"`},
		{moot.Module{Reads: []string{"id"}, Vary: []string{"locale"}}, `vary: "locale" is not among reads`},
		{moot.Module{ConfigSchema: "{"}, "manifest: unexpected end of JSON input"},
	}
	for _, test := range tests {
		if _, err := moottest.Load(test.module, ""); err == nil || err.Error() != test.want {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
}

func TestAnswersThatMeanNothingFail(t *testing.T) {
	tests := []struct {
		hook   string
		answer moot.Verdict
	}{
		{"join", moot.Drop()},
		{"leave", moot.Rewrite().Text("x")},
		{"onSayReceive", moot.Rewrite().JSON("{")},
		{"onSayReceive", moot.Rewrite().Extra("[]")},
		{"onSayReceive", moot.Rewrite().Extra(`{"message":"x"}`)},
		{"action", moot.Reply(`{"status":"x"}`)},
	}
	for _, test := range tests {
		answer := func(*moot.Event) moot.Verdict { return test.answer }
		g := guest(t, moot.Module{OnJoin: answer, OnLeave: answer, OnSayReceive: answer, Actions: []moot.Action{{Name: "a", Run: answer}}})
		if v := g.Ask(moottest.Event{Hook: test.hook, Action: "a"}); v.Answer != moottest.Failed || v.Reason == "" {
			t.Errorf("%s: %+v", test.hook, v)
		}
	}
}

func TestKV(t *testing.T) {
	_, h := asked(t, []string{"kv"}, func(e *moot.Event) {
		kv := e.KV()
		check := func(got, want any, err, wantErr error) {
			t.Helper()
			if got != want || err != wantErr {
				t.Errorf("got %v, %v, want %v, %v", got, err, want, wantErr)
			}
		}
		_, err := kv.Get("long")
		check(nil, nil, err, moot.ErrAbsent)
		long := strings.Repeat("x", 5000)
		check(nil, nil, kv.Set("long", long, 0), nil)
		value, err := kv.Get("long")
		check(value, long, err, nil)
		had, err := kv.Delete("long")
		check(had, true, err, nil)
		had, err = kv.Delete("long")
		check(had, false, err, nil)
		sum, err := kv.Add("n", 41, 0)
		check(sum, int64(41), err, nil)
		sum, err = kv.Add("n", -1, 0)
		check(sum, int64(40), err, nil)
		done, err := kv.Swap("s", "", "one", time.Minute)
		check(done, true, err, nil)
		done, err = kv.Swap("s", "", "two", 0)
		check(done, false, err, nil)
		done, err = kv.Swap("s", "one", "two", 0)
		check(done, true, err, nil)
	})
	if h.KV["s"] != "two" || h.KV["n"] != "40" {
		t.Errorf("the store has %v", h.KV)
	}
}

func TestKVForgetsInTime(t *testing.T) {
	g := guest(t, moot.Module{Capabilities: []string{"kv"}, OnJoin: func(e *moot.Event) moot.Verdict {
		if _, err := e.KV().Get("banned"); err == nil {
			return moot.Deny("banned")
		}
		return moot.Allow()
	}, OnLeave: func(e *moot.Event) moot.Verdict {
		_ = e.KV().Set("banned", "1", time.Minute)
		return moot.Allow()
	}})
	g.Ask(moottest.Event{Hook: "leave"})
	if v := g.Ask(moottest.Event{Hook: "join"}); v.Answer != moottest.Deny {
		t.Errorf("at once: %s", v.Answer)
	}
	g.Host.Clock = g.Host.Clock.Add(time.Minute)
	if v := g.Ask(moottest.Event{Hook: "join"}); v.Answer != moottest.Allow {
		t.Errorf("a minute later: %s", v.Answer)
	}
}

func TestTake(t *testing.T) {
	g := guest(t, moot.Module{Capabilities: []string{"rate"}, OnSayReceive: func(e *moot.Event) moot.Verdict {
		wait, err := e.Take("k", 1, 2, time.Second)
		if err != nil || wait > 0 {
			return moot.Deny(wait.String())
		}
		return moot.Allow()
	}})
	say := func() string { return g.Ask(moottest.Event{Hook: "onSayReceive"}).Reason }
	got := []string{say(), say(), say()}
	g.Host.Clock = g.Host.Clock.Add(400 * time.Millisecond)
	got = append(got, say())
	g.Host.Clock = g.Host.Clock.Add(600 * time.Millisecond)
	got = append(got, say(), say())
	if want := []string{"", "", "1s", "600ms", "", "1s"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEffects(t *testing.T) {
	v, h := asked(t, []string{"emit", "rooms", "properties:a,b"}, func(e *moot.Event) {
		size, err := e.RoomSize()
		room, err2 := e.FindRoom("lobby")
		_, err3 := e.FindRoom("none")
		if size != 3 || room != `{"room":"lobby","membersCount":3}` || err != nil || err2 != nil || err3 != moot.ErrAbsent {
			t.Errorf("RoomSize %d %v, FindRoom %s %v, none %v", size, err, room, err2, err3)
		}
		for _, m := range []moot.Emit{{Room: "lobby", Text: "a"}, {Room: "lobby", JSON: `{}`}, {Connection: "7", Text: "c"}, {Connection: "7", JSON: "1"}} {
			if err := e.Emit(m); err != nil {
				t.Errorf("Emit: %v", err)
			}
		}
		for want, err := range map[error]error{
			moot.ErrOverBudget: e.Emit(moot.Emit{Room: "lobby", Text: "fifth"}),
			moot.ErrNotGranted: e.SetProperty("c", "1"),
			moot.ErrBadPointer: e.SetProperty("a", "{"),
		} {
			if err != want {
				t.Errorf("got %v, want %v", err, want)
			}
		}
		if err := errors.Join(e.SetProperty("a", "1"), e.SetProperty("b", ""), e.CreateRoom("new"), e.DestroyRoom("old"), e.Count("n", 2)); err != nil {
			t.Error(err)
		}
		e.Log(moot.LevelWarn, "careful")
		if b := make([]byte, 16); e.Random(b) != nil || string(b) == strings.Repeat("\x00", 16) {
			t.Errorf("Random gave %x", b)
		}
	})
	if !reflect.DeepEqual(v.Properties, map[string]string{"a": "1", "b": ""}) || len(v.Emitted) != 4 ||
		v.Emitted[3] != (moot.Emit{Connection: "7", JSON: "1"}) || v.Created[0] != "new" || v.Destroyed[0] != "old" {
		t.Errorf("got %+v", v)
	}
	if h.Metrics["n"] != 2 || h.Logged[0] != "warn careful" {
		t.Errorf("metrics %v, log %q", h.Metrics, h.Logged)
	}
}

// TestAsk checks a question, the answer to it, a second question with state, and questions that the host would refuse.
func TestAsk(t *testing.T) {
	m := moot.Module{
		Reads: []string{"message"}, Asks: []string{"toxicity"}, Capabilities: []string{"sanctions"},
		OnSayReceive: func(e *moot.Event) moot.Verdict {
			_ = e.SetSanction(moot.Sanction{Kind: moot.Mute, User: "ann"}) // discarded
			switch e.Message() {
			case "unknown":
				return moot.Ask("others", "")
			case "bad":
				return moot.Ask("toxicity", "{")
			case "long":
				return moot.Ask("toxicity", "").State(strings.Repeat("s", 4097))
			}
			return moot.Ask("toxicity", `{"text":`+moot.Quote(e.Message())+`}`)
		},
		OnAnswer: func(e *moot.Event, a *moot.Answer) moot.Verdict {
			if a.Status() == 404 {
				return moot.Ask(a.Name(), "").State(e.Message())
			}
			return moot.Deny(a.JSON() + a.State())
		},
	}
	g := guest(t, m)
	e := moottest.Event{Hook: "onSayReceive", Message: "hi"}
	if v := g.Ask(e); v.Answer != moottest.Ask || v.Asked != (moottest.Asked{Name: "toxicity", Body: `{"text":"hi"}`}) || v.Sanctions != nil {
		t.Errorf("the question: %+v", v)
	}
	if v := g.Answer(e, moottest.Reply{Name: "toxicity", Status: 404}); v.Answer != moottest.Ask || v.Asked.State != "hi" {
		t.Errorf("the second question: %+v", v)
	}
	if v := g.Answer(e, moottest.Reply{Name: "toxicity", JSON: "[1]", State: "hi", Number: 2}); v.Answer != moottest.Deny || v.Reason != "[1]hi" {
		t.Errorf("the verdict: %+v", v)
	}
	for _, message := range []string{"unknown", "bad", "long"} {
		if v := g.Ask(moottest.Event{Hook: "onSayReceive", Message: message}); v.Answer != moottest.Failed {
			t.Errorf("%s: %+v", message, v)
		}
	}
	m.OnAnswer = nil
	if _, err := moottest.Load(m, ""); err == nil || err.Error() != "the module has Asks and no OnAnswer" {
		t.Errorf("without OnAnswer: %v", err)
	}
}

func TestAmend(t *testing.T) {
	v, _ := asked(t, []string{"amend"}, func(e *moot.Event) {
		for _, err := range []error{e.RetractMessage("r", "m1"), e.EditMessage(moot.Edit{Room: "r", ID: "m2", Text: "a"}), e.EditMessage(moot.Edit{Room: "r", ID: "m3", JSON: "[1]"})} {
			if err != nil {
				t.Error(err)
			}
		}
		for _, err := range []error{e.RetractMessage("", "m1"), e.RetractMessage("r", "m 1"), e.EditMessage(moot.Edit{Room: "r", ID: "m2"}), e.EditMessage(moot.Edit{Room: "r", ID: "m2", JSON: "{"})} {
			if err != moot.ErrBadPointer {
				t.Errorf("the error is %v", err)
			}
		}
		if err := e.RetractMessage("r", strings.Repeat("m", 25)); err != moot.ErrTooLarge {
			t.Errorf("a long id: %v", err)
		}
	})
	if !reflect.DeepEqual(v.Retracted, []moottest.Amendment{{Room: "r", ID: "m1"}}) ||
		!reflect.DeepEqual(v.Edited, []moottest.Amendment{{Room: "r", ID: "m2", Message: "a"}, {Room: "r", ID: "m3", Message: "[1]", JSON: true}}) {
		t.Errorf("got %+v", v)
	}
}

func TestImportsWithoutAGrantAreRefused(t *testing.T) {
	asked(t, nil, func(e *moot.Event) {
		_, err1 := e.KV().Get("k")
		_, err2 := e.Take("k", 1, 1, time.Second)
		_, err3 := e.FindRoom("lobby")
		for _, err := range []error{err1, err2, err3, e.Emit(moot.Emit{Room: "lobby"}), e.SetProperty("a", "1"), e.CreateRoom("r")} {
			if err != moot.ErrNotGranted {
				t.Errorf("got %v", err)
			}
		}
	})
}

func TestSayOnlyReads(t *testing.T) {
	g := guest(t, moot.Module{Capabilities: []string{"kv", "emit"}, OnSayAll: func(e *moot.Event) moot.Verdict {
		value, err := e.KV().Get("k")
		if value != "v" || err != nil {
			t.Errorf("Get: %q, %v", value, err)
		}
		_, err = e.RoomSize()
		if err != moot.ErrUnavailable || e.Emit(moot.Emit{Room: "lobby"}) != moot.ErrNotGranted || e.KV().Set("k", "w", 0) != moot.ErrNotGranted {
			t.Errorf("RoomSize: %v; or Emit or Set was let through", err)
		}
		return moot.Allow()
	}})
	g.Host.KV["k"] = "v"
	g.Ask(moottest.Event{Hook: "say", Room: "lobby", Receivers: receivers(1)})
}
