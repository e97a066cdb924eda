// Package clustertest has the tests of the promises of cluster.Backend, which every
// implementation passes:
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
// Each promise has its own fixture, and starts and stops its nodes. The tests wait for what
// a backend does later, up to Fixture.Patience; what must not happen is shown by an event
// that would come after it. Run the tests under the race detector. They fail if a goroutine
// is left.
package clustertest

import (
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine/cluster"
)

// Fixture is a cluster for one test, without rooms, members and nodes. It cleans up with
// the Cleanup of its test.
type Fixture struct {
	// Node returns the handle of a new node; the tests call its Nodes.Run. A name is used
	// again only after the first node of that name has left.
	Node func(name string) cluster.Backend

	// Kill ends a running node as a crash would: nothing is cleaned up, and its further
	// calls fail or have no effect. Its Run may continue until its ctx ends, which
	// comes next, and return anything. Kill may return before the other nodes know.
	Kill func(name string)

	// Patience is for how long the tests wait for the slowest event, such as the end of a
	// dead node's lease. 0 is 10 s. It takes time only where a promise is broken.
	Patience time.Duration

	// Crowd is the number of members of the largest room. 0 is 1000.
	Crowd int
}

// promise is one promise of a backend and its test.
type promise struct {
	name string
	test func(*world)
}

// Run tests every promise with a fixture of start.
func Run(t *testing.T, start func(t *testing.T) Fixture) {
	for _, p := range slices.Concat(broker(), history(), rooms(), presence(), lost(), sessions(), nodes()) {
		t.Run(p.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, before) })
			p.test(newWorld(t, start(t)))
		})
	}
}
