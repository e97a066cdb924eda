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

// A node is cut off for half a minute, longer than publishTimeout and ten times its
// lease, and another is killed meanwhile.
func TestNothingIsLostInALongCut(t *testing.T) {
	redis := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	proxy := redistest.StartProxy(t, redis.Address())
	nodes := []*nodetest.Server{runNode(t, "one", redis.Address(), ""), runNode(t, "two", redis.Address(), ""), runNode(t, "three", proxy.Address(), "")}
	doomed := runNode(t, "doomed", redis.Address(), "")
	p := newParty(t, nodes, 2, 50*time.Millisecond)
	p.hear(100)
	proxy.Silence()
	awake(t, p.guests[0], 15*time.Second)
	if err := doomed.SignalGroup(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	awake(t, p.guests[0], 15*time.Second)
	proxy.Mend()
	p.hear(300)
	redis.Kill() // and comes back with all that it had
	if err := redis.Restart(); err != nil {
		t.Fatal(err)
	}
	p.hear(100)
	p.settle(500, 1)
}
