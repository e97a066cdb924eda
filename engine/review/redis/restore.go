package redis

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// A failover loses changes that no replica had. The script of a change also counts the changes of the process in the tenant. If
// the count in Redis is lower than the number that the process has made, the last changes are lost, and the process makes them
// again.

const (
	restoreFor = 15 * time.Second // age after which a failover can no longer lose a change
	restorable = 2 * time.Minute  // age up to which a lost change is made again; removed items are marked for as long
	checkEvery = time.Second      // time between two comparisons
	checkTime  = 5 * time.Second  // time for one comparison
	maxNoted   = 20_000           // noted changes of a tenant; further ones replace the oldest

	registerEvery = time.Minute      // time between two registrations of a tenant by a node
	registeredFor = 10 * time.Minute // time for which a tenant without items stays on the list
)

// change is a change that this process has made.
type change struct {
	id     string
	record string // "": a removal
	number int64  // among the changes of the process in the tenant
	noted  time.Time
}

// changes are the changes of a process in a tenant.
type changes struct {
	noted map[int64]change // by number
	lost  []change         // to be made again, the oldest first
}

// note keeps a change until Redis can no longer lose it, and starts checkAll if it does not run.
func (s *Store) note(tenant string, c change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.recent[tenant]
	if all == nil {
		all = &changes{noted: map[int64]change{}}
		s.recent[tenant] = all
	}
	if _, is := all.noted[c.number]; is {
		all.lose(c.number)
	}
	if len(all.noted) >= maxNoted {
		delete(all.noted, slices.Min(slices.Collect(maps.Keys(all.noted))))
	}
	c.noted = time.Now()
	all.noted[c.number] = c
	if !s.checking && s.ctx.Err() == nil {
		s.checking = true
		s.work.Go(s.checkAll)
	}
}

// lose moves the changes from a number on to the lost ones. Redis may have some of them; making those again has no effect.
func (c *changes) lose(from int64) {
	var lost []change
	for number, one := range c.noted {
		if number >= from {
			lost = append(lost, one)
			delete(c.noted, number)
		}
	}
	slices.SortFunc(lost, func(a, b change) int { return cmp.Compare(a.number, b.number) })
	c.lost = append(c.lost, lost...)
}

// checkAll compares the noted changes with Redis every checkEvery, until Redis can lose none of them.
func (s *Store) checkAll() {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		tenants := slices.Collect(maps.Keys(s.recent))
		s.checking = len(tenants) > 0
		s.mu.Unlock()
		if len(tenants) == 0 {
			return
		}
		for _, tenant := range tenants {
			if err := s.check(tenant); err != nil && s.ctx.Err() == nil {
				s.log.Debug("changes of the review queue were not compared with Redis", "tenant", tenant, "error", err)
				break // Redis does not answer
			}
		}
	}
}

// check compares the changes of a tenant with those that Redis has, and makes the lost ones again.
func (s *Store) check(tenant string) error {
	ctx, cancel := context.WithTimeout(s.ctx, checkTime)
	defer cancel()
	s.mu.Lock()
	began := time.Now()
	s.mu.Unlock()
	has, err := s.client.Get(ctx, s.ownKey(tenant)).Int64()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	s.mu.Lock()
	all := s.recent[tenant]
	for number, c := range all.noted {
		if number > has && c.noted.Before(began) {
			all.lose(has + 1)
			break
		}
	}
	lost := all.lost
	s.mu.Unlock()
	made, err := s.restore(ctx, tenant, lost)
	s.mu.Lock()
	defer s.mu.Unlock()
	all.lost = all.lost[made:]
	if err != nil {
		return err
	}
	maps.DeleteFunc(all.noted, func(_ int64, c change) bool { return time.Since(c.noted) > restoreFor })
	if len(all.noted)+len(all.lost) == 0 {
		delete(s.recent, tenant)
	}
	return nil
}

// restore makes lost changes again, in order. It returns the number of changes that are settled: made again, or too old.
func (s *Store) restore(ctx context.Context, tenant string, lost []change) (made int, err error) {
	restored, conflicts := 0, 0
	for _, c := range lost {
		if time.Since(c.noted) > restorable {
			made++
			continue
		}
		word, number := "restored", int64(0)
		if c.record == "" {
			var answer []int64
			if answer, err = removeScript.Run(ctx, s.client, s.keys(tenant), c.id).Int64Slice(); err == nil {
				number = answer[0]
			}
		} else {
			var answer []any
			if answer, err = restoreScript.Run(ctx, s.client, s.keys(tenant), c.id, c.record).Slice(); err == nil {
				var rest any
				word, rest = first(answer)
				number, _ = rest.(int64)
			}
		}
		if err != nil {
			break
		}
		made++
		switch word {
		case "restored":
			restored++
		case "conflict":
			conflicts++
		}
		if number > 0 {
			s.note(tenant, change{id: c.id, record: c.record, number: number})
		}
	}
	if restored > 0 {
		s.log.Info("changes of the review queue that Redis had lost were made again", "tenant", tenant, "changes", restored)
		s.mu.Lock()
		delete(s.registered, tenant) // the list of tenants may have lost it too
		s.mu.Unlock()
		err = cmp.Or(err, s.register(ctx, tenant))
	}
	if conflicts > 0 {
		s.log.Warn("items of the review queue were changed by others after Redis had lost a change: the later change holds", "tenant", tenant, "items", conflicts)
	}
	return made, err
}

// register puts a tenant on the list of tenants, at most once in registerEvery. Put calls it before it stores an item.
func (s *Store) register(ctx context.Context, tenant string) error {
	now := time.Now()
	s.mu.Lock()
	is := now.Sub(s.registered[tenant]) < registerEvery
	s.mu.Unlock()
	if is {
		return ctx.Err()
	}
	if err := s.client.ZAdd(ctx, s.index(), redis.Z{Score: float64(now.UnixMilli()), Member: tenant}).Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registered[tenant] = now
	return nil
}

// forget removes a tenant from the list of tenants if it has had no items for a while.
func (s *Store) forget(ctx context.Context, tenant string) error {
	n, err := s.client.Exists(ctx, s.key(tenant, "i")).Result()
	if err != nil || n > 0 {
		return err
	}
	return forgetScript.Run(ctx, s.client, []string{s.index()}, tenant, time.Now().Add(-registeredFor).UnixMilli()).Err()
}

// Tenants implements [review.Store].
func (s *Store) Tenants(ctx context.Context) ([]string, error) {
	names, err := s.client.ZRange(ctx, s.index(), 0, -1).Result()
	return names, unavailable(err)
}
