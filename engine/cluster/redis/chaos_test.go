//go:build chaos

package redis

import (
	"testing"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// These take too long for every day: `make chaos` runs them.

func TestPromisesSentinel(t *testing.T) {
	_, _, sentinel := redistest.StartSentinels(t, 1)
	promises(t, Config{Mode: Sentinel, MasterName: "main", Addresses: []string{sentinel.Address()}})
}

func TestNothingIsLostWhenAClustersMasterDies(t *testing.T) {
	all := redistest.StartCluster(t, 3, 3)
	tr := newTrial(t, Config{Mode: Cluster, Addresses: redistest.Addresses(all), Partitions: 6})
	tr.talk()
	all[1].Kill()
	tr.says(1500)
	tr.settle()
}
