package engine_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
)

// TestOperationsOnAUserReachParkedSessions checks that lists of a user have the user's parked sessions, page by page, and that
// they end with the user's connections: their memberships end at once, and nobody resumes them. Sessions of other users stay.
func TestOperationsOnAUserReachParkedSessions(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two, three := w.node("one", resumes, takes(people, false)), w.node("two", resumes, takes(people, false)), w.node("three", resumes, takes(people, false))
		phone, laptop, bob := one.as("ann").do(roomAdd("r"), roomAdd("q")), one.as("ann").do(roomAdd("r")), one.as("bob").do(roomAdd("r"))
		secrets := []string{phone.secret(), laptop.secret(), bob.secret()}
		one.Stop()
		live := two.as("ann").do(roomAdd("q"))
		for _, n := range []*node{two, three} {
			n.isOn("ann", []string{"q", "r"}, live, phone, laptop)
			n.isOn("bob", []string{"r"}, bob)
			n.isOn("nobody", []string{})
		}
		var pages []string
		for q := (engine.ConnectionQuery{User: "ann", Limit: 1}); ; {
			page, err := three.Connections(w.Context(), "default", q)
			w.must(err, nil)
			for _, c := range page.Connections {
				pages = append(pages, fmt.Sprintf("%v %q %s %v", c.ID == live.ID(), c.Node, c.User, c.Away))
			}
			if q.Cursor = page.Cursor; q.Cursor == "" {
				break
			}
		}
		w.equal("pages", pages, []string{`true "two" ann false`, `false "" ann true`, `false "" ann true`})

		left := three.countLeavers(allowed)
		reached, err := three.DisconnectUser(w.Context(), "default", "ann")
		if w.must(err, nil); reached.Connections != 3 || reached.Lost != nil {
			w.Errorf("closed: %+v", reached)
		}
		left.check(w, hook.CauseRemoved, 3)
		<-live.Gone
		two.isOn("ann", []string{})
		for _, secret := range secrets[:2] {
			two.as("ann").says(resume(secret), failed("session has ended"))
		}
		if r, _ := two.as("bob").back(resume(secrets[2])); len(r.Rooms) != 1 {
			w.Errorf("bob resumes in %v", r.Rooms)
		}
	})
}

// TestAParkedSessionIsClosedByItsID checks that a list's connection can be closed though no node has it.
func TestAParkedSessionIsClosedByItsID(t *testing.T) {
	inWorld(t, func(w *world) {
		one, two := w.node("one", resumes), w.node("two", resumes)
		a, b := one.client().do(roomAdd("r")), one.client().do(roomAdd("r"))
		secrets := []string{a.secret(), b.secret()}
		one.Stop()
		left := two.countLeavers(allowed)
		w.must(two.Disconnect(w.Context(), "default", a.ID()), nil)
		left.check(w, hook.CauseRemoved, 1)
		w.must(two.Disconnect(w.Context(), "default", a.ID()), fmt.Errorf("no such connection: %q", a.ID()))
		two.client().says(resume(secrets[0]), failed("session has ended"))
		two.client().back(resume(secrets[1]))
	})
}

// moment stops the first call of Park or Take of a node, before or after it, until goOn is closed: the session is then on no node.
type moment struct {
	cluster.Sessions
	at            string
	once          sync.Once
	reached, goOn chan struct{}
}

func (m *moment) config(c *engine.Config) { m.Sessions, c.Cluster.Sessions = c.Cluster.Sessions, m }

func (m *moment) stop(at string) {
	if m.at == at {
		m.once.Do(func() {
			close(m.reached)
			<-m.goOn
		})
	}
}

func (m *moment) Park(ctx context.Context, key string, session []byte, ttl time.Duration) error {
	m.stop("before Park")
	err := m.Sessions.Park(ctx, key, session, ttl)
	m.stop("after Park")
	return err
}

func (m *moment) Take(ctx context.Context, key string) ([]byte, error) {
	b, err := m.Sessions.Take(ctx, key)
	if err == nil {
		m.stop("after Take")
	}
	return b, err
}

// TestASessionThatMovesEndsWithItsUser checks that a session does not outlive the close of its user though it is on no node at that
// moment: a node that shuts down parks it, or a client without a token resumes it on another node.
func TestASessionThatMovesEndsWithItsUser(t *testing.T) {
	for _, c := range []struct {
		at       string
		shutdown bool
	}{{"before Park", true}, {"after Park", true}, {"before Park", false}, {"after Park", false}, {"after Take", false}} {
		t.Run(fmt.Sprint(c.at, " shutdown ", c.shutdown), func(t *testing.T) {
			inWorld(t, func(w *world) {
				m := &moment{at: c.at, reached: make(chan struct{}), goOn: make(chan struct{})}
				slow := map[bool]string{true: "two", false: "one"}[c.at == "after Take"]
				nodes := map[string]*node{}
				var left atomic.Int64
				for _, name := range []string{"one", "two", "three"} {
					nodes[name] = w.node(name, resumes, func(c *engine.Config) {
						if name == slow {
							m.config(c)
						}
					})
					nodes[name].on(hook.Leave, func(*hook.Event) hook.Verdict { left.Add(1); return allow() })
				}
				ann := nodes["one"].identifies(nil).client().do(roomAdd("r"), login("ann"))
				secret := ann.secret()
				ann.HangUp()
				moved := make(chan struct{})
				back := nodes["two"].client()
				go func() {
					defer close(moved)
					if c.shutdown {
						nodes["one"].Stop()
					} else {
						<-back.Begin(resume(secret))
					}
				}()
				<-m.reached
				_, err := nodes["three"].DisconnectUser(w.Context(), "default", "ann")
				w.must(err, nil)
				close(m.goOn)
				<-moved
				synctest.Wait()
				nodes["three"].isOn("ann", []string{})
				nodes["three"].isEmpty("r")
				if n := left.Load(); n != 1 {
					w.Errorf("leave ran %d times", n)
				}
				nodes["two"].client().says(resume(secret), failed("session has ended"))
			})
		})
	}
}
