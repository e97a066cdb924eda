package redis

import (
	"context"
	"errors"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster"
)

// A node is recorded as a process, <node>#<random>, which renews its lease in every partition.
// When the lease has ended, other nodes remove the process's members. If the process is alive,
// its members that are still connected join again, through the handler. Members that Redis has
// lost with its data are recorded again, without a join.

// restoreRecord records the members of this node again if Redis lacks them. It uses a goroutine,
// because the lease must be renewed at the same time.
func (p *partition) restoreRecord(found beatResult) {
	if !found.known || p.generation != found.generation {
		p.missing.Store(true)
	}
	if p.data != found.data {
		p.emptied.Store(true)
	}
	p.generation, p.data = found.generation, found.data
	all := p.missing.Load() || found.taken != "0"
	if !all && !p.n.roster.hasStale() || !p.returning.CompareAndSwap(false, true) {
		return
	}
	if !p.n.begin() {
		return
	}
	p.missing.Store(false)
	go func() {
		defer p.n.tasks.Done()
		defer p.returning.Store(false)
		err := p.recordStale(p.n.life)
		if err == nil && all {
			err = p.recordAll(p.n.life, found.taken)
		}
		if err != nil && p.n.life.Err() == nil {
			p.missing.Store(all)
			p.n.cfg.Log.Warn("cannot record all members of this node yet, trying again", "error", err)
		}
	}()
}

// recordAll records all members of the node. Members that were handed to others join again; the
// others are recorded without a join.
func (p *partition) recordAll(ctx context.Context, taken string) error {
	n := p.n
	if p.emptied.Load() {
		if err := p.restoreRooms(ctx); err != nil {
			return err
		}
		p.emptied.Store(false)
	}
	leaving := false // members that were handed to others are leaving: partScript needs the mark
	for some := range slices.Chunk(n.roster.in(p), takeCount) {
		if taken == "0" {
			if err := p.recordAgain(ctx, some); err != nil {
				return err
			}
			continue
		}
		gone, err := p.unrecorded(ctx, some)
		if err != nil {
			return err
		}
		for room, members := range gone {
			n.cfg.Log.Warn("this node was taken for dead: its members join again", "room", room.Room, "members", len(members))
			n.counters.Rejoined.Add(int64(len(members)))
			n.handler.Rejoin(ctx, room, members)
		}
		if len(gone) > 0 && !leaving {
			still, err := p.unrecorded(ctx, some)
			if err != nil {
				return err
			}
			leaving = len(still) > 0
		}
	}
	if err := p.removeUnknown(ctx); err != nil || taken == "0" || leaving || n.roster.isParting(p) {
		return err // with the mark, the next beat does this again
	}
	return n.ask(ctx, "come back", func(ctx context.Context) error {
		return backScript.Run(ctx, n.client, []string{p.keys.of("taken", n.process)}, taken).Err()
	})
}

// restoreRooms creates again the rooms that this node has created or has members in.
func (p *partition) restoreRooms(ctx context.Context) error {
	n := p.n
	if p == n.parts[0] {
		if err := n.offerSecret(ctx, n.secret); err != nil {
			return err
		}
	}
	rooms := slices.DeleteFunc(append(n.made.list(), n.roster.rooms()...), func(room cluster.RoomID) bool {
		q, _ := n.at(room)
		return q != p
	})
	back := 0
	for some := range slices.Chunk(rooms, ensured) {
		ctx, cancel := context.WithTimeout(ctx, 2*readTimeout)
		created, err := n.createMissing(ctx, n.client, some)
		cancel()
		if err != nil {
			return err
		}
		back += created
	}
	n.cfg.Log.Warn("redis has lost its data: rooms of this node are created again", "rooms", back)
	return nil
}

// backScript clears the mark that members were handed to others, unless more were handed over
// since.
//
//	KEYS taken
//	ARGV count
var backScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1`)

// unrecorded returns the members that Redis does not have, by room.
func (p *partition) unrecorded(ctx context.Context, some []seat) (map[cluster.RoomID][]cluster.MemberRecord, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*readTimeout)
	defer cancel()
	pipe := p.n.client.Pipeline()
	for _, s := range some {
		pipe.HExists(ctx, p.keys.of("rm", p.n.process, roomKey(s.room)), s.member.ID)
	}
	cmds, err := pipe.Exec(ctx)
	if err != nil {
		return nil, err
	}
	gone := map[cluster.RoomID][]cluster.MemberRecord{}
	for i, cmd := range cmds {
		if is, ok := cmd.(*redis.BoolCmd); ok && !is.Val() {
			gone[some[i].room] = append(gone[some[i].room], some[i].member)
		}
	}
	return gone, nil
}

// recordAgain records members again.
func (p *partition) recordAgain(ctx context.Context, some []seat) error {
	n := p.n
	n.roster.settled.Lock()
	defer n.roster.settled.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 5*readTimeout)
	defer cancel()
	pipe := n.client.Pipeline()
	for _, s := range some {
		if now, ok := n.roster.at(place{s.room, s.member.ID}); ok && !now.parting {
			keys, args := n.addArguments(s.room, s.member, now.announced)
			addScript.Eval(ctx, pipe, keys, args...)
		}
	}
	if pipe.Len() == 0 {
		return nil
	}
	cmds, err := pipe.Exec(ctx)
	if err != nil {
		return err
	}
	back, roomless := 0, 0
	for _, cmd := range cmds {
		switch answer, err := cmd.(*redis.Cmd).Int(); {
		case err != nil:
			return err
		case answer == lapsed:
			return errors.New("the lease of this node has ended again")
		case answer == added:
			back++
		case answer == noRoom:
			roomless++
		}
	}
	if back+roomless > 0 {
		n.counters.Restored.Add(int64(back))
		n.cfg.Log.Warn("redis had lost members of this node: they are recorded again", "members", back, "withoutRoom", roomless)
	}
	return nil
}

// removeUnknown removes members that are recorded for this node but are not here, because a
// failover may have lost their removal.
func (p *partition) removeUnknown(ctx context.Context) error {
	n := p.n
	rooms, err := n.client.SMembers(ctx, p.keys.of("nr", n.process)).Result()
	if err != nil {
		return err
	}
	for _, key := range rooms {
		room, err := parseRoomKey(key)
		if err != nil {
			n.malformed(p.keys.of("nr"), err)
			continue
		}
		ids, err := n.client.HKeys(ctx, p.keys.of("rm", n.process, key)).Result()
		if err != nil {
			return err
		}
		for _, id := range ids {
			if _, ok := n.roster.at(place{room, id}); !ok {
				n.roster.markStale(room, id)
			}
		}
	}
	return p.recordStale(ctx)
}

// recordStale repeats changes that failed before.
func (p *partition) recordStale(ctx context.Context) error {
	var failed error
	for _, at := range p.n.roster.takeStale(p) {
		if failed == nil {
			failed = p.n.recordPlace(ctx, at)
		}
		if failed != nil {
			p.n.roster.markStale(at.room, at.id)
		}
	}
	return failed
}

// recordPlace records or removes one member, according to its present state. The call that runs
// leave removes a leaving member.
func (n *Node) recordPlace(ctx context.Context, at place) error {
	n.roster.settled.Lock()
	defer n.roster.settled.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 2*readTimeout)
	defer cancel()
	s, ok := n.roster.at(at)
	if !ok {
		keys, args := n.removal(at.room, at.id)
		return removeScript.Run(ctx, n.client, keys, args...).Err()
	}
	if s.parting {
		return nil
	}
	keys, args := n.addArguments(at.room, s.member, s.announced)
	return addScript.Run(ctx, n.client, keys, args...).Err()
}
