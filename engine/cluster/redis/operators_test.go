package redis

import (
	"sync"
	"testing"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// TestOperatorsHaveConnectionsOfTheirOwn checks that any number of listings for operators uses no
// connection of chat, and few connections in total.
func TestOperatorsHaveConnectionsOfTheirOwn(t *testing.T) {
	server := redistest.Start(t)
	n, _ := listed(t, Config{Addresses: []string{server.Address()}}, 200)
	chat := n.client.PoolStats()
	ctx, rooms := cluster.ForOperator(t.Context()), n.Cluster().Rooms
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			names, _, err := rooms.List(ctx, "t", cluster.RoomQuery{Limit: 100})
			if err != nil || len(names) != 100 {
				t.Error(names, err)
				return
			}
			var ids []cluster.RoomID
			for _, name := range names {
				ids = append(ids, cluster.RoomID{Tenant: "t", Room: name})
			}
			_, err = n.Counts(ctx, ids)
			_, err2 := rooms.Count(ctx, "t")
			_, err3 := rooms.Exists(ctx, ids[0])
			_, _, err4 := n.Members(ctx, ids[0], "", 10)
			_, err5 := n.listNodes(ctx) // Nodes.List would wait, because the node does not run
			for _, err := range []error{err, err2, err3, err4, err5} {
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if now := n.client.PoolStats(); now.Hits != chat.Hits || now.Misses != chat.Misses {
		t.Errorf("connections of chat were taken %d times", now.Hits+now.Misses-chat.Hits-chat.Misses)
	}
	if own := n.operators.PoolStats(); own.TotalConns == 0 || own.TotalConns > operatorConnections {
		t.Errorf("operators have %d connections", own.TotalConns)
	}
}
