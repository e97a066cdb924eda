package redis

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/events"
)

// A failover loses writes that no replica had. A node numbers its calls of Append in each partition, and Redis has the number of the last
// one. If Redis has a lower number than the node, the last calls are lost, and the node owes Redis their events: it writes them again. Until a node has
// noticed a loss, Redis takes no further call from it, so that no call whose answer was lost can hide the difference. Numbers never begin anew: a
// master that has died may start empty, and take calls, before it is a replica and loses them.

// restoreFor is the largest age of a write that a failover can lose. The age is that at the last contact with the master before it.
const restoreFor = 15 * time.Second

// maxRecent limits the calls that a node keeps for a partition, in bytes.
const maxRecent = 4 << 20

// recent are the last calls in a partition.
type recent struct {
	call  int64 // the number of the last call
	calls int64 // the number of the last call that Redis has
	last  []appended
	bytes int             // of last
	owed  []events.Record // that Redis has lost, and that are not written again yet
}

// appended is a call of Append.
type appended struct {
	call    int64
	at      time.Time
	records []events.Record
	bytes   int
}

// note notes a call that Redis has.
func (r *recent) note(call int64, records []events.Record) {
	one := appended{call: call, at: time.Now(), records: slices.Clone(records)}
	for i := range records {
		one.bytes += 200 + len(records[i].Data)
	}
	r.calls, r.last, r.bytes = call, append(r.last, one), r.bytes+one.bytes
	r.confirm()
}

// confirm notes that Redis has all calls now. It forgets those that a failover cannot lose any more.
func (r *recent) confirm() {
	for len(r.last) > 1 && r.bytes > maxRecent || len(r.last) > 0 && time.Since(r.last[0].at) > restoreFor {
		r.bytes -= r.last[0].bytes
		r.last[0] = appended{}
		r.last = r.last[1:]
	}
}

// lose notes that Redis has only the calls up to that number. It adds the events of later calls to owed, and returns their number.
func (r *recent) lose(calls int64) int {
	before := len(r.owed)
	r.last = slices.DeleteFunc(r.last, func(a appended) bool {
		if a.call > calls {
			r.owed = append(r.owed, a.records...)
			r.bytes -= a.bytes
		}
		return a.call > calls
	})
	r.calls = calls
	return len(r.owed) - before
}

// with calls f with the last calls of a partition. It holds the lock meanwhile.
func (s *Store) with(partition int, f func(r *recent)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.recent[partition])
}

// next returns the number for a call, and that of the last call that Redis should have.
func (s *Store) next(partition int) (call, calls int64) {
	s.with(partition, func(r *recent) { r.call++; call, calls = r.call, r.calls })
	return call, calls
}

// toCheck returns the number of the last call that Redis should have, and whether a failover may have lost some, or events are owed.
func (s *Store) toCheck(partition int) (calls int64, may bool) {
	s.with(partition, func(r *recent) { calls, may = r.calls, len(r.last)+len(r.owed) > 0 })
	return calls, may
}

// lost notes that Redis has only the calls up to that number, and logs a loss of events.
func (s *Store) lost(partition int, calls int64) {
	s.with(partition, func(r *recent) {
		if n := r.lose(calls); n > 0 {
			s.log.Info("events that Redis had lost are written again", "events", n)
		}
	})
}

// restore repeats the calls that Redis has lost, in a turn of the partition.
func (s *Store) restore(ctx context.Context, partition int) error {
	has, err := s.client.Get(ctx, s.base(partition)+":w:"+s.node).Int64()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	if calls, _ := s.toCheck(partition); has < calls {
		s.lost(partition, has)
	} else {
		s.with(partition, (*recent).confirm)
	}
	return s.repay(ctx, partition)
}

// repay writes the events that the node owes Redis, in a turn of the partition.
func (s *Store) repay(ctx context.Context, partition int) error {
	for {
		var some []events.Record
		s.with(partition, func(r *recent) { some = slices.Clone(r.owed[:min(len(r.owed), maxRepaid)]) })
		if len(some) == 0 {
			return nil
		}
		if err := s.write(ctx, partition, some); err != nil {
			return err // they are owed until a call succeeds
		}
		s.with(partition, func(r *recent) {
			if r.owed = slices.DeleteFunc(r.owed, func(e events.Record) bool {
				return slices.ContainsFunc(some, func(w events.Record) bool { return w.ID == e.ID && w.Sink == e.Sink })
			}); len(r.owed) == 0 {
				r.owed = nil
			}
		})
	}
}

// maxRepaid is the number of events that one call of repay writes.
const maxRepaid = 500

// eraseRecent removes the events of a user.
func (s *Store) eraseRecent(tenant, user string) {
	of := func(e events.Record) bool { return e.Sink.Tenant == tenant && e.User == user }
	s.with(partitionOf(tenant), func(r *recent) {
		for i := range r.last {
			r.last[i].records = slices.DeleteFunc(r.last[i].records, of)
		}
		r.owed = slices.DeleteFunc(r.owed, of)
	})
}
