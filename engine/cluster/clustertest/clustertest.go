// Package clustertest tests the promises of cluster.Backend. Every implementation passes its
// tests:
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
// Each promise has its own fixture, and starts and stops its nodes. The tests wait for slow
// events of a backend, up to Fixture.Patience. To show that an event does not happen, a test
// waits for another event that would come after it. Run the tests under the race detector. They
// fail if a goroutine is left.
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

	// Kill ends a running node as a crash would: nothing is cleaned up, and its further calls
	// fail or have no effect. The test then ends the ctx of Run, which may run until then and may
	// return any error. Kill may return before the other nodes notice.
	Kill func(name string)

	// Patience is the time that the tests wait for the slowest event, such as the end of a dead
	// node's lease. 0 is 10 s. A test waits that long only if a promise is broken.
	Patience time.Duration

	// Crowd is the number of members of the largest room. 0 is 1000.
	Crowd int
}

// promise is one promise of a backend and its test.
type promise struct {
	name string
	test func(*world)
}

// Run tests every promise, each with a fixture made by start.
func Run(t *testing.T, start func(t *testing.T) Fixture) {
	for _, p := range slices.Concat(broker(), history(), amendments(), rooms(), presence(), lost(), sessions(), nodes()) {
		t.Run(p.name, func(t *testing.T) {
			before := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, before) })
			p.test(newWorld(t, start(t)))
		})
	}
}
