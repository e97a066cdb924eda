package host

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/host/abi"
	"github.com/mootchat/moot/host/hosttest/asm"
)

// TestAudiencesAreSharedByEqualFieldsOnly checks that modules that read or vary by other fields do not
// share the audience kept with a snapshot.
func TestAudiencesAreSharedByEqualFieldsOnly(t *testing.T) {
	members, kept := crowd(2500), new(hook.MemberSnapshot)
	all := locally(members)
	unseen := func(what func(*hook.Profile)) []string {
		var seen []hook.Member
		for _, m := range members {
			p := &hook.Profile{Connection: hook.Connection{User: m.Profile().User, Locale: m.Profile().Locale}}
			what(p)
			seen = append(seen, seat{p, m.JoinedAt()})
		}
		return locally(seen)
	}
	byLocale := unseen(func(p *hook.Profile) { p.User = "" })
	byUser := unseen(func(p *hook.Profile) { p.Locale = "-" })
	cases := []struct {
		manifest string
		want     []string
	}{
		{`{"reads": ["message", "user", "locale"]}`, all},
		{`{"reads": ["message", "locale"]}`, byLocale},
		{`{"reads": ["message", "user"]}`, byUser},
		{`{"reads": ["message", "user", "locale"], "vary": ["user", "locale"]}`, all},
		{`{"reads": ["message", "user", "locale"], "vary": ["locale"]}`, byLocale},
		{`{"reads": ["message", "user", "locale"], "vary": ["user"]}`, byUser},
		{`{"reads": ["message", "user", "locale"], "vary": []}`, unseen(func(p *hook.Profile) { p.User, p.Locale = "", "-" })},
		{`{}`, all},
		{`{"reads": ["message", "user", "locale", "joinedAt"], "vary": ["user", "locale", "joinedAt"]}`, all},
		{`{"reads": ["message", "user", "locale", "connectedAt"]}`, all},
	}
	var hosts []*Host
	for _, c := range cases {
		h, _ := start(t, Config{}, goEntry(`{"say": "receivers", "manifest": `+c.manifest+`}`))
		hosts = append(hosts, h)
	}
	for range 2 { // audiences that were dropped are made again
		for i, c := range cases {
			if got := heardIn(t, hosts[i], "hi", members, kept); !slices.Equal(got, c.want) {
				t.Errorf("%s: they received %.200q, want %.200q", c.manifest, got, c.want)
			}
		}
	}
	if a := kept.Derived.Load().(*audience); a.more >= maxAudiences {
		t.Errorf("%d shapes are kept", a.more+1)
	}
}

// TestPartsOfAnAudience checks that a later entry, called for a part of the members only, uses the
// audience of all members.
func TestPartsOfAnAudience(t *testing.T) {
	members := crowd(2500)
	for _, manifest := range []string{`{}`, `{"reads": ["message", "user", "locale"], "vary": ["user", "locale"]}`} {
		first, second := goEntry(`{"say": "receivers", "manifest": `+manifest+`}`), goEntry(`{"say": "receivers", "manifest": `+manifest+`}`)
		second.Priority = 1
		h, _ := start(t, Config{}, first, second)
		want := locally(members)
		for i, text := range want {
			if language, ok := strings.CutPrefix(text, "hi "); ok {
				want[i] += " " + language
			}
		}
		kept := new(hook.MemberSnapshot)
		for range 2 {
			if got := heardIn(t, h, "hi", members, kept); !slices.Equal(got, want) {
				t.Errorf("%s: they received %.200q, want %.200q", manifest, got, want)
			}
		}
	}
}

// TestEachOfManyReceiversGetsItsVariant checks that each of 1000 receivers gets its own variant, although one
// answer has at most 253.
func TestEachOfManyReceiversGetsItsVariant(t *testing.T) {
	h, _ := start(t, Config{}, goEntry(`{"say": "each"}`))
	members, kept := crowd(1000), new(hook.MemberSnapshot)
	for message := range uint64(3) {
		for i, got := range heardIn(t, h, "hi", members, kept) {
			if want := fmt.Sprintf("hi c%d", i); got != want {
				t.Fatalf("receiver %d received %q", i, got)
			}
		}
		// 253, 253, 253 and 241 receivers; before the first message also one call with all.
		if s := h.Stats()[0]; s.Calls != 1+4*(message+1) || len(s.Errors) > 0 && s.Errors["protocol"] > 0 || s.Rewritten != 1000*(message+1) {
			t.Fatalf("after message %d: %+v", message, s)
		}
	}
}

// TestReceiversThatDoNotFitAreAskedAboutInParts checks that a module with a small exchange buffer is called
// with as many receivers as fit into it.
func TestReceiversThatDoNotFitAreAskedAboutInParts(t *testing.T) {
	m := new(asm.Module)
	m.Memory(4, asm.NoMax)
	m.Export(abi.ExportMemory, asm.Memory, 0)
	m.Func(abi.ExportMarker, "->", "")
	m.Func(abi.ExportAlloc, "i32 -> i32", asm.Get(0)+asm.I32(abi.ExchangeSize+1)+asm.LessU+asm.If(asm.I32(exchange)+asm.Return)+asm.I32(0))
	m.Func("on_say", "i32 -> i32", asm.I32(abi.Allow))
	h, _ := start(t, Config{})
	swap(t, h, rulesOf(m.Wasm(), Entry{}))
	everyone := slices.Repeat([]string{"="}, 1000)
	for message, text := range []string{"hi", "hi", strings.Repeat("long", 10_000), "hi"} {
		before := h.Stats()[0].Calls
		if got := heardIn(t, h, text, crowd(1000), new(hook.MemberSnapshot)); !slices.Equal(got, everyone) {
			t.Errorf("message %d: they received %.100q: %+v", message, got, h.Stats()[0])
		}
		if calls := h.Stats()[0].Calls - before; len(text) == 2 && calls > 4 || calls > 40 {
			t.Errorf("message %d took %d calls", message, calls)
		}
	}
	if got := heard(t, h, strings.Repeat("long", 20_000), crowd(1)); got[0] != "-" || h.Stats()[0].Errors["memory"] != 1 {
		t.Errorf("a message that does not fit: %q, %+v", got, h.Stats()[0])
	}
}

// TestLargeMessagesAreAskedAboutInParts checks that a frame larger than any exchange buffer is made again
// with fewer receivers.
func TestLargeMessagesAreAskedAboutInParts(t *testing.T) {
	h, _ := start(t, Config{ChainTimeout: patience}, Entry{Module: "code-0", Timeout: patience})
	for i, got := range heard(t, h, strings.Repeat("x", 950_000), crowd(1000)) {
		if got != "=" {
			t.Fatalf("receiver %d received %.20q: %+v", i, got, h.Stats()[0])
		}
	}
	if got := heard(t, h, strings.Repeat("x", abi.ExchangeMax), crowd(1000)); got[0] != "-" || h.Stats()[0].Errors["host"] != 1 {
		t.Errorf("a message that does not fit with one receiver: %.20q, %+v", got[0], h.Stats()[0])
	}
}

// TestAFrameIsMadeAgainAfterConcurrentFits checks fit if two deliveries find the size of the exchange
// buffer concurrently.
func TestAFrameIsMadeAgainAfterConcurrentFits(t *testing.T) {
	var b batches
	for _, c := range []struct {
		room, besides, n, part int
		again                  bool
	}{
		{1 << 16, 200, 1000, 1 << 17, true},
		{1 << 17, 200, 1000, 1 << 18, true}, // the frame had the size that was right before
		{1 << 16, 200, 1000, 1 << 17, true},
		{1 << 16, 200, 500, 1<<16 - 200, false},
		{1 << 16, 200, 1, 1 << 17, false},
		{1 << 16, 1 << 16, 1000, 1 << 17, false}, // fewer receivers do not help
		{1 << 17, 1 << 16, 1000, 1 << 17, false},
	} {
		if again := b.fit(c.room, c.besides, c.n, c.part); again != c.again {
			t.Errorf("%+v: %t", c, again)
		}
	}
}
