package redis

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster"
)

// rooms is the node as cluster.Rooms.
type rooms Node

// made has the rooms that this node has created or tried to create. The node creates them again
// if Redis loses its data.
type made struct {
	mu    sync.Mutex
	rooms map[cluster.RoomID]struct{}
}

// mostMade bounds made.
const mostMade = 10_000

func (m *made) add(room cluster.RoomID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rooms == nil {
		m.rooms = map[cluster.RoomID]struct{}{}
	}
	if len(m.rooms) < mostMade {
		m.rooms[room] = struct{}{}
	}
}

func (m *made) remove(room cluster.RoomID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.rooms, room)
}

func (m *made) list() []cluster.RoomID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.rooms))
}

// createScript answers with the token of the call that created the room, so that a second attempt
// finds its own token.
//
//	KEYS rooms rl
//	ARGV name token
var createScript = redis.NewScript(`
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
return redis.call('HGET', KEYS[1], ARGV[1])`)

// destroyScript answers 1 if the room existed.
//
//	KEYS rooms rl
//	ARGV name
var destroyScript = redis.NewScript(`
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])`)

func (p *partition) roomsKey(tenant string) string { return p.keys.of("rooms", escapeTenant(tenant)) }

// roomKeys returns the keys of the tenant's rooms: the rooms, and the index of their names.
func (p *partition) roomKeys(tenant string) []string {
	return []string{p.roomsKey(tenant), p.keys.of("rl", escapeTenant(tenant))}
}

// Create implements cluster.Rooms.
func (r *rooms) Create(ctx context.Context, room cluster.RoomID) error {
	n, mine, winner := (*Node)(r), token(), ""
	p, _ := n.at(room)
	err := n.ask(ctx, "create", func(ctx context.Context) (err error) {
		winner, err = createScript.Run(ctx, n.via(ctx), p.roomKeys(room.Tenant), room.Room, mine).Text()
		return err
	})
	if err == nil {
		n.made.add(room)
	}
	if err == nil && winner != mine {
		return fmt.Errorf("create %q: %w", room.Room, cluster.ErrRoomExists)
	}
	return err
}

// Destroy implements cluster.Rooms. If the answer of an earlier attempt was lost, a missing room
// counts as destroyed.
func (r *rooms) Destroy(ctx context.Context, room cluster.RoomID) error {
	n, tries, gone := (*Node)(r), 0, int64(0)
	p, _ := n.at(room)
	err := n.ask(ctx, "destroy", func(ctx context.Context) (err error) {
		if gone, err = destroyScript.Run(ctx, n.via(ctx), p.roomKeys(room.Tenant), room.Room).Int64(); err != nil && !isRefusal(err) {
			tries++
		}
		return err
	})
	if err == nil {
		n.made.remove(room)
	}
	if err == nil && gone == 0 && tries == 0 {
		return fmt.Errorf("destroy %q: %w", room.Room, cluster.ErrNoRoom)
	}
	return err
}

// Exists implements cluster.Rooms.
func (r *rooms) Exists(ctx context.Context, room cluster.RoomID) (is bool, err error) {
	n := (*Node)(r)
	p, _ := n.at(room)
	err = n.read(ctx, "exists", func(ctx context.Context) (err error) {
		is, err = n.via(ctx).HExists(ctx, p.roomsKey(room.Tenant), room.Room).Result()
		return err
	})
	return is, err
}
