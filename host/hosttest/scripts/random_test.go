package scripts

import (
	"fmt"
	"testing"

	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// TestNoTwoInstancesDrawTheSameRandomNumbers checks that the instances of several tenants and hosts, which start in the
// same second, draw different numbers, whether they draw first while they start or in an event.
func TestNoTwoInstancesDrawTheSameRandomNumbers(t *testing.T) {
	for file, text := range map[string]string{
		"event.js":  `moot.on("onSayReceive", () => moot.rewrite(String(Math.random())));`,
		"start.js":  `const n = String(Math.random()); moot.on("onSayReceive", () => moot.rewrite(n));`,
		"event.lua": `moot.on("onSayReceive", function() return moot.rewrite(tostring(math.random(0))) end)`,
		"start.lua": `local n = tostring(math.random()); moot.on("onSayReceive", function() return moot.rewrite(n) end)`,
	} {
		drawn := make(map[string]bool)
		for range 2 {
			w := open(t, rule{file: file, text: text})
			rules := rule{file: file, text: text}.rules(t)
			for i := range 3 {
				tenant := rules.Tenants[0]
				tenant.Name = fmt.Sprint("t", i)
				rules.Tenants = append(rules.Tenants, tenant)
			}
			r, err := w.Load(t.Context(), rules)
			if err != nil {
				t.Fatal(err)
			}
			w.Swap(r)
			for _, tenant := range rules.Tenants {
				ev := &hook.Event{Hook: hook.OnSayReceive, Tenant: tenant.Name, Room: "r", Message: wire.Message{Text: "draw"}}
				if v := w.Decide(t.Context(), ev); v.Outcome != hook.Allowed || drawn[ev.Message.Text] {
					t.Errorf("%s, tenant %s: %q was drawn before (%+v)", file, tenant.Name, ev.Message.Text, v)
				}
				drawn[ev.Message.Text] = true
			}
		}
	}
}
