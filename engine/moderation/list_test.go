package moderation

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// sanction returns a sanction of a user or, with a slash, of a network.
func sanction(t testing.TB, subject string, kind Kind, rooms string, until time.Duration) Sanction {
	t.Helper()
	s := Sanction{Tenant: "t", User: subject, Kind: kind, Rooms: rooms, Reason: fmt.Sprintf("%s %s %s", subject, kind, rooms), At: 1}
	if strings.Contains(subject, "/") {
		s.User, s.Network = "", netip.MustParsePrefix(subject)
	}
	if until != 0 {
		s.Until = time.Now().Add(until).UnixMilli()
	}
	if err := s.Identify(); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestFind(t *testing.T) {
	var l List
	for _, s := range []Sanction{
		sanction(t, "bob", Mute, "hall-*", 0),
		sanction(t, "bob", Mute, AllRooms, time.Hour),
		sanction(t, "bob", Ban, "secret", 0),
		sanction(t, "ann", Mute, AllRooms, -time.Second),
		sanction(t, "192.0.2.0/24", Mute, AllRooms, time.Hour),
		sanction(t, "192.0.2.7/32", Mute, AllRooms, 2*time.Hour),
		sanction(t, "2001:db8:0:1::/64", Ban, AllRooms, 0),
	} {
		l.Set(s)
	}
	for _, c := range []struct {
		user, address string
		kind          Kind
		room, want    string // the reason; "": none
	}{
		{"bob", "", Mute, "hall-1", "bob mute hall-*"}, // has no end
		{"bob", "", Mute, "other", "bob mute *"},
		{"bob", "", Mute, "", "bob mute *"},
		{"bob", "", Ban, "secret", "bob ban secret"},
		{"bob", "", Ban, "", ""},
		{"ann", "", Mute, "r", ""}, // has ended
		{"", "", Mute, "r", ""},
		{"", "192.0.2.7", Mute, "r", "192.0.2.7/32 mute *"},
		{"", "::ffff:192.0.2.8", Mute, "r", "192.0.2.0/24 mute *"},
		{"bob", "192.0.2.7", Mute, "other", "192.0.2.7/32 mute *"}, // ends later
		{"", "192.0.3.7", Mute, "r", ""},
		{"", "2001:db8:0:1:2::3", Ban, "r", "2001:db8:0:1::/64 ban *"},
		{"", "2001:db8:0:1:2::3%eth0", Ban, "r", "2001:db8:0:1::/64 ban *"},
		{"", "2001:db8:0:2::3", Ban, "r", ""},
		{"", "not an address", Ban, "r", ""},
	} {
		got := ""
		if s := l.Find(Client{c.user, c.address}, c.kind, c.room); s != nil {
			got = s.Reason
			if !l.Any(Client{c.user, c.address}) {
				t.Errorf("%+v: Any is false", c)
			}
		}
		if got != c.want {
			t.Errorf("%+v: found %q", c, got)
		}
	}
}

// TestAny checks clients with sanctions of some kind or room, and clients without sanctions.
func TestAny(t *testing.T) {
	var l List
	if l.Any(Client{"bob", "192.0.2.7"}) {
		t.Error("an empty list has sanctions")
	}
	l.Set(sanction(t, "bob", Shadow, "hall", 0))
	l.Set(sanction(t, "192.0.2.0/24", Ban, "den", 0))
	l.Set(sanction(t, "198.51.100.0/28", Mute, AllRooms, 0))
	for who, want := range map[Client]bool{
		{"bob", ""}: true, {"bob", "203.0.113.1"}: true, {"", "192.0.2.7"}: true, {"ann", "198.51.100.1"}: true,
		{"ann", ""}: false, {"", ""}: false, {"ann", "192.0.3.1"}: false, {"ann", "no address"}: false,
	} {
		if got := l.Any(who); got != want {
			t.Errorf("%+v: %t, want %t", who, got, want)
		}
	}
}

// TestEndedSanctionsAreForgotten checks that a list does not grow with sanctions that have ended: nobody removes
// them.
func TestEndedSanctionsAreForgotten(t *testing.T) {
	var l List
	for i := range 10 * minSweep {
		l.Set(sanction(t, fmt.Sprint("user ", i), Mute, AllRooms, -time.Second))
		l.Set(sanction(t, fmt.Sprintf("10.%d.%d.0/24", i/200, i%200), Mute, AllRooms, -time.Second))
		l.Set(sanction(t, fmt.Sprint("stays ", i%10), Mute, AllRooms, time.Hour))
	}
	if l.Len() > minSweep {
		t.Errorf("the list has %d sanctions, of which 10 hold", l.Len())
	}
	for i := range 10 {
		if l.Find(Client{User: fmt.Sprint("stays ", i)}, Mute, "r") == nil {
			t.Errorf("sanction %d does not hold", i)
		}
	}
}

// TestRoomsOfSanctions checks the patterns of rooms.
func TestRoomsOfSanctions(t *testing.T) {
	for _, c := range []struct{ pattern, yes, no string }{
		{"hall", "hall", "hall-1"}, {"hall-*", "hall-", "hall"}, {"*-staff", "x-staff", "x-staff-"}, {"a*a", "aa", "a"},
		{"game-*-lobby", "game-7-lobby", "game-lobby"}, {`\**`, "*x", "x"}, {`a\*`, "a*", "ax"}, {`\[a\]`, "[a]", "a"}, {"*", "x", ""}, {`\\*`, `\x`, "x"}, {"h\u00e9*", "h\u00e9", "h"},
	} {
		var l List
		l.Set(sanction(t, "bob", Mute, c.pattern, 0))
		if bob := (Client{User: "bob"}); l.Find(bob, Mute, c.yes) == nil || c.no != "" && l.Find(bob, Mute, c.no) != nil {
			t.Errorf("%s does not match %q alone", c.pattern, c.yes)
		}
	}
	for pattern, want := range map[string]string{
		"": "the pattern is empty", "a*b*": "more than one *", "{a,b}": `no {: use one *, or "\{" for`, "a?": "no ?", "[a-z]": "no [", `a\`: `ends with a single "\"`,
		"\xff": "not UTF-8", strings.Repeat("x", MaxRooms+1): "more than 400 bytes",
	} {
		s := Sanction{User: "bob", Kind: Mute, Rooms: pattern}
		if err := s.Identify(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", pattern, err, want)
		}
	}
}

// TestASanctionCostsItsText bounds the memory of sanctions with the longest patterns.
func TestASanctionCostsItsText(t *testing.T) {
	var l List
	var all []Sanction
	for i := range 1000 {
		s := Sanction{Network: netip.MustParsePrefix("0.0.0.0/0"), Kind: Mute, Rooms: fmt.Sprintf("%03d*%s", i, strings.Repeat("a", MaxRooms-4)), Note: strings.Repeat("n", MaxNote)}
		if err := s.Identify(); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if n := testing.AllocsPerRun(1, func() { l.Replace(all) }); n > 5*1000 {
		t.Errorf("a list of 1000 sanctions takes %v allocations", n)
	}
	if got := l.Find(Client{Address: "192.0.2.7"}, Mute, "007"+strings.Repeat("a", MaxRooms-4)); got == nil || got.Note != "" {
		t.Errorf("found %+v", got)
	}
}

// TestAnOlderSanctionReplacesNone checks the order of two changes of one sanction.
func TestAnOlderSanctionReplacesNone(t *testing.T) {
	var l List
	s := sanction(t, "bob", Mute, AllRooms, 0)
	s.At, s.Reason = 2, "newer"
	l.Set(s)
	s.At, s.Reason = 1, "older"
	l.Set(s)
	if got := l.Find(Client{User: "bob"}, Mute, ""); got.Reason != "newer" {
		t.Errorf("the list has %+v", got)
	}
}

// TestAListThatBecomesEmptyIsAsNew checks that nothing remains of removed sanctions.
func TestAListThatBecomesEmptyIsAsNew(t *testing.T) {
	var l List
	var all []Sanction
	for i := range 300 {
		all = append(all, sanction(t, fmt.Sprint("user ", i), Mute, AllRooms, 0), sanction(t, fmt.Sprintf("10.%d.%d.0/24", i/200, i%200), Ban, "r", 0))
	}
	l.Replace(all)
	if l.Len() != 600 {
		t.Fatalf("the list has %d sanctions", l.Len())
	}
	l.Replace(all[:300])
	if l.Len() != 300 {
		t.Fatalf("the list has %d sanctions after it was replaced", l.Len())
	}
	l.Replace(nil)
	for i := range shards {
		if l.users.shards[i].Load() != nil || l.networks.shards[i].Load() != nil {
			t.Fatalf("shard %d is not empty", i)
		}
	}
	if l.lengths.Load() != nil || l.Len() != 0 {
		t.Error("lengths or a count remain")
	}
}

// TestFindDuringChanges checks, under the race detector, that a sanction that is replaced never ceases to hold.
func TestFindDuringChanges(t *testing.T) {
	var l List
	stays := sanction(t, "bob", Mute, AllRooms, 0)
	l.Set(stays)
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for i := range 500 {
				l.Replace([]Sanction{stays, sanction(t, fmt.Sprint(i), Mute, AllRooms, 0)})
			}
		})
	}
	for range 5000 {
		if l.Find(Client{User: "bob"}, Mute, "r") == nil {
			t.Fatal("the sanction did not hold")
		}
	}
	all.Wait()
}

// TestFindAllocatesNothing checks Find for a client with and without sanctions.
func TestFindAllocatesNothing(t *testing.T) {
	var l List
	l.Set(sanction(t, "bob", Mute, "hall-*", time.Hour))
	l.Set(sanction(t, "192.0.2.0/24", Mute, AllRooms, time.Hour))
	for _, who := range []Client{{"bob", "192.0.2.7"}, {"ann", "198.51.100.1"}, {"", "2001:db8::1"}} {
		if n := testing.AllocsPerRun(100, func() { l.Find(who, Mute, "hall-1") }); n != 0 {
			t.Errorf("%+v: %v allocations", who, n)
		}
	}
}

func TestParseNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "::ffff:192.0.2.7": "192.0.2.7/32", "2001:db8::1": "2001:db8::/64", "192.0.2.7/24": "192.0.2.0/24",
		"2001:db8::/48": "2001:db8::/48", "10.0.0.0/8": "", "2001:db8::/32": "", "2001:db8::1/128": "", "x": "", "fe80::1%eth0": "", "::ffff:10.0.0.0/120": "",
	} {
		got, err := ParseNetwork(text, false)
		if (err != nil) != (want == "") || err == nil && got.String() != want {
			t.Errorf("%s is parsed as %v, %v", text, got, err)
		}
	}
	if got, err := ParseNetwork("10.0.0.0/8", true); err != nil || got.Bits() != 8 {
		t.Errorf("a wide network is parsed as %v, %v", got, err)
	}
}

// BenchmarkFind looks for a sanction of a client that has none, in lists of 10,000 sanctions.
func BenchmarkFind(b *testing.B) {
	for name, subject := range map[string]func(i int) string{
		"users":    func(i int) string { return fmt.Sprint("user", i) },
		"networks": func(i int) string { return fmt.Sprintf("10.%d.%d.0/24", i/200, i%200) },
	} {
		var l List
		for i := range 10_000 {
			l.Set(sanction(b, subject(i), Mute, AllRooms, time.Hour))
		}
		who := Client{"a user without sanctions", "192.0.2.7"}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l.Find(who, Mute, "hall")
			}
		})
	}
}

// BenchmarkReplace reads 100,000 sanctions, as at the first connection of a tenant's client.
func BenchmarkReplace(b *testing.B) {
	var all []Sanction
	for i := range 100_000 {
		all = append(all, sanction(b, fmt.Sprint("user", i), Mute, AllRooms, time.Hour))
	}
	for b.Loop() {
		var l List
		l.Replace(all)
	}
}

// BenchmarkSet replaces one of 100,000 sanctions.
func BenchmarkSet(b *testing.B) {
	var l List
	for i := range 100_000 {
		l.Set(sanction(b, fmt.Sprint("user", i), Mute, AllRooms, time.Hour))
	}
	s := sanction(b, "user7", Mute, AllRooms, time.Hour)
	for b.Loop() {
		l.Set(s)
	}
}
