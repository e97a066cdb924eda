// Package clustertest holds the promises of cluster.Backend, as tests that every
// cluster passes:
//
//	func TestPromises(t *testing.T) {
//		clustertest.Run(t, func(t *testing.T) clustertest.Fixture {
//			hub := memory.New()
//			return clustertest.Fixture{
//				Node: hub.Node,
//				Kill: func(name string) { hub.Kill(name) },
//			}
//		})
//	}
//
// Each promise gets a fixture of its own, runs its nodes, and ends them. What a
// cluster does in its own time is waited for, up to the fixture's patience; that
// something does not happen is shown by what would come after it. The tests are
// worth most under the race detector, and fail where a goroutine is left behind.
package clustertest

import (
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine/cluster"
)

// Fixture is a cluster for one test: without rooms, members and nodes. What it
// needs to take down, it hands to the Cleanup of the test it was made for.
type Fixture struct {
	// Node gives the handle of a new node, whose Nodes.Run is the kit's to call.
	// A name comes again only after the first node of that name has left.
	Node func(name string) cluster.Backend

	// Kill ends a running node as a crash would: nothing is cleaned up, and what
	// it wants to do from then on fails or goes nowhere. Its Run may go on until
	// its ctx ends, which comes next, and return anything. Kill may return
	// before the others know.
	Kill func(name string)

	// Patience is how long the slowest thing may take, such as a dead node's
	// lease to end. 0 is 10 s. It costs time only where a promise is broken.
	Patience time.Duration

	// Crowd is how many members the largest room has. 0 is 1000.
	Crowd int
}

// promise is one thing that a cluster holds to.
type promise struct {
	name string
	test func(*world)
}

// Run tests every promise on a cluster that start gives.
func Run(t *testing.T, start func(t *testing.T) Fixture) {
	for _, p := range slices.Concat(broker(), history(), rooms(), presence(), lost(), sessions(), nodes()) {
		t.Run(p.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, before) })
			p.test(newWorld(t, start(t)))
		})
	}
}
