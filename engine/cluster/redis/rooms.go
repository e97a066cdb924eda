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

// mostMade bounds made. A node of 10,000 tenants may have ten starting rooms for each.
const mostMade = 100_000

func (m *made) add(rooms ...cluster.RoomID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rooms == nil {
		m.rooms = map[cluster.RoomID]struct{}{}
	}
	for _, room := range rooms {
		if len(m.rooms) < mostMade {
			m.rooms[room] = struct{}{}
		}
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

// ensured is the number of rooms that one pipeline creates. It takes Redis some milliseconds.
const ensured = 1000

// Ensure implements cluster.Rooms.
func (r *rooms) Ensure(ctx context.Context, rooms []cluster.RoomID) error {
	n := (*Node)(r)
	for some := range slices.Chunk(rooms, ensured) {
		if err := n.ask(ctx, "create rooms", func(ctx context.Context) error {
			_, err := n.createMissing(ctx, n.via(ctx), some)
			return err
		}); err != nil {
			return err
		}
		n.made.add(some...)
	}
	return nil
}

// createMissing creates the rooms that do not exist, in one round trip to each server, and returns their
// number. A room that is destroyed at the same time may stay in the index of names, where listScript
// removes it.
func (n *Node) createMissing(ctx context.Context, client redis.UniversalClient, rooms []cluster.RoomID) (created int, err error) {
	pipe := client.Pipeline()
	answers := make([]*redis.BoolCmd, len(rooms))
	for i, room := range rooms {
		p, _ := n.at(room)
		keys := p.roomKeys(room.Tenant)
		answers[i] = pipe.HSetNX(ctx, keys[0], room.Room, token())
		pipe.ZAdd(ctx, keys[1], redis.Z{Member: room.Room})
	}
	_, err = pipe.Exec(ctx)
	for _, a := range answers {
		if a.Val() {
			created++
		}
	}
	return created, err
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
