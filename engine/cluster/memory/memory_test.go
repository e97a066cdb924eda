package memory_test

import (
	"testing"

	"github.com/mootchat/moot/engine/cluster/clustertest"
	"github.com/mootchat/moot/engine/cluster/memory"
)

func TestPromises(t *testing.T) { clustertest.Run(t, start) }

func start(*testing.T) clustertest.Fixture {
	hub := memory.New()
	return clustertest.Fixture{
		Node:  hub.Node,
		Kill:  func(name string) { _ = hub.Kill(name) },
		Crowd: 100_000,
	}
}
