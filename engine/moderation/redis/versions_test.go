package redis

import (
	"bytes"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/moderation"
)

// firstRecords are records as the first version with sanctions wrote them. They must not change: nodes of that version may
// share the Redis with nodes of this one.
var firstRecords = map[string]struct {
	record string
	want   moderation.Sanction
}{
	"4v6vf5mah5dzeftq": {"p1764460800000\x00user:bob\x00" + `{"user":"bob","kind":"mute","rooms":"*","until":4102444800000,"reason":"be kind","note":"twice","by":"admin"}`,
		moderation.Sanction{ID: "4v6vf5mah5dzeftq", Tenant: "t", User: "bob", Kind: moderation.Mute, Rooms: "*", Until: 4102444800000, Reason: "be kind", Note: "twice", By: "admin", At: 1764460800000}},
	"pjuhx5xnv5qfjsyo": {"m1764460800001\x00network:2001:db8::/64\x00" + `{"network":"2001:db8::/64","kind":"ban","rooms":"hall-*","module":"strikes"}`,
		moderation.Sanction{ID: "pjuhx5xnv5qfjsyo", Tenant: "t", Network: netip.MustParsePrefix("2001:db8::/64"), Kind: moderation.Ban, Rooms: "hall-*", Module: "strikes", At: 1764460800001}},
}

// TestRecordsOfTheFirstVersion checks that records of the first version are read, and that new ones have their form.
func TestRecordsOfTheFirstVersion(t *testing.T) {
	for id, c := range firstRecords {
		got, err := parseRecord("t", id, c.record)
		if err != nil || got != c.want {
			t.Errorf("%s is read as %+v, %v", id, got, err)
		}
		made := setting(c.want)
		if text := made.source + c.record[1:len("p1764460800000")] + "\x00" + made.subject + "\x00" + made.data; text != c.record {
			t.Errorf("%s is written as %q", id, text)
		}
	}
}

// TestRecordsOfANewerVersion checks a node beside one of a newer version, whose records and messages have fields, kinds and
// subjects that it does not know: known sanctions hold and are listed, it reads nothing again and does not complain, and all
// records stay in Redis.
func TestRecordsOfANewerVersion(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client()
	defer client.Close()
	var log bytes.Buffer
	own := redis.NewClient(&redis.Options{Addr: server.Address()})
	s := New(own, "moot", slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { _ = s.Close(); _ = own.Close() })
	newer := map[string]string{
		"newkind":    `{"user":"bob","kind":"slow","rooms":"*","every":5000}`,
		"newsubject": `{"fingerprint":"f","kind":"ban","rooms":"*"}`,
	}
	set := func(id, source, subject, data string) {
		t.Helper()
		if err := setScript.Run(t.Context(), client, s.keys("t"), "t", s.channel(), id, source, subject, 0, data, 100, 100, 100).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set("newkind", "p", "user:bob", newer["newkind"])
	var mu sync.Mutex
	var list moderation.List
	var changes []moderation.Change
	last := make(chan struct{})
	stop, err := s.Follow(t.Context(), "t", func(c moderation.Change) {
		mu.Lock()
		defer mu.Unlock()
		c.Apply(&list)
		changes = append(changes, c)
		if slices.ContainsFunc(c.Set, func(s moderation.Sanction) bool { return s.User == "last" }) {
			close(last)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	set("newsubject", "p", "fingerprint:f", newer["newsubject"])
	set("newkind", "p", "user:bob", newer["newkind"])
	known := mute(t, "ann")
	set(known.ID, "p", known.Subject(), `{"user":"ann","kind":"mute","rooms":"*","severity":3,"evidence":["m1"]}`)
	if _, err := s.Set(t.Context(), mute(t, "last")); err != nil {
		t.Fatal(err)
	}
	select {
	case <-last:
	case <-time.After(30 * time.Second):
		t.Fatal("the last change did not arrive in 30 s")
	}
	mu.Lock()
	defer mu.Unlock()
	if n := len(changes); !changes[0].All || slices.ContainsFunc(changes[1:], func(c moderation.Change) bool { return c.All }) {
		t.Errorf("the sanctions were read more than once, in %d changes", n)
	}
	if list.Len() != 2 || list.Find(moderation.Client{User: "ann"}, moderation.Mute, "r") == nil || list.Find(moderation.Client{User: "bob"}, moderation.Mute, "r") != nil {
		t.Errorf("the node has %d sanctions, want those of ann and last", list.Len())
	}
	page, next, err := s.List(t.Context(), "t", moderation.Query{Limit: 10})
	if err != nil || next != "" || len(page) != 2 {
		t.Errorf("the list is %+v, %q, %v", page, next, err)
	}
	if n := client.HLen(t.Context(), s.key("t", "s")).Val(); n != 4 {
		t.Errorf("Redis has %d records, want 4", n)
	}
	if log.Len() > 0 {
		t.Errorf("the node logs:\n%s", &log)
	}
}
