// Package redis keeps sanctions in Redis, which all nodes share.
//
// The keys of a tenant have one hash tag, so that a script may access all of them on a Redis Cluster
// too. A change is one script and one round trip, and is published on one channel for all tenants:
//
//	moot:{mod:TENANT}:s   hash: ID of a sanction -> record (see record.go)
//	moot:{mod:TENANT}:i   sorted set: SUBJECT NUL ID, all scores 0: the order of pages
//	moot:{mod:TENANT}:x   sorted set: ID of a sanction with an end -> its end, ms by Redis' clock
//	moot:{mod:TENANT}:g   sorted set: ID of a sanction that was removed in the last 2 minutes -> when, ms
//	moot:{mod:TENANT}:c   hash: revision, time of the last change, ms; modules, number of sanctions of modules
//	moot:moderation       channel of changes
package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster/redis/durable"
	"github.com/mootchat/moot/engine/moderation"
)

// Store is a [moderation.Store] in Redis. Create it with New.
type Store struct {
	Limits moderation.Limits // must not change after the first call
	Wait   durable.Wait      // the replicas that Set and Remove wait for; must not change after the first call

	client redis.UniversalClient
	prefix string
	log    *slog.Logger

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu        sync.Mutex
	started   chan struct{} // not nil: run has begun; closed when the subscription is active
	followers map[string]map[*follower]struct{}
	recent    map[subject]change // the latest change of each sanction; see note
}

// New returns a store whose keys begin with prefix. A nil log is slog.Default. The caller closes the client,
// after Close.
func New(client redis.UniversalClient, prefix string, log *slog.Logger) *Store {
	if log == nil {
		log = slog.Default()
	}
	s := &Store{client: client, prefix: prefix, log: log, followers: map[string]map[*follower]struct{}{}, recent: map[subject]change{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Close ends the subscription. Followers are no longer called.
func (s *Store) Close() error {
	s.cancel()
	s.work.Wait()
	return nil
}

func (s *Store) channel() string { return s.prefix + ":moderation" }

func (s *Store) key(tenant, name string) string { return s.prefix + ":{mod:" + tenant + "}:" + name }

// keys are the keys of luaTenant.
func (s *Store) keys(tenant string) []string {
	return []string{s.key(tenant, "s"), s.key(tenant, "i"), s.key(tenant, "x"), s.key(tenant, "g"), s.key(tenant, "c")}
}

// Set implements [moderation.Store].
func (s *Store) Set(ctx context.Context, one moderation.Sanction) (moderation.Sanction, error) {
	c, limits := setting(one), s.Limits.WithDefaults()
	cmd, waited := s.Wait.Run(ctx, s.client, setScript, s.keys(one.Tenant), one.Tenant, s.channel(), c.id, c.source, c.subject, c.until, c.data,
		limits.All, limits.OfModules, limits.OfSubject)
	if cmd == nil {
		return one, unknown(waited)
	}
	answer, err := cmd.Text()
	switch {
	case err != nil:
		return one, unknown(err)
	case answer == "full":
		return one, moderation.ErrFull
	case answer == "modules":
		return one, moderation.ErrModulesFull
	case answer == "subject":
		return one, moderation.ErrSubjectFull
	}
	before, at, _ := strings.Cut(answer, " ")
	m, err := s.made(c, before, at)
	if err != nil {
		return one, err
	}
	one.At = m.revision
	m.change.Set = []moderation.Sanction{one}
	s.pass(ctx, m)
	return one, unknown(waited)
}

// unknown returns the error of a change whose outcome is unknown; nil for nil.
func unknown(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", moderation.ErrUnknown, err)
}

// made notes a change of this node, and returns it as the followers receive it.
func (s *Store) made(c change, before, at string) (m message, err error) {
	m.tenant = c.tenant
	if m.before, err = parseTime(before); err != nil {
		return m, err
	}
	if m.revision, err = parseTime(at); err != nil {
		return m, err
	}
	c.at = m.revision
	s.note(c)
	s.begin()
	return m, nil
}

// Remove implements [moderation.Store].
func (s *Store) Remove(ctx context.Context, tenant, id string) (bool, error) {
	cmd, waited := s.Wait.Run(ctx, s.client, removeScript, s.keys(tenant), tenant, s.channel(), id)
	if cmd == nil {
		return false, unknown(waited)
	}
	answer, err := cmd.Slice()
	if err != nil {
		return false, unknown(err)
	}
	if len(answer) != 3 {
		return false, fmt.Errorf("redis answered %d values, want 3", len(answer))
	}
	before, _ := answer[0].(string)
	at, _ := answer[1].(string)
	m, err := s.made(change{tenant: tenant, id: id}, before, at)
	if err != nil || answer[2] != int64(1) {
		return false, cmp.Or(err, unknown(waited))
	}
	m.change.Removed = []string{id}
	s.pass(ctx, m)
	return true, unknown(waited)
}

// List implements [moderation.Store]. A page is one script.
func (s *Store) List(ctx context.Context, tenant string, q moderation.Query) (page []moderation.Sanction, next string, err error) {
	low, high := "-", "+"
	if q.Subject != "" {
		low, high = "["+q.Subject+"\x00", "("+q.Subject+"\x01"
	}
	if q.Cursor > q.Subject+"\x00" {
		low = "(" + q.Cursor
	}
	p, err := s.page(ctx, tenant, low, high, q.Limit)
	return p.sanctions, p.next, err
}

// page is a part of a tenant's sanctions.
type page struct {
	revision  int64
	next      string // place of the last one; "": the last page
	sanctions []moderation.Sanction
}

func (s *Store) page(ctx context.Context, tenant, low, high string, limit int) (p page, err error) {
	keys := []string{s.key(tenant, "s"), s.key(tenant, "i"), s.key(tenant, "x"), s.key(tenant, "c")}
	answer, err := listScript.Run(ctx, s.client, keys, low, high, limit).StringSlice()
	if err != nil {
		return p, err
	}
	if len(answer) < 2 || len(answer)%2 != 0 {
		return p, errors.New("redis returned no page of sanctions")
	}
	if p.revision, err = parseTime(answer[0]); err != nil {
		return p, err
	}
	p.next = answer[1]
	malformed, first := 0, error(nil)
	for i := 2; i < len(answer); i += 2 {
		one, err := parseRecord(tenant, answer[i], answer[i+1])
		if errors.Is(err, errUnknown) {
			continue
		}
		if err != nil {
			malformed++
			first = cmp.Or(first, fmt.Errorf("sanction %s: %w", answer[i], err))
			continue
		}
		p.sanctions = append(p.sanctions, one)
	}
	if malformed > 0 {
		s.log.Warn("malformed sanctions in Redis are ignored", "tenant", tenant, "sanctions", malformed, "first", first)
	}
	return p, nil
}
