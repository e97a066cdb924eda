package redis

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/events"
)

// A failover loses writes that no replica had. A node counts its calls of Append in each partition, both in its memory and in
// Redis. If the count in Redis is lower, the last calls are lost, and the node repeats those of the last 15 s.

// restoreFor is the age up to which a failover may lose a write.
const restoreFor = 15 * time.Second

// maxRecent is the number of calls that a node keeps for a partition.
const maxRecent = 1000

// recent are the last calls in a partition.
type recent struct {
	calls int64 // the last count in Redis
	last  []appended
}

// appended is a call of Append.
type appended struct {
	call    int64
	at      time.Time
	records []events.Record
}

// appended notes a call, which Redis has counted, and returns the records of calls that Redis has lost before it.
func (s *Store) appended(partition int, calls int64, records []events.Record) (lost []events.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.recent[partition]
	if calls != r.calls+1 && calls <= r.calls {
		lost = r.lostFrom(calls)
	}
	r.calls = calls
	r.forget()
	r.last = append(r.last, appended{calls, time.Now(), slices.Clone(records)})
	if len(r.last) > maxRecent {
		r.last = slices.Delete(r.last, 0, len(r.last)-maxRecent)
	}
	return lost
}

// lostFrom removes the calls with that count and later ones, and returns their records.
func (r *recent) lostFrom(call int64) (lost []events.Record) {
	r.forget()
	r.last = slices.DeleteFunc(r.last, func(a appended) bool {
		if a.call >= call {
			lost = append(lost, a.records...)
		}
		return a.call >= call
	})
	return lost
}

// forget removes calls that Redis cannot lose any more.
func (r *recent) forget() {
	for len(r.last) > 0 && time.Since(r.last[0].at) > restoreFor {
		r.last[0] = appended{}
		r.last = r.last[1:]
	}
}

func (s *Store) hasRecent(partition int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.recent[partition]
	r.forget()
	return len(r.last) > 0
}

// calls returns the number of calls that Redis has counted.
func (s *Store) calls(partition int) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.recent[partition].calls
}

// restore repeats the calls that Redis has lost, in a turn of the partition.
func (s *Store) restore(ctx context.Context, partition int) error {
	calls, err := s.client.Get(ctx, s.base(partition)+":w:"+s.node).Int64()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	s.mu.Lock()
	r := &s.recent[partition]
	var lost []events.Record
	if calls < r.calls {
		lost, r.calls = r.lostFrom(calls+1), calls
	}
	s.mu.Unlock()
	if len(lost) == 0 {
		return nil
	}
	s.log.Info("events that Redis had lost are written again", "events", len(lost))
	return s.appendTo(ctx, partition, lost)
}

// eraseRecent removes the events of a user.
func (s *Store) eraseRecent(tenant, user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.recent[partitionOf(tenant)]
	for i := range r.last {
		r.last[i].records = slices.DeleteFunc(r.last[i].records, func(e events.Record) bool { return e.Sink.Tenant == tenant && e.User == user })
	}
}
