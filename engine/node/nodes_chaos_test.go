//go:build chaos

package node

import (
	"syscall"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/node/nodetest"
)

const grace = 0

// TestNothingIsLostInALongCut cuts a node off from Redis for half a minute, which is longer than publishTimeout and ten
// times the lease, and kills another node in this time.
func TestNothingIsLostInALongCut(t *testing.T) {
	redis := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	proxy := redistest.StartProxy(t, redis.Address())
	nodes := []*nodetest.Server{runNode(t, "one", redis.Address(), ""), runNode(t, "two", redis.Address(), ""), runNode(t, "three", proxy.Address(), "")}
	doomed := runNode(t, "doomed", redis.Address(), "")
	p := newParty(t, nodes, 2, 50*time.Millisecond)
	p.hear(100)
	proxy.Silence()
	pass(t, p.guests[0], 15*time.Second)
	if err := doomed.SignalGroup(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	pass(t, p.guests[0], 15*time.Second)
	proxy.Mend()
	p.hear(300)
	redis.Kill() // Redis restarts with its data
	if err := redis.Restart(); err != nil {
		t.Fatal(err)
	}
	p.hear(100)
	p.settle(500, 1)
}
