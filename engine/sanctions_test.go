package engine_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/moderation"
	"github.com/mootchat/moot/engine/moderation/memory"
	"github.com/mootchat/moot/engine/wire"
)

// people are the tokens of ann and bob.
var people = tokens{"ann": {User: "ann"}, "bob": {User: "bob"}}

// moderated makes a node use a store of sanctions, and tokens.
func moderated(store moderation.Store) func(*engine.Config) {
	return func(c *engine.Config) {
		c.Moderation = store
		c.Tenants[0].Tokens = people
	}
}

// sanction returns a sanction of a user or an address of the tenant "default".
func sanction(kind moderation.Kind, subject, rooms string, lasts time.Duration) moderation.Sanction {
	s := moderation.Sanction{Tenant: "default", User: subject, Kind: kind, Rooms: rooms, Reason: "be kind", By: "mia"}
	if addr, err := netip.ParseAddr(subject); err == nil {
		s.User, s.Network = "", netip.PrefixFrom(addr, addr.BitLen())
	}
	if lasts != 0 {
		s.Until = time.Now().Add(lasts).UnixMilli()
	}
	return s
}

func (n *node) sanctions(s moderation.Sanction) moderation.Sanction {
	n.w.Helper()
	stored, err := n.SetSanction(n.w.Context(), s)
	n.w.must(err, nil)
	synctest.Wait()
	return stored
}

// as opens a connection of a user.
func (n *node) as(user string) *client {
	n.w.Helper()
	c, err := n.bring(user)
	n.w.must(err, nil)
	return c
}

// refused returns the answer to a verb that a sanction refuses. data is the request; after is the time until the
// sanction ends, 0 for one without an end.
func refused(text, data string, after time.Duration) string {
	wait := ""
	if after > 0 {
		wait = fmt.Sprintf(`"retryAfter":%d,`, after.Milliseconds())
	}
	return fmt.Sprintf(`{"status":"Error: %s","error":"Error: %[1]s","context":"response","data":{%s},%s"messageId":1}`, text, data, wait)
}

// unsaid is the data of the answer to a say.
func unsaid(text string) string { return fmt.Sprintf(`"message":%q`, text) }

// TestAMuteRefusesSay checks a mute in some rooms: it is checked before modules, it ends by itself and when it
// is removed, and other users and rooms are free of it.
func TestAMuteRefusesSay(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", moderated(&memory.Store{}))
		asked := 0
		n.on(hook.OnSayReceive, func(*hook.Event) hook.Verdict { asked++; return allow() })
		ann, bob := n.as("ann").do(roomAdd("r"), roomAdd("q")), n.as("bob").do(roomAdd("r"))
		ann.heard()
		s := n.sanctions(sanction(moderation.Mute, "ann", "r*", 10*time.Minute))
		ann.says(say("r", "psst"), refused("muted until 2000-01-01T00:10:00Z: be kind", unsaid("psst"), 10*time.Minute))
		if asked != 0 {
			w.Errorf("the module was asked %d times", asked)
		}
		bob.says(say("r", "hello"), ok, chat("r", bob.ID(), "hello"))
		ann.hears(chat("r", bob.ID(), "hello"))
		ann.says(say("q", "hello"), ok, chat("q", ann.ID(), "hello"))
		time.Sleep(10 * time.Minute)
		ann.do(say("r", "again"))
		if len(bob.heard()) != 1 {
			w.Error("the message after the mute did not arrive")
		}
		s = n.sanctions(sanction(moderation.Mute, "ann", "r*", 0))
		ann.says(say("r", "psst"), refused("muted: be kind", unsaid("psst"), 0))
		removed, err := n.RemoveSanction(w.Context(), "default", s.ID, "mia")
		w.must(err, nil)
		ann.do(say("r", "at last"))
		if len(bob.heard()) != 1 || !removed {
			w.Error("the message after the removal did not arrive")
		}
		n.sanctions(sanction(moderation.Mute, "ann", "q", 0))
		bob.do(say("r", "with sanctions of others"))
		ann.heard()
		bob.heard()
		n.sanctions(sanction(moderation.Mute, "bob", "r", 0))
		bob.says(say("r", "psst"), refused("muted: be kind", unsaid("psst"), 0))
		if got := n.Stats(); got.Muted != 3 || got.Banned != 0 {
			w.Errorf("counted %d mutes and %d bans", got.Muted, got.Banned)
		}
	})
}

// TestAMuteHoldsForMessagesThatWait checks a mute that arrives while a module decides about a message, and a
// message that a module moves to a room in which its sender is muted.
func TestAMuteHoldsForMessagesThatWait(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", moderated(&memory.Store{}))
		decide := make(chan struct{})
		n.on(hook.OnSayReceive, func(*hook.Event) hook.Verdict { <-decide; return allow() })
		ann, bob := n.as("ann").do(roomAdd("r")), n.as("bob").do(roomAdd("r"))
		ann.heard()
		first, second := ann.Begin(say("r", "waits")), bob.Begin(say("r", "waits behind it"))
		synctest.Wait()
		n.sanctions(sanction(moderation.Mute, "ann", "*", 0))
		close(decide)
		<-first
		<-second
		for c, answer := range map[*client]string{ann: refused("muted: be kind", unsaid("waits"), 0), bob: ok} {
			heard := c.heard()
			slices.SortFunc(heard, func(a, b string) int { return cmp.Compare(isChat(a), isChat(b)) })
			c.compare(heard, []string{answer, chat("r", bob.ID(), "waits behind it")})
		}

		n.on(hook.OnSayReceive, func(ev *hook.Event) hook.Verdict { ev.Room = "q"; return allow() })
		n.sanctions(sanction(moderation.Mute, "bob", "q", 0))
		bob.says(say("r", "over there"), refused("muted: be kind", unsaid("over there"), 0))
		w.must(errorOf(n.Broadcast(w.Context(), in("r"), bob.ID(), []byte(`"on behalf"`))), &engine.VerbError{Text: "muted: be kind"})
	})
}

// TestABanEndsMemberships checks a ban in one room, on all nodes, for present and later members.
func TestABanEndsMemberships(t *testing.T) {
	inWorld(t, func(w *world) {
		store := &memory.Store{}
		a, b := w.node("a", moderated(store)), w.node("b", moderated(store))
		ann, also := a.as("ann").do(roomAdd("r"), roomAdd("q")), b.as("ann").do(roomAdd("r"))
		bob := b.as("bob").do(roomAdd("r"))
		left := b.countLeavers(allowed)
		a.sanctions(sanction(moderation.Ban, "ann", "r", time.Hour))
		a.has("r", bob)
		a.has("q", ann)
		left.check(w, hook.CauseRemoved, 1)
		until := "banned until 2000-01-01T01:00:00Z: be kind"
		also.says(roomAdd("r"), refused(until, "", time.Hour))
		a.as("ann").says(roomAdd("r"), refused(until, "", time.Hour))
		err := a.AddMember(w.Context(), in("r"), also.ID())
		if retry, is := errors.AsType[*engine.RetryError](err); !is || retry.Text != until || retry.Wait != time.Hour {
			w.Errorf("the server API receives %v", err)
		}
	})
}

// TestABanOfAllRoomsClosesConnections checks the codes of connections that a ban of a user or an address closes
// and refuses, sessions included.
func TestABanOfAllRoomsClosesConnections(t *testing.T) {
	for _, subject := range []string{"ann", "10.0.0.1"} {
		inWorld(t, func(w *world) {
			store := &memory.Store{}
			n := w.node("n", resumes, moderated(store))
			away, present := n.as("ann").do(roomAdd("r")), n.as("ann").do(roomAdd("q"))
			secret := away.secret()
			away.Sink.Close()
			synctest.Wait()
			n.has("r", away)
			s := n.sanctions(sanction(moderation.Ban, subject, "*", 0))
			synctest.Wait()
			n.has("r")
			n.has("q")
			present.hears("bye banned: be kind (3507)")
			_, err := n.bring("ann")
			w.must(err, engine.Close{Code: 3507, Reason: "banned: be kind"})
			_, err = n.RemoveSanction(w.Context(), "default", s.ID, "mia")
			w.must(err, nil)
			n.as("ann").says(resume(secret), failed("session has ended"))
		})
	}
}

// TestALateUserIsChecked checks a client that sends its token after it has connected: sanctions of its user hold
// from then on.
func TestALateUserIsChecked(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", moderated(&memory.Store{}))
		n.sanctions(sanction(moderation.Ban, "ann", "r", 0))
		n.sanctions(sanction(moderation.Ban, "bob", "*", 0))
		c := n.client().do(roomAdd("r"), roomAdd("q"))
		c.do(`{"event":"auth","token":"ann","messageId":1}`)
		n.has("r")
		n.has("q", c)
		c = n.client().do(roomAdd("q"))
		c.Run(`{"event":"auth","token":"bob","messageId":1}`)
		<-c.Gone
		c.hears("bye banned: be kind (3507)")
		promised := n.promise()
		promised.Run("auth bob")
		<-promised.Gone
	})
}

// failing is a store that fails while broken is set, and counts its followers.
type failing struct {
	memory.Store
	mu                sync.Mutex
	broken            error
	followed, current int
}

func (f *failing) Follow(ctx context.Context, tenant string, change func(moderation.Change)) (func(), error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return nil, f.broken
	}
	stop, err := f.Store.Follow(ctx, tenant, change)
	f.followed++
	f.current++
	return func() {
		stop()
		f.mu.Lock()
		defer f.mu.Unlock()
		f.current--
	}, err
}

// TestNobodyConnectsWithoutSanctions checks that clients are refused while the sanctions of their tenant cannot
// be read, and may return.
func TestNobodyConnectsWithoutSanctions(t *testing.T) {
	inWorld(t, func(w *world) {
		store := &failing{broken: errors.New("store is away")}
		n := w.node("n", moderated(store))
		_, err := n.bring("ann")
		w.must(err, engine.CloseUnavailable)
		if engine.CloseUnavailable.Final() {
			w.Error("the client may not return")
		}
		store.broken = nil
		n.as("ann").HangUp()
	})
}

// TestOnlyTenantsWithClientsAreFollowed checks that a tenant is followed once, from its first client until a
// minute after its last one.
func TestOnlyTenantsWithClientsAreFollowed(t *testing.T) {
	inWorld(t, func(w *world) {
		store := &failing{}
		n := w.node("n", moderated(store))
		if store.followed != 0 {
			w.Error("a tenant without clients is followed")
		}
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				c, err := n.connect(wire.WebSocket)
				if err != nil {
					w.Error(err)
					return
				}
				c.HangUp()
			})
		}
		all.Wait()
		time.Sleep(59 * time.Second)
		synctest.Wait()
		c := n.client()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if store.followed != 1 || store.current != 1 {
			w.Errorf("followed %d times, %d now", store.followed, store.current)
		}
		n.sanctions(sanction(moderation.Mute, "ann", "*", 0))
		c.HangUp()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if store.current != 0 {
			w.Error("the tenant is still followed")
		}
		n.as("ann").do(roomAdd("r")).says(say("r", "x"), refused("muted: be kind", unsaid("x"), 0))
	})
}

// TestSanctionsAreChecked checks the answers to sanctions that cannot be set.
func TestSanctionsAreChecked(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", moderated(&memory.Store{Limits: moderation.Limits{All: 1}}))
		for _, c := range []struct {
			change func(*moderation.Sanction)
			want   string
		}{
			{func(s *moderation.Sanction) { s.Tenant = "nobody" }, "no such tenant"},
			{func(s *moderation.Sanction) { s.User = "" }, "either a user or a network"},
			{func(s *moderation.Sanction) { s.Kind = "scold" }, `kind "scold": use mute, shadow or ban`},
			{func(s *moderation.Sanction) { s.Rooms = "" }, "rooms: the pattern is empty"},
			{func(s *moderation.Sanction) { s.Reason = strings.Repeat("x", 257) }, "reason: at most 256 bytes"},
			{func(s *moderation.Sanction) { s.Note = "\xff" }, "note: at most 1024 bytes of UTF-8"},
			{func(s *moderation.Sanction) { s.User = strings.Repeat("x", 257) }, "user: at most 256 bytes"},
			{func(s *moderation.Sanction) { s.Until = -1 }, "until is negative"},
			{func(*moderation.Sanction) {}, ""},
			{func(s *moderation.Sanction) { s.User = "bob" }, "remove some"},
		} {
			s := sanction(moderation.Mute, "ann", "*", 0)
			c.change(&s)
			if _, err := n.SetSanction(w.Context(), s); c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				w.Errorf("%+v: %v, want %q", s, err, c.want)
			}
		}
		page, _, err := n.Sanctions(w.Context(), "default", moderation.Query{Limit: 10})
		if err != nil || len(page) != 1 || page[0].User != "ann" {
			w.Errorf("the list is %v, %v", page, err)
		}
		plain := w.node("m")
		_, err = plain.SetSanction(w.Context(), sanction(moderation.Mute, "ann", "*", 0))
		w.must(err, engine.ErrNoModeration)
	})
}

// TestAShadowedMessageReachesItsAuthorAlone checks that a message under a shadow reaches the author's connections on all
// nodes in the form of the say chain, and nobody else, neither now nor from history.
func TestAShadowedMessageReachesItsAuthorAlone(t *testing.T) {
	inWorld(t, func(w *world) {
		store := &memory.Store{}
		a, b := w.node("a", resumes, moderated(store)), w.node("b", resumes, moderated(store))
		effects := []hook.Effect{emit("r", "heard by all"), property("said", "true")}
		for _, n := range []*node{a, b} {
			n.on(hook.OnSayReceive, func(*hook.Event) hook.Verdict { return allow(effects...) })
			n.mw.Say = func(ev *hook.Event, members []hook.Member) hook.Delivery {
				p := wire.Payload{Message: wire.Message{Text: ev.Message.Text + "!"}, Room: ev.Room, From: ev.From, Context: ev.Context, SentAt: ev.SentAt}
				return hook.Delivery{Answers: []wire.Payload{p}, For: make([]int32, len(members))}
			}
		}
		ann, also, bob := a.as("ann").do(roomAdd("r")), b.as("ann").do(roomAdd("r")), b.as("bob").do(roomAdd("r"))
		ann.heard()
		also.heard()
		s := a.sanctions(sanction(moderation.Shadow, "ann", "r", time.Hour))
		ann.says(say("r", "psst"), ok, chat("r", ann.ID(), "psst!"))
		also.hears(chat("r", ann.ID(), "psst!"))
		bob.hears()
		if got := propertiesOf(ann); got != "said=true" {
			w.Errorf("the author has the properties %s", got)
		}
		bob.Run(`{"event":"roomHistory","room":"r","messageId":1}`)
		if got := strings.Join(bob.heard(), ""); strings.Contains(got, "psst") || !strings.Contains(got, `"messages":[]`) {
			w.Errorf("the history is %s", got)
		}
		removed, err := a.RemoveSanction(w.Context(), "default", s.ID, "mia")
		w.must(err, nil)
		effects = nil
		ann.do(say("r", "hello"))
		if got := strings.Join(bob.heard(), ""); !strings.Contains(got, "hello!") || !removed {
			w.Errorf("after the removal bob receives %s", got)
		}
		if got := a.Stats(); got.Shadowed != 1 {
			w.Errorf("counted %d shadowed messages", got.Shadowed)
		}
	})
}

// TestAShadowOfAnAddressIsOfOneConnection checks that others behind the address do not receive a shadowed message, and that
// messages of the API on behalf of the author are shadowed as well.
func TestAShadowOfAnAddressIsOfOneConnection(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n", moderated(&memory.Store{}))
		one, two := n.client().do(roomAdd("r")), n.client().do(roomAdd("r"))
		one.heard()
		n.sanctions(sanction(moderation.Shadow, "10.0.0.1", "*", 0))
		one.says(say("r", "psst"), ok, chat("r", one.ID(), "psst"))
		w.must(errorOf(n.Broadcast(w.Context(), in("r"), one.ID(), []byte(`"on behalf"`))), nil)
		one.hears(chat("r", one.ID(), "on behalf"))
		two.hears()
	})
}

// TestSanctionsOfOthersAllocateNothing checks that a say allocates as much in a tenant with 10,000 sanctions of other users and
// networks as in one without.
func TestSanctionsOfOthersAllocateNothing(t *testing.T) {
	says := func(sanctions int) float64 {
		store := &memory.Store{}
		h := newHall(t, func(c *engine.Config) { c.Moderation = store })
		defer h.stop()
		h.enter(t, 1)
		for i := range sanctions {
			s := sanction(moderation.Mute, fmt.Sprint("user ", i), "*", 0)
			if i%2 == 1 {
				s.User, s.Network = "", netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}), 32)
			}
			if _, err := h.SetSanction(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		r := wire.Request{Verb: "say", Room: "r", RoomGiven: true, Text: "hello", ID: []byte("1")}
		return testing.AllocsPerRun(2000, func() { h.members[0].Do(t.Context(), r) })
	}
	if with, without := says(10_000), says(0); with > without {
		t.Errorf("a say takes %v allocations with sanctions, and %v without", with, without)
	}
}

// BenchmarkSayWithSanctions compares a say in a tenant without sanctions, and with 10,000 of other users.
func BenchmarkSayWithSanctions(b *testing.B) {
	user := func(i int) moderation.Sanction { return sanction(moderation.Mute, fmt.Sprint("user ", i), "*", 0) }
	network := func(i int) moderation.Sanction {
		s := sanction(moderation.Mute, "", "*", 0)
		s.Network = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), 32)
		return s
	}
	for _, test := range []struct {
		name string
		n    int
		of   func(int) moderation.Sanction
	}{{"0 sanctions", 0, user}, {"10000 sanctions of users", 10_000, user}, {"10000 sanctions of addresses", 10_000, network}} {
		n, of := test.n, test.of
		b.Run(test.name, func(b *testing.B) {
			store := &memory.Store{}
			h := newHall(b, func(c *engine.Config) { c.Moderation = store })
			defer h.stop()
			h.enter(b, 1)
			for i := range n {
				if _, err := h.SetSanction(b.Context(), of(i)); err != nil {
					b.Fatal(err)
				}
			}
			r := wire.Request{Verb: "say", Room: "r", RoomGiven: true, Text: "hello", ID: []byte("1")}
			b.ReportAllocs()
			for b.Loop() {
				h.members[0].Do(b.Context(), r)
			}
		})
	}
}
