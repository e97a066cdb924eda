package engine_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// TestVerbsAndChainsAreTimed checks the counts and durations of verbs and chains. The clock
// of the bubble advances only while a rule sleeps.
func TestVerbsAndChainsAreTimed(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one")
		verdict := hook.Verdict{}
		n.on(hook.OnSayReceive, func(*hook.Event) hook.Verdict {
			time.Sleep(80 * time.Millisecond)
			return verdict
		})
		c := n.client()
		c.do(roomAdd("r"), say("r", "one"), say("r", "two"))
		verdict = deny("no")
		c.do(say("r", "three"))
		verdict = hook.Verdict{Outcome: hook.Failed}
		c.do(say("r", "four"), `{"event":"nonsense","messageId":1}`)
		verdict = hook.Verdict{Outcome: hook.Failed, RetryAfter: time.Second}
		c.do(say("r", "five"))

		got := map[string]string{}
		for _, v := range n.Stats().Verbs {
			got[v.Verb+" "+v.Result] = fmt.Sprint(v.Count, " in ", v.Durations.Sum)
			if v.Durations.Total() != v.Count {
				t.Errorf("%s %s: %d of %d are timed", v.Verb, v.Result, v.Durations.Total(), v.Count)
			}
		}
		for _, s := range n.Stats().Chains {
			got[s.Hook+" "+s.Outcome] = fmt.Sprint(s.Durations.Total(), " in ", s.Durations.Sum)
		}
		want := map[string]string{
			"roomAdd ok": "1 in 0s", "say ok": "2 in 160ms", "say error": "1 in 80ms", "say failed": "2 in 160ms", "other error": "1 in 0s",
			"onSayReceive allowed": "2 in 160ms", "onSayReceive denied": "1 in 80ms", "onSayReceive failed": "2 in 160ms",
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
		if all := n.Tenants(); len(all) != 1 || all[0].Messages != 2 {
			t.Errorf("%+v, want 2 messages of the tenant", all)
		}
	})
}

// TestActionsAreTimedAndRefusalsForTheirRateAreNot checks that the duration of an action
// ends with its answer, and that a verb that is refused by the rate limit is counted
// without a duration.
func TestActionsAreTimedAndRefusalsForTheirRateAreNot(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one", func(c *engine.Config) { c.Limits.VerbsPerSecond = 1 })
		n.mw.Declared = map[string]hook.ActionSpec{"wait": {}}
		n.on(hook.Action, func(*hook.Event) hook.Verdict {
			time.Sleep(time.Second)
			return hook.Verdict{}
		})
		c := n.client()
		const action = `{"event":"action","params":{"action":"wait"},"messageId":1}`
		c.do(action, action, action)
		time.Sleep(2 * time.Second)
		got := map[string]string{}
		for _, v := range n.Stats().Verbs {
			got[v.Verb+" "+v.Result] = fmt.Sprint(v.Count, " in ", v.Durations.Sum)
		}
		if want := map[string]string{"action ok": "2 in 2s", "action limited": "1 in 0s"}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	})
}

func TestCountingAVerbAllocatesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("one")
		for _, verb := range []string{"say", "nonsense", "paramAdd"} {
			if allocated := testing.AllocsPerRun(100, func() { n.ObserveVerb(verb, nil, time.Millisecond) }); allocated != 0 {
				t.Errorf("%s: %v allocations", verb, allocated)
			}
		}
	})
}

// TestTenantsAreCountedInPieces checks that counting connections needs a constant amount of
// memory, because it looks at a limited number of them at a time.
func TestTenantsAreCountedInPieces(t *testing.T) {
	inWorld(t, func(w *world) {
		n := w.node("n")
		connect := func(clients int) {
			for range clients {
				if _, err := n.connect(wire.WebSocket); err != nil {
					w.Fatal(err)
				}
			}
		}
		count := func(want int) float64 {
			return testing.AllocsPerRun(10, func() {
				if all := n.TenantsNamed([]string{"default"}); all[0].Connections != want || all[0].OutboxBytes != 0 {
					w.Errorf("counted %+v, want %d connections", all[0], want)
				}
			})
		}
		connect(10)
		synctest.Wait()
		few := count(10)
		connect(2*engine.MaxLooked - 10)
		synctest.Wait()
		if many := count(2 * engine.MaxLooked); many > few {
			w.Errorf("counting %d connections allocates %v times, counting 10 %v times", 2*engine.MaxLooked, many, few)
		}
	})
}
