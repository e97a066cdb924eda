package redis

import (
	"testing"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

func TestPromisesCluster(t *testing.T) {
	all := redistest.StartCluster(t, 3, 0)
	promises(t, leastUser(t, Config{Mode: Cluster, Addresses: redistest.Addresses(all), Partitions: 5}, all...))
}
