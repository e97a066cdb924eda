package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/wire"
)

// answer runs a request and returns the messages that the client receives.
func (c *client) answer(request string) string {
	<-c.Begin(request)
	return strings.Join(c.heard(), "\n")
}

// TestEveryVerbOfTheTableRuns checks that each verb of the table runs on the transports
// that have it, and is counted under its name or the name of its group.
func TestEveryVerbOfTheTableRuns(t *testing.T) {
	const unknown = "verb not found or not allowed"
	for _, v := range wire.Verbs {
		inWorld(t, func(w *world) {
			n := w.node("n")
			a, s := n.client(), n.socket()
			answer := a.answer(event(v.Name))
			if got := strings.Contains(answer, unknown); got != (v.Listed == wire.OnSocket) {
				t.Errorf("%s on the WebSocket: %s", v.Name, answer)
			}
			if answer := s.answer(event(v.Name)); strings.Contains(answer, unknown) {
				t.Errorf("%s on the socket: %s", v.Name, answer)
			}
			counted := uint64(0)
			for _, c := range n.Stats().Verbs {
				if c.Verb != v.Counted() {
					t.Errorf("%s is counted as %s", v.Name, c.Verb)
				}
				counted += c.Count
			}
			if ends := v.Name == "quit" || v.Name == "exit"; ends && counted != 0 || !ends && counted != 2 {
				t.Errorf("%s is counted %d times", v.Name, counted)
			}
		})
	}
}

// TestVerbsCostTheirPrice checks that each request takes the price of its verb from a
// bucket that holds twice the rate.
func TestVerbsCostTheirPrice(t *testing.T) {
	for _, v := range wire.Verbs {
		if v.Name == "quit" || v.Name == "exit" { // the first one ends the connection
			continue
		}
		inWorld(t, func(w *world) {
			const rate = 10
			n := w.node("n", func(c *engine.Config) { c.Limits.VerbsPerSecond = rate })
			s, paid := n.socket(), 0
			for ; n.Stats().RateLimited == 0; paid++ {
				s.answer(event(v.Name))
			}
			if want := 2*rate/v.Price + 1; float64(paid) < want-1 || float64(paid) > want+1 { // sums of prices have rounding errors
				t.Errorf("request %d of %s was over the limit, want %v", paid, v.Name, want)
			}
		})
	}
}

func TestVerbsThatDoNotExistAreCountedAsOne(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		n.client().do(event("nonsense"), event("params"), event("other"))
		var counted []string
		for _, c := range n.Stats().Verbs {
			counted = append(counted, fmt.Sprint(c.Verb, " ", c.Result, " ", c.Count))
		}
		if got := strings.Join(counted, ", "); got != "other error 3" {
			t.Errorf("counted as %s", got)
		}
	})
}
