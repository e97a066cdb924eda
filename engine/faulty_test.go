package engine_test

import (
	"errors"
	"testing"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/wire"
)

func TestTheClientsOfAFaultyTenantAreRefusedAndNoOthers(t *testing.T) {
	inWorld(t, func(w *world) {
		faulty := tenants("default", "acme")
		faulty.Tenants[1].Faulty = true
		n := w.node("n", func(c *engine.Config) { c.Tenants = faulty.Tenants })
		stays := n.client().do(roomAdd("r"))
		if got, _ := n.Match("", "/acme/ws"); got != "acme" {
			w.Errorf("its clients belong to %q", got)
		}
		refused := func() {
			w.Helper()
			_, err := n.tryOpen(wire.WebSocket, engine.ReservationRequest{Tenant: "acme"})
			var why *engine.Refusal
			if !errors.As(err, &why) || why.Message != "tenant is not configured correctly" || why.RetryAfter == 0 {
				w.Errorf("a client: %v", err)
			}
		}
		refused()
		n.swap(tenants("default", "acme"))
		n.open(wire.WebSocket, engine.ReservationRequest{Tenant: "acme"}).do(roomAdd("r"))
		n.swap(faulty)
		refused()
		stays.do(say("r", "hello"))
	})
}
