package redis

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/wire"
)

var hundred = cluster.Retention{Messages: 100, For: time.Hour}

// textOf returns the payload of a message with an id.
func textOf(id, text string) string {
	return string(wire.AppendPayload(nil, wire.Payload{ID: id, Message: wire.Message{Text: text}, Room: "r", From: "a", Context: "user", SentAt: 1}))
}

// stagedBatch returns a batch of entries of the room t/r, which keeps history. order is the time of the batch by Redis' clock, in µs.
func stagedBatch(seq uint64, order int64, entries ...entry) sent {
	s := sent{seq: seq, order: order, at: time.Now()}
	for i, e := range entries {
		e.id = fmt.Sprintf("a#1.%d", seq*100+uint64(i))
		s.messages = append(s.messages, message{room: "t/r", number: seq*100 + uint64(i), entry: e.String(), keep: hundred})
	}
	return s
}

// entriesOf returns the entries of the stream of the room t/r without their ids.
func entriesOf(t *testing.T, n *Node, p *partition) (all []string) {
	t.Helper()
	stream, err := n.client.XRange(t.Context(), p.keys.of("h", "t/r"), "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range stream {
		e, err := parseEntry(x.Values["d"].(string))
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, e.payload); e.amends != "" {
			all[len(all)-1] = amended(e.amendment())
		}
	}
	return all
}

// TestMessagesArePublishedAgainInTheirLastVersion checks how nodes publish lost messages and amendments again: an edited message has
// its last version, edits that a later amendment replaces are left out, and so are retracted messages, even if the retraction is on
// the master or in a later batch.
func TestMessagesArePublishedAgainInTheirLastVersion(t *testing.T) {
	n, p := unsettled(t)
	n.must(t, "ZADD", p.keys.of("rt", "t/r"), 7, "known")
	n.must(t, "HSET", p.keys.of("reported"), "b#1", "")
	said := func(id string) entry { return entry{payload: textOf(id, id)} }
	edit := func(id, text string, at uint64) entry { return entry{amends: id, at: at, payload: textOf(id, text)} }
	for _, s := range []sent{
		stagedBatch(1, 1, said("m1"), said("m2"), said("m3"), said("known")),
		stagedBatch(2, 2, edit("m2", "second", 12), edit("m1", "secret", 11)),
		stagedBatch(3, 3, edit("m2", "third", 12), entry{amends: "m1", at: 11, retract: true, payload: `{"x":1}`}),
	} {
		p.publisher.remember(s)
	}
	if s := state(t, p.publisher.report); s != "more" {
		t.Fatal(s)
	}
	n.must(t, "HSET", p.keys.of("reported"), "b#1", p.publisher.gen)
	if s := state(t, p.publisher.restoreSome); s != "open" {
		t.Fatalf("%q, want open", s)
	}
	want := []string{textOf("m2", "third"), textOf("m3", "m3"), "edit m2 " + textOf("m2", "third"), `retract m1`}
	if got := entriesOf(t, n, p); !slices.Equal(got, want) {
		t.Errorf("published again\n%q\nwant\n%q", got, want)
	}
	if left := n.must(t, "EXISTS", p.keys.of("amended")); left != int64(0) {
		t.Error("the staged amendments are still there")
	}
}

// TestAmendmentsFollowAMessageThatMoved checks that an edit finds its message by the id if the offset is of an earlier epoch.
func TestAmendmentsFollowAMessageThatMoved(t *testing.T) {
	w := newTestCluster(t, Config{Addresses: []string{redistest.Start(t).Address()}})
	n := w.nodes[0]
	hall := cluster.RoomID{Tenant: "default", Room: "amended"}
	for i := range 5 {
		if err := n.Publish(w.ctx, hall, []byte(textOf(fmt.Sprint("m", i+1), "x")), hundred); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Amend(w.ctx, hall, cluster.Amendment{Message: "m2", At: 4, Payload: []byte(textOf("m2", "new"))}, hundred); err != nil {
		t.Fatal(err)
	}
	if err := n.Amend(w.ctx, hall, cluster.Amendment{Message: "m3", At: 99, Retract: true, Payload: []byte(`{}`)}, hundred); err != nil {
		t.Fatal(err)
	}
	if err := n.Amend(w.ctx, hall, cluster.Amendment{Message: "m3", At: 3, Payload: []byte(textOf("m3", "again"))}, hundred); !errors.Is(err, cluster.ErrNoMessage) {
		t.Errorf("an edit of a retracted message: %v", err)
	}
	page, err := n.Read(w.ctx, hall, cluster.Position{}, 0, hundred)
	if err == nil {
		page, err = n.Read(w.ctx, hall, cluster.Position{Epoch: page.Top.Epoch}, 100, hundred)
	}
	var got []string
	for _, m := range page.Messages {
		got = append(got, fmt.Sprint(m.Offset, " ", m.Amends, " ", string(m.Payload)))
	}
	want := []string{"1  " + textOf("m1", "x"), "2  " + textOf("m2", "new"), "4  " + textOf("m4", "x"), "5  " + textOf("m5", "x"),
		"6 m2 " + textOf("m2", "new"), "7 m3 {}"}
	if err != nil || !slices.Equal(got, want) || page.Missing {
		t.Errorf("history has\n%q, missing %v, %v\nwant\n%q", got, page.Missing, err, want)
	}
}

// TestEarlierVersionsSkipAmendments checks that nodes of the earlier version skip the entries of amendments: those nodes know the
// versions "1" and "gap" of an entry, and skip others without counting them as malformed. The texts must not change, because nodes of
// both versions may run together.
func TestEarlierVersionsSkipAmendments(t *testing.T) {
	for want, e := range map[string]entry{
		`amend n#x.7 E:m1:12 {"message":"new"}`: {id: "n#x.7", amends: "m1", at: 12, payload: `{"message":"new"}`},
		`amend n#x.8 R:m2:0 {"room":"r"}`:       {id: "n#x.8", amends: "m2", retract: true, payload: `{"room":"r"}`},
	} {
		if got := e.String(); got != want {
			t.Errorf("the entry is %q, want %q", got, want)
		}
		version, rest, _ := strings.Cut(want, " ")
		if version == "1" || version == "gap" || !strings.HasPrefix(rest, e.id+" ") { // parseEntry of the earlier version
			t.Errorf("nodes of the earlier version would take %q for a message", want)
		}
		if got, err := parseEntry(want); err != nil || got != e {
			t.Errorf("%q is read as %+v, %v", want, got, err)
		}
	}
	for _, bad := range []string{"amend n#x.1 {}", "amend n#x.1 X:m:1 {}", "amend n#x.1 E::1 {}", "amend n#x.1 E:m:x {}", "amend n#x.1 E:m:1"} {
		if e, err := parseEntry(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, e)
		}
	}
}
