package redis

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/moderation"
)

// A failover loses changes that no replica had. A node notes each change that it has made or received. It makes lost
// changes again before it reads the tenant's sanctions, so that a sanction that holds on the node continues to hold.

const (
	restoreFor = 15 * time.Second // age up to which a failover may lose a change
	restorable = 2 * time.Minute  // age up to which a lost change is made again; the scripts have it as 120000
	maxNoted   = 10_000           // changes that are noted; further ones replace others

	compareTime = 5 * time.Second // time to compare all tenants
)

// subject identifies a sanction of a tenant.
type subject struct{ tenant, id string }

// note keeps a change until Redis can no longer lose it.
func (s *Store) note(c change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := subject{c.tenant, c.id}
	if old, is := s.recent[key]; is && old.at >= c.at {
		return
	}
	for other := range s.recent {
		if len(s.recent) < maxNoted {
			break
		}
		delete(s.recent, other)
	}
	c.noted = time.Now()
	s.recent[key] = c
}

// forget drops changes of tenants that Redis has, or that are too old to be made again. The caller holds mu.
func (s *Store) forget(has func(tenant string) bool) {
	maps.DeleteFunc(s.recent, func(key subject, c change) bool {
		age := time.Since(c.noted)
		return age > restorable || age > restoreFor && has(key.tenant)
	})
}

// changes returns the changes of a message for note.
func (m *message) changes() (all []change) {
	for _, one := range m.change.Set {
		c := setting(one)
		c.at = one.At
		all = append(all, c)
	}
	for _, id := range m.change.Removed {
		all = append(all, change{tenant: m.tenant, id: id, at: m.revision})
	}
	return all
}

// lostIn returns the noted changes of a tenant that are missing in all, its sanctions in Redis, the oldest first. If all is
// nil, it returns each noted change. A change may be missing because of a later removal that this node does not know;
// restoreScript then does not make it.
func (s *Store) lostIn(tenant string, all []moderation.Sanction) (lost []change) {
	has := make(map[string]int64, len(all))
	for i := range all {
		has[all[i].ID] = all[i].At
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, c := range s.recent {
		if at, is := has[key.id]; key.tenant == tenant && at < c.at && (is || c.data != "" || all == nil) {
			lost = append(lost, c)
		}
	}
	slices.SortFunc(lost, func(a, b change) int { return cmp.Compare(a.at, b.at) })
	return lost
}

// drop forgets a noted change that restoreScript has not made again.
func (s *Store) drop(c change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := subject{c.tenant, c.id}
	if s.recent[key].at == c.at {
		delete(s.recent, key)
	}
}

// restore makes lost changes again, and returns their number.
func (s *Store) restore(ctx context.Context, lost []change) (restored int, err error) {
	for _, c := range lost {
		n, err := restoreScript.Run(ctx, s.client, s.keys(c.tenant), c.tenant, s.channel(), c.id, c.source, c.subject, c.until, c.data, c.at).Int()
		if err != nil {
			return restored, err
		}
		if restored += n; n == 0 {
			s.drop(c)
		}
	}
	if restored > 0 {
		s.log.Info("sanctions that Redis had lost were set or removed again", "tenant", lost[0].tenant, "sanctions", restored)
	}
	return restored, nil
}

// compare compares the revisions of tenants with those of their followers and of the noted changes. If they differ, it
// makes lost changes again, and followers read all sanctions.
func (s *Store) compare() {
	s.mu.Lock()
	latest := map[string]int64{} // revisions of noted changes
	for tenant := range s.followers {
		latest[tenant] = 0
	}
	for key, c := range s.recent {
		latest[key.tenant] = max(latest[key.tenant], c.at)
	}
	s.mu.Unlock()
	if len(latest) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, compareTime)
	defer cancel()
	pipe := s.client.Pipeline()
	revisions := map[string]*redis.StringCmd{}
	for tenant := range latest {
		revisions[tenant] = pipe.HGet(ctx, s.key(tenant, "c"), "revision")
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	same := map[string]bool{}
	for tenant, answer := range revisions {
		revision, err := answer.Int64()
		if err != nil && err != redis.Nil {
			continue
		}
		same[tenant] = s.check(ctx, tenant, revision, latest[tenant])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(func(tenant string) bool { return same[tenant] })
}

// check reports whether the followers of a tenant have the revision of Redis, and Redis the changes of this node up to
// latest. If not, it begins to correct that.
func (s *Store) check(ctx context.Context, tenant string, revision, latest int64) bool {
	followers, same := s.of(tenant), true
	for _, one := range followers {
		if !one.isAt(revision) {
			s.reloadOne(one)
			same = false
		}
	}
	if len(followers) > 0 || revision >= latest {
		return same
	}
	if _, err := s.restore(ctx, s.lostIn(tenant, nil)); err != nil {
		if s.ctx.Err() == nil {
			s.log.Warn("sanctions that a failover may have lost were not set again", "tenant", tenant, "error", err)
		}
		return false
	}
	return true
}
