// Package redis keeps events in Redis, which all nodes share.
//
// Tenants are divided into 16 partitions. The keys of a partition have one hash tag, so that a script may access all of them
// on a Redis Cluster too. A sink has keys only while it has events or dead letters, except its counts (n), and its hash (s) for
// seven days if events were dropped:
//
//	moot:{ev:P}:due                   sorted set: TENANT/SINK -> when it is due, ms by Redis' clock
//	moot:{ev:P}:u                     hash: bytes of events (e/TENANT, e) and of dead letters (d/TENANT, d); aged, crowded, dropped
//	moot:{ev:P}:t:TENANT              set: names of the sinks
//	moot:{ev:P}:e:TENANT/SINK         stream of events: r (JSON), n (sequence), u (user)
//	moot:{ev:P}:d:TENANT/SINK         stream of dead letters, with e (the reason)
//	moot:{ev:P}:s:TENANT/SINK         hash: bytes, token of the claim, failures, error, next, dropped
//	moot:{ev:P}:n:TENANT/SINK/ROOM    number of events, for a day after the last
//	moot:{ev:P}:w:NODE                number of the last call of Append of a node, for a day
package redis

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/mootchat/moot/engine/cluster/redis/durable"
	"github.com/mootchat/moot/engine/events"
)

// partitions is the number of partitions. It must be the same on all nodes, and never changes.
const partitions = 16

// Store is an [events.Store] in Redis. Create it with New. It has no goroutines.
type Store struct {
	Limits events.Limits // must not change after the first call
	Wait   durable.Wait  // the replicas that Append waits for; must not change after the first call

	client redis.UniversalClient
	prefix string
	node   string // of this store; another one after each start
	log    *slog.Logger

	mu     sync.Mutex
	recent [partitions]recent
	turns  [partitions]chan struct{} // each has one element during an Append in the partition, so that counts arrive in order
}

// New returns a store whose keys begin with prefix. A nil log is slog.Default. The caller closes the client.
func New(client redis.UniversalClient, prefix string, log *slog.Logger) *Store {
	if log == nil {
		log = slog.Default()
	}
	s := &Store{client: client, prefix: prefix, node: rand.Text(), log: log}
	for p := range s.turns {
		s.turns[p] = make(chan struct{}, 1)
	}
	return s
}

// Partition implements [events.Store].
func (s *Store) Partition(tenant string) int { return partitionOf(tenant) }

func partitionOf(tenant string) int { return int(crc32.ChecksumIEEE([]byte(tenant)) % partitions) }

func (s *Store) base(partition int) string { return fmt.Sprintf("%s:{ev:%d}", s.prefix, partition) }

// call runs a script of a partition. The arguments begin with base.
func (s *Store) call(ctx context.Context, script *redis.Script, partition int, args ...any) *redis.Cmd {
	base := s.base(partition)
	return script.Run(ctx, s.client, []string{base + ":due"}, append([]any{base}, args...)...)
}

// limits returns the arguments of limits: age in ms, and the bytes of a tenant and of a partition.
func (s *Store) limits() []any {
	l := s.Limits.WithDefaults()
	return []any{l.Age.Milliseconds(), l.TenantBytes, max(1, l.TotalBytes/partitions)}
}

// Append implements [events.Store]. The events of a partition are one script.
func (s *Store) Append(ctx context.Context, records []events.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var parts [partitions][]events.Record
	for _, r := range records {
		p := partitionOf(r.Sink.Tenant)
		parts[p] = append(parts[p], r)
	}
	var all errgroup.Group
	for p, part := range parts {
		if len(part) > 0 {
			all.Go(func() error {
				return s.inTurn(ctx, p, func() error { return s.appendTo(ctx, p, part) })
			})
		}
	}
	return all.Wait()
}

// inTurn calls f while nobody else is in a turn of the partition.
func (s *Store) inTurn(ctx context.Context, partition int, f func() error) error {
	select {
	case s.turns[partition] <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.turns[partition] }()
	return f()
}

// appendTo adds events in a turn of the partition, and then those that Redis has lost.
func (s *Store) appendTo(ctx context.Context, partition int, records []events.Record) error {
	if err := s.write(ctx, partition, records); err != nil {
		return err
	}
	if err := s.repay(ctx, partition); err != nil { // Due tries again
		s.log.Debug("events that Redis had lost are not written yet", "error", err)
	}
	return nil
}

// write adds events in a turn of the partition.
func (s *Store) write(ctx context.Context, partition int, records []events.Record) error {
	base := s.base(partition)
	args := append([]any{base, s.node, int64(0), int64(0)}, s.limits()...)
	for i := range records {
		r := &records[i]
		data, err := json.Marshal(r.Event)
		if err != nil {
			return err
		}
		args = append(args, r.Sink.Tenant, r.Sink.Name, r.Room, r.User, r.Lost, string(data))
	}
	for {
		args[2], args[3] = s.next(partition)
		cmd, waited := s.Wait.Run(ctx, s.client, appendScript, []string{base + ":due"}, args...)
		if cmd == nil {
			return unknown(waited)
		}
		calls, err := cmd.Int64()
		if err != nil {
			return unknown(err)
		}
		if calls > 0 {
			s.with(partition, func(r *recent) { r.note(calls, records) })
			return unknown(waited)
		}
		s.lost(partition, -calls)
	}
}

// unknown returns the error of a change whose outcome is unknown; nil for nil.
func unknown(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", events.ErrUnknown, err)
}

// Due implements [events.Store]. It is one round trip. It also repeats the writes that Redis has lost in a failover.
func (s *Store) Due(ctx context.Context, limit int) (due []events.Sink, err error) {
	pipe := s.client.Pipeline()
	now := pipe.Time(ctx)
	var names [partitions]*redis.ZSliceCmd
	var calls [partitions]*redis.StringCmd
	for p := range partitions {
		names[p] = pipe.ZRangeWithScores(ctx, s.base(p)+":due", 0, int64(max(limit, 1))-1)
		if _, may := s.toCheck(p); may {
			calls[p] = pipe.Get(ctx, s.base(p)+":w:"+s.node)
		}
	}
	_, failed := pipe.Exec(ctx)
	if errors.Is(failed, redis.Nil) {
		failed = nil
	}
	if now.Err() != nil {
		return nil, failed
	}
	for p := range partitions {
		if names[p].Err() != nil { // its server does not answer; those of other partitions may
			failed = names[p].Err()
			continue
		}
		if calls[p] != nil {
			if err := s.inTurn(ctx, p, func() error { return s.check(ctx, p, calls[p]) }); err != nil {
				failed = err
			}
		}
	}
	for i := range limit { // the first of each partition, then the second: many sinks of one partition do not delay those of others
		more := false
		for p := range partitions {
			all := names[p].Val()
			if i >= len(all) || int64(all[i].Score) > now.Val().UnixMilli() {
				continue
			}
			more = true
			name, _ := all[i].Member.(string)
			tenant, sink, found := strings.Cut(name, "/")
			if found && len(due) < limit {
				due = append(due, events.Sink{Tenant: tenant, Name: sink})
			}
		}
		if !more {
			break
		}
	}
	return due, failed
}

// check writes events again that Redis has lost, in a turn of the partition. counted is the number that Redis had before the turn.
func (s *Store) check(ctx context.Context, partition int, counted *redis.StringCmd) error {
	var owes bool
	s.with(partition, func(r *recent) {
		if owes = len(r.owed) > 0 || number(counted.Val()) < r.calls; !owes && counted.Err() == nil {
			r.confirm()
		}
	})
	if !owes {
		return nil
	}
	return s.restore(ctx, partition)
}

// Claim implements [events.Store].
func (s *Store) Claim(ctx context.Context, sink events.Sink, limit int, lease time.Duration) (*events.Claim, error) {
	token := rand.Text()
	answer, err := s.call(ctx, claimScript, partitionOf(sink.Tenant), append([]any{sink.Tenant, sink.Name, token, limit, lease.Milliseconds()}, append(s.limits(), s.Limits.WithDefaults().ClaimBytes)...)...).Slice()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(answer) < 4 || len(answer)%2 != 0 {
		return nil, fmt.Errorf("redis answered %d values for a claim", len(answer))
	}
	c := &events.Claim{Sink: sink, Token: token, Failures: int(number(answer[0])), Dropped: uint64(number(answer[1]))}
	for i := 2; i < len(answer); i += 2 {
		place, _ := answer[i].(string)
		r, err := parse(sink, answer[i+1])
		if err != nil {
			return nil, fmt.Errorf("event %s of sink %s of tenant %s: %w", place, sink.Name, sink.Tenant, err)
		}
		c.Records, c.Places = append(c.Records, r), append(c.Places, place)
	}
	return c, nil
}

// number parses a number of a script; 0 for anything else.
func number(of any) int64 {
	text, _ := of.(string)
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

// parse parses the fields of an entry.
func parse(sink events.Sink, entry any) (r events.Record, err error) {
	fields, _ := entry.([]any)
	for i := 0; i+1 < len(fields); i += 2 {
		name, _ := fields[i].(string)
		value, _ := fields[i+1].(string)
		switch name {
		case "r":
			if err := json.Unmarshal([]byte(value), &r.Event); err != nil {
				return r, err
			}
		case "n":
			r.Sequence = uint64(number(value))
		case "e":
			r.Error = value
		}
	}
	r.Sink = sink
	if r.ID == "" {
		return r, errors.New("the entry is not an event")
	}
	return r, nil
}

// Settle implements [events.Store].
func (s *Store) Settle(ctx context.Context, c *events.Claim, result events.Result) (more bool, err error) {
	args := []any{c.Sink.Tenant, c.Sink.Name, c.Token, result.Delivered, result.Dead, c.Dropped, waitOf(result.Wait), result.Error}
	args = append(args, s.limits()...)
	for _, place := range c.Places[:result.Delivered+result.Dead] {
		args = append(args, place)
	}
	n, err := s.call(ctx, settleScript, partitionOf(c.Sink.Tenant), args...).Int()
	return n == 1, unknown(err)
}

// waitOf returns a time in ms; at least 1 for one that is not 0.
func waitOf(d time.Duration) int64 {
	if d == 0 {
		return 0
	}
	return max(1, d.Milliseconds())
}

// States implements [events.Store].
func (s *Store) States(ctx context.Context, tenant string) (all []events.State, err error) {
	answer, err := s.call(ctx, statesScript, partitionOf(tenant), tenant).Slice()
	if err != nil {
		return nil, err
	}
	for _, one := range answer {
		f, _ := one.([]any)
		if len(f) != 9 {
			return nil, fmt.Errorf("redis answered %d values for a sink, want 9", len(f))
		}
		st := events.State{Events: int(number(f[1])), Bytes: number(f[2]), Dead: int(number(f[4])), Dropped: uint64(number(f[5])), Failures: int(number(f[6]))}
		st.Sink, _ = f[0].(string)
		st.Error, _ = f[7].(string)
		place, _ := f[3].(string)
		at, _, _ := strings.Cut(place, "-")
		if st.Oldest = number(at); st.Events > 0 {
			st.Next = max(st.Oldest, number(f[8]))
		}
		all = append(all, st)
	}
	slices.SortFunc(all, func(a, b events.State) int { return strings.Compare(a.Sink, b.Sink) })
	return all, nil
}

// mostRead is the number of sinks of a partition of which Usage reads the oldest event.
const mostRead = 1000

// Usage implements [events.Store]. It is one script for each partition.
func (s *Store) Usage(ctx context.Context) (u events.Usage, err error) {
	var all errgroup.Group
	var answers [partitions][]any
	for p := range partitions {
		all.Go(func() (err error) {
			answers[p], err = s.call(ctx, usageScript, p, mostRead).Slice()
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return u, err
	}
	for _, a := range answers {
		if len(a) != 6 {
			return u, fmt.Errorf("redis answered %d values for the usage, want 6", len(a))
		}
		u.Bytes, u.DeadBytes = u.Bytes+number(a[0]), u.DeadBytes+number(a[1])
		place, _ := a[2].(string)
		at, _, _ := strings.Cut(place, "-")
		if since := number(at); since > 0 && (u.Oldest == 0 || since < u.Oldest) {
			u.Oldest = since
		}
		u.Aged, u.Crowded, u.Dropped = u.Aged+uint64(number(a[3])), u.Crowded+uint64(number(a[4])), u.Dropped+uint64(number(a[5]))
	}
	return u, nil
}

// Dead implements [events.Store].
func (s *Store) Dead(ctx context.Context, sink events.Sink, cursor string, limit int) (page []events.Letter, next string, err error) {
	from := "-"
	if cursor != "" {
		from = "(" + cursor
	}
	found, err := s.client.XRangeN(ctx, s.base(partitionOf(sink.Tenant))+":d:"+sink.Tenant+"/"+sink.Name, from, "+", int64(limit)+1).Result()
	if err != nil {
		return nil, "", err
	}
	for _, m := range found[:min(limit, len(found))] {
		r, err := parse(sink, []any{"r", m.Values["r"], "n", m.Values["n"], "e", m.Values["e"]})
		if err != nil {
			return nil, "", fmt.Errorf("dead letter %s: %w", m.ID, err)
		}
		page = append(page, events.Letter{Place: m.ID, Record: r})
	}
	if len(found) > limit {
		next = page[limit-1].Place
	}
	return page, next, nil
}

// Retry implements [events.Store].
func (s *Store) Retry(ctx context.Context, sink events.Sink, places []string) (int, error) {
	return s.move(ctx, sink, 1, places)
}

// Drop implements [events.Store].
func (s *Store) Drop(ctx context.Context, sink events.Sink, places []string) (int, error) {
	return s.move(ctx, sink, 0, places)
}

func (s *Store) move(ctx context.Context, sink events.Sink, retry int, places []string) (int, error) {
	args := append([]any{sink.Tenant, sink.Name, retry, events.MaxMoved}, s.limits()...)
	for _, place := range places {
		if !isPlace(place) {
			continue
		}
		args = append(args, place)
	}
	if len(places) > 0 && len(args) == 7 {
		return 0, nil
	}
	n, err := s.call(ctx, moveScript, partitionOf(sink.Tenant), args...).Int()
	return n, unknown(err)
}

// isPlace reports whether a text is the id of an entry of a stream.
func isPlace(text string) bool {
	ms, n, found := strings.Cut(text, "-")
	_, err := strconv.ParseUint(ms, 10, 63)
	_, err2 := strconv.ParseUint(n, 10, 63)
	return found && err == nil && err2 == nil
}

// eraseSome is the number of entries that one script reads.
const eraseSome = 500

// Erase implements [events.Store].
func (s *Store) Erase(ctx context.Context, tenant, user string) (n int, err error) {
	s.eraseRecent(tenant, user)
	p := partitionOf(tenant)
	sinks, err := s.client.SMembers(ctx, s.base(p)+":t:"+tenant).Result()
	if err != nil {
		return 0, err
	}
	for _, sink := range sinks {
		for _, kind := range []string{"e", "d"} {
			for after := "-"; after != ""; {
				answer, err := s.call(ctx, eraseScript, p, tenant, sink, kind, user, after, eraseSome, s.limits()[0]).Slice()
				if err != nil || len(answer) != 2 {
					return n, errors.Join(err, fmt.Errorf("the events of sink %s were not all read", sink))
				}
				erased, _ := answer[1].(int64)
				n += int(erased)
				if after, _ = answer[0].(string); after != "" {
					after = "(" + after
				}
			}
		}
	}
	return n, nil
}
