package api_test

import (
	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/enginetest"
	"github.com/mootchat/moot/engine/wire"
)

// client connects a client to a tenant, until the end of the test.
func (n *node) client(tenant string) *enginetest.Client {
	n.t.Helper()
	c, err := enginetest.Connect(n.t, n.engine, wire.Socket, engine.ReservationRequest{Tenant: tenant})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(c.HangUp)
	return c
}
