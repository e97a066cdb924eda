package redis

import (
	"context"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster"
)

// Listings. The cost of a page depends on its size: a script reads at most mostOfPage names or
// mostCounted rooms, and takes some tenths of a millisecond, so that it hardly delays chat. The
// scripts of all partitions take one round trip.

// The answers of listScript.
const (
	whole   = iota
	passed  // names of destroyed rooms were removed from the index: call again
	lacking // the index lacks rooms: add them, and call again
)

// listScript answers with one of these values and a page of names.
//
//	KEYS rooms rl
//	ARGV min max limit
var listScript = redis.NewScript(`
if redis.call('ZCARD', KEYS[2]) < redis.call('HLEN', KEYS[1]) then return {2} end
local names = redis.call('ZRANGEBYLEX', KEYS[2], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
local out = {0}
for _, name in ipairs(names) do
  if redis.call('HEXISTS', KEYS[1], name) == 1 then
    out[#out + 1] = name
  else
    redis.call('ZREM', KEYS[2], name)
    out[1] = 1
  end
end
return out`)

// List implements cluster.Rooms. A page has at most 500 rooms.
func (r *rooms) List(ctx context.Context, tenant string, q cluster.RoomQuery) (names []string, more bool, err error) {
	if q.Limit < 1 {
		return nil, false, fmt.Errorf("list rooms: limit %d: must be 1 or more", q.Limit)
	}
	n, limit := (*Node)(r), min(q.Limit, mostOfPage)
	low, high := lexRange(q)
	calls := make([]scriptCall, len(n.parts))
	for i, p := range n.parts {
		calls[i] = scriptCall{p.roomKeys(tenant), []any{low, high, limit + 1}}
	}
	for again := true; again; {
		names, again = names[:0], false
		pages, err := n.pages(ctx, calls)
		if err != nil {
			return nil, false, err
		}
		for i, v := range pages {
			state, err := v.number(0)
			some, err2 := v.texts(1)
			if err != nil || err2 != nil {
				return nil, false, fmt.Errorf("list rooms: %w", errValues)
			}
			if state == lacking {
				err = n.index(ctx, n.parts[i], tenant)
			}
			if err != nil {
				return nil, false, err
			}
			names, again = append(names, some...), again || state != whole
		}
	}
	slices.Sort(names)
	more = len(names) > limit
	return names[:min(limit, len(names))], more, nil
}

func (n *Node) pages(ctx context.Context, calls []scriptCall) (pages []values, err error) {
	err = n.read(ctx, "list rooms", func(ctx context.Context) error {
		answers, err := n.runAll(ctx, listScript, calls)
		pages = nil
		for _, a := range answers {
			v, _ := a.Slice()
			pages = append(pages, v)
		}
		return err
	})
	return pages, err
}

// indexed is the number of names that one command adds to an index.
const indexed = 1000

// index adds the names of all rooms of the tenant to an index that lacks rooms, which a version
// without an index created. It reads all names, and is needed once.
func (n *Node) index(ctx context.Context, p *partition, tenant string) error {
	keys := p.roomKeys(tenant)
	return n.read(ctx, "index rooms", func(ctx context.Context) error {
		names, err := n.via(ctx).HKeys(ctx, keys[0]).Result()
		if err != nil {
			return err
		}
		for some := range slices.Chunk(names, indexed) {
			members := make([]redis.Z, len(some))
			for i, name := range some {
				members[i].Member = name
			}
			if err := n.via(ctx).ZAdd(ctx, keys[1], members...).Err(); err != nil {
				return err
			}
		}
		return nil
	})
}

// lexRange returns the arguments of ZRANGEBYLEX for the query.
func lexRange(q cluster.RoomQuery) (low, high string) {
	low, high = "-", "+"
	switch {
	case q.After >= q.Prefix && q.After != "":
		low = "(" + q.After
	case q.Prefix != "":
		low = "[" + q.Prefix
	}
	end := []byte(q.Prefix)
	for len(end) > 0 && end[len(end)-1] == 0xff {
		end = end[:len(end)-1]
	}
	if len(end) > 0 {
		end[len(end)-1]++
		high = "(" + string(end)
	}
	return low, high
}

// Count implements cluster.Rooms.
func (r *rooms) Count(ctx context.Context, tenants ...string) (counts []int, err error) {
	n := (*Node)(r)
	err = n.read(ctx, "count rooms", func(ctx context.Context) error {
		counts = make([]int, len(tenants))
		cmds := make([]*redis.IntCmd, 0, len(tenants)*len(n.parts))
		pipe := n.via(ctx).Pipeline()
		for _, tenant := range tenants {
			for _, p := range n.parts {
				cmds = append(cmds, pipe.HLen(ctx, p.roomsKey(tenant)))
			}
		}
		_, err := pipe.Exec(ctx)
		for i, cmd := range cmds {
			counts[i/len(n.parts)] += int(cmd.Val())
		}
		return err
	})
	return counts, err
}

// countScript counts the members of processes whose lease has not ended.
//
//	KEYS alive rn...
var countScript = redis.NewScript(luaNow + `
local living, out = {}, {}
for _, process in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')) do living[process] = true end
for i = 2, #KEYS do
  local h, n = redis.call('HGETALL', KEYS[i]), 0
  for j = 1, #h, 2 do
    if living[h[j]] then n = n + tonumber(h[j + 1]) end
  end
  out[i - 1] = n
end
return out`)

// mostCounted is the number of rooms that one script counts.
const mostCounted = 100

// Count implements cluster.Presence.
func (n *Node) Count(ctx context.Context, room cluster.RoomID) (int, error) {
	counts, err := n.Counts(ctx, []cluster.RoomID{room})
	if err != nil {
		return 0, err
	}
	return counts[0], nil
}

// Counts implements cluster.Presence.
func (n *Node) Counts(ctx context.Context, rooms []cluster.RoomID) ([]int, error) {
	counts := make([]int, 0, len(rooms))
	for some := range slices.Chunk(rooms, mostCounted) {
		more, err := n.count(ctx, some)
		if err != nil {
			return nil, err
		}
		counts = append(counts, more...)
	}
	return counts, nil
}

// count is Counts for at most mostCounted rooms.
func (n *Node) count(ctx context.Context, rooms []cluster.RoomID) (counts []int, err error) {
	byPart := map[*partition]int{}
	var calls []scriptCall
	var of [][]int // the indexes of the rooms that each call counts
	for i, room := range rooms {
		p, key := n.at(room)
		k, ok := byPart[p]
		if !ok {
			k = len(calls)
			byPart[p], calls, of = k, append(calls, scriptCall{keys: []string{p.keys.of("alive")}}), append(of, nil)
		}
		calls[k].keys, of[k] = append(calls[k].keys, p.keys.of("rn", key)), append(of[k], i)
	}
	err = n.read(ctx, "count", func(ctx context.Context) error {
		counts = make([]int, len(rooms))
		answers, err := n.runAll(ctx, countScript, calls)
		if err != nil {
			return err
		}
		for k, a := range answers {
			numbers, err := a.Int64Slice()
			if err != nil || len(numbers) != len(of[k]) {
				return fmt.Errorf("%w: %w", errValues, err)
			}
			for j, i := range of[k] {
				counts[i] = int(numbers[j])
			}
		}
		return nil
	})
	return counts, err
}

// scriptCall is one call of a script.
type scriptCall struct {
	keys []string
	args []any
}

// runAll runs a script for each call, in one round trip to each server.
func (n *Node) runAll(ctx context.Context, s *redis.Script, calls []scriptCall) ([]*redis.Cmd, error) {
	if len(calls) == 1 {
		answer := s.Run(ctx, n.via(ctx), calls[0].keys, calls[0].args...)
		return []*redis.Cmd{answer}, answer.Err()
	}
	pipe := n.via(ctx).Pipeline()
	answers := make([]*redis.Cmd, len(calls))
	for i, c := range calls {
		answers[i] = s.Eval(ctx, pipe, c.keys, c.args...)
	}
	_, err := pipe.Exec(ctx)
	return answers, err
}
