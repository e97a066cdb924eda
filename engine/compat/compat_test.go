// Package compat tests Moot with the unmodified clients of ActionHero: the browser client
// of ActionHero 29.3.5 with Primus 8, and actionhero-node-client 8 over TCP.
package compat

import (
	"testing"

	"github.com/mootchat/moot/engine/compat/nodetest"
)

func TestClientsOfActionHero(t *testing.T) {
	nodetest.Run(t, "node_modules/.actionhero/ActionheroWebsocketClient-29.3.5.js")
}
