package redis

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine"
)

// rooms is the node as engine.Rooms.
type rooms Node

// made are the rooms that this node has made, or has found when it wanted to: a
// Redis that lost its data has them made again.
type made struct {
	mu    sync.Mutex
	rooms map[engine.RoomID]struct{}
}

// mostMade bounds made.
const mostMade = 10_000

func (m *made) add(room engine.RoomID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rooms == nil {
		m.rooms = map[engine.RoomID]struct{}{}
	}
	if len(m.rooms) < mostMade {
		m.rooms[room] = struct{}{}
	}
}

func (m *made) remove(room engine.RoomID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.rooms, room)
}

func (m *made) list() []engine.RoomID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.rooms))
}

// createScript answers with the token of who created the room: a try whose answer
// was lost finds its own. KEYS rooms   ARGV name token
var createScript = redis.NewScript(`
redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
return redis.call('HGET', KEYS[1], ARGV[1])`)

func (p *partition) roomsKey(tenant string) string { return p.keys.of("rooms", escapeTenant(tenant)) }

// Create implements engine.Rooms.
func (r *rooms) Create(ctx context.Context, room engine.RoomID) error {
	n, mine, winner := (*Node)(r), token(), ""
	p, _ := n.at(room)
	err := n.ask(ctx, "create", func(ctx context.Context) (err error) {
		winner, err = createScript.Run(ctx, n.client, []string{p.roomsKey(room.Tenant)}, room.Room, mine).Text()
		return err
	})
	if err == nil {
		n.made.add(room)
	}
	if err == nil && winner != mine {
		return fmt.Errorf("create %q: %w", room.Room, engine.ErrRoomExists)
	}
	return err
}

// Destroy implements engine.Rooms. If the answer to a first try was lost, a room
// that is not there any more counts as destroyed.
func (r *rooms) Destroy(ctx context.Context, room engine.RoomID) error {
	n, tries, gone := (*Node)(r), 0, int64(0)
	p, _ := n.at(room)
	err := n.ask(ctx, "destroy", func(ctx context.Context) (err error) {
		if gone, err = n.client.HDel(ctx, p.roomsKey(room.Tenant), room.Room).Result(); err != nil && !isRefusal(err) {
			tries++
		}
		return err
	})
	if err == nil {
		n.made.remove(room)
	}
	if err == nil && gone == 0 && tries == 0 {
		return fmt.Errorf("destroy %q: %w", room.Room, engine.ErrNoRoom)
	}
	return err
}

// Exists implements engine.Rooms.
func (r *rooms) Exists(ctx context.Context, room engine.RoomID) (is bool, err error) {
	n := (*Node)(r)
	p, _ := n.at(room)
	err = n.read(ctx, "exists", func(ctx context.Context) (err error) {
		is, err = n.client.HExists(ctx, p.roomsKey(room.Tenant), room.Room).Result()
		return err
	})
	return is, err
}

// List implements engine.Rooms.
func (r *rooms) List(ctx context.Context, tenant string) ([]string, error) {
	n := (*Node)(r)
	var names []string
	for _, p := range n.parts {
		err := n.read(ctx, "list rooms", func(ctx context.Context) error {
			some, err := n.client.HKeys(ctx, p.roomsKey(tenant)).Result()
			if err == nil {
				names = append(names, some...)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(names)
	return names, nil
}
