// Package redis keeps the review queue in Redis, which all nodes share.
//
// The keys of a tenant have one hash tag, so that a script may access all of them on a Redis Cluster too. A change is one
// script and one round trip. A tenant without items has none of these keys:
//
//	moot:{review:TENANT}:i   hash: ID -> record (see record.go)
//	moot:{review:TENANT}:q   sorted set: KIND ID of the items that are not decided, all scores 0; KIND is h or r
//	moot:{review:TENANT}:z   sorted set: ID of the decided items, all scores 0
//	moot:{review:TENANT}:u   sorted set: SUBJECT NUL ID, all scores 0
//	moot:{review:TENANT}:d   sorted set: ID -> when the item is due, ms by the nodes' clocks
//	moot:{review:TENANT}:k   hash: Unique -> ID
//	moot:{review:TENANT}:o   hash: KIND OWNER -> number of items that are not decided
//	moot:{review:TENANT}:c   hash: version; dropped; hn, hb, rn, rb, dn, db: numbers and bytes of held messages, reports, decided items
//	moot:{review:TENANT}:g   sorted set: ID of an item that was removed in the last 2 minutes -> when, ms by Redis' clock
//	moot:{review:TENANT}:w:PROCESS   string: number of the changes of a process in the last 10 minutes
//	moot:{review}:tenants    sorted set: tenant that may have items -> when a node last registered it, ms by its clock
package redis

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster/redis/durable"
	"github.com/mootchat/moot/engine/review"
)

// Store is a [review.Store] in Redis. Create it with New.
type Store struct {
	Wait durable.Wait // the replicas that changes wait for; must not change after the first call

	client  redis.UniversalClient
	prefix  string
	process string
	log     *slog.Logger

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu         sync.Mutex
	registered map[string]time.Time // when this node last registered a tenant
	recent     map[string]*changes  // by tenant
	checking   bool                 // checkAll runs
}

// New returns a store whose keys begin with prefix. A nil log is slog.Default. The caller closes the client,
// after Close.
func New(client redis.UniversalClient, prefix string, log *slog.Logger) *Store {
	if log == nil {
		log = slog.Default()
	}
	s := &Store{client: client, prefix: prefix, process: rand.Text()[:16], log: log, registered: map[string]time.Time{}, recent: map[string]*changes{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Close ends the check for lost changes.
func (s *Store) Close() error {
	s.cancel()
	s.work.Wait()
	return nil
}

func (s *Store) key(tenant, name string) string {
	return s.prefix + ":{review:" + tenant + "}:" + name
}

func (s *Store) index() string { return s.prefix + ":{review}:tenants" }

// keys are the keys of luaTenant.
func (s *Store) keys(tenant string) (keys []string) {
	for _, name := range []string{"i", "q", "z", "u", "d", "k", "o", "c", "g"} {
		keys = append(keys, s.key(tenant, name))
	}
	return append(keys, s.ownKey(tenant))
}

func (s *Store) ownKey(tenant string) string { return s.key(tenant, "w:"+s.process) }

// Put implements [review.Store].
func (s *Store) Put(ctx context.Context, one review.Item, limits review.Limits) (review.Item, error) {
	if err := one.Validate(); err != nil {
		return one, err
	}
	if err := s.register(ctx, one.Tenant); err != nil {
		return one, unavailable(err)
	}
	next, l := one, limits.WithDefaults()
	next.Revision = nextRevision(one.Revision)
	text := record(&next)
	cmd, waited := s.Wait.Run(ctx, s.client, putScript, s.keys(one.Tenant), one.ID, one.Revision, text, l.Items, l.Bytes, l.OfOwner)
	if cmd == nil {
		return one, unknown(waited)
	}
	answer, err := cmd.Slice()
	if err != nil {
		return one, unknown(err)
	}
	word, rest := first(answer)
	switch word {
	case "ok":
		number, _ := rest.(int64)
		s.note(one.Tenant, change{id: one.ID, record: text, number: number})
		return next, unknown(waited)
	case "exists":
		text, _ := rest.(string)
		other, err := parseRecord(one.Tenant, text)
		return other, cmp.Or(err, review.ErrExists)
	}
	if err, known := refusals[word]; known {
		return one, err
	}
	return one, fmt.Errorf("redis answered %.20q to a change of the review queue", word)
}

// refusals are the errors for the words of putScript.
var refusals = map[string]error{"none": review.ErrNone, "conflict": review.ErrConflict, "full": review.ErrFull, "bytes": review.ErrFullBytes, "owner": review.ErrOwnerFull}

// first returns a word and the value after it.
func first(answer []any) (word string, rest any) {
	if len(answer) > 0 {
		word, _ = answer[0].(string)
	}
	if len(answer) > 1 {
		rest = answer[1]
	}
	return word, rest
}

// unknown wraps the error of a change whose outcome is unknown; nil for nil.
func unknown(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", review.ErrUnknown, err)
}

// unavailable wraps the error of a command that has changed nothing; nil for nil.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", review.ErrUnavailable, err)
}

// Get implements [review.Store].
func (s *Store) Get(ctx context.Context, tenant, id string) (review.Item, error) {
	text, err := s.client.HGet(ctx, s.key(tenant, "i"), id).Result()
	if errors.Is(err, redis.Nil) {
		return review.Item{}, review.ErrNone
	}
	if err != nil {
		return review.Item{}, unavailable(err)
	}
	return parseRecord(tenant, text)
}

// List implements [review.Store]. A page is one script.
func (s *Store) List(ctx context.Context, tenant string, q review.Query) (page []review.Item, next string, err error) {
	state := "o"
	if q.Decided {
		state = "d"
	}
	keys := []string{s.key(tenant, "i"), s.key(tenant, "q"), s.key(tenant, "z"), s.key(tenant, "u")}
	answer, err := listScript.Run(ctx, s.client, keys, state, letter(q.Kind), q.Room, q.Subject, q.Cursor, q.Limit, review.MaxScanned).StringSlice()
	if err != nil {
		return nil, "", unavailable(err)
	}
	if len(answer)%2 != 1 {
		return nil, "", errors.New("redis returned no page of the review queue")
	}
	return s.parse(tenant, answer[1:]), answer[0], nil
}

// parse parses records, each after its ID. It logs and omits malformed ones.
func (s *Store) parse(tenant string, answer []string) (all []review.Item) {
	for i := 0; i+1 < len(answer); i += 2 {
		one, err := parseRecord(tenant, answer[i+1])
		if err == nil && one.ID != answer[i] {
			err = fmt.Errorf("record is of item %s", one.ID)
		}
		if err != nil {
			s.log.Warn("a malformed item of the review queue in Redis is ignored", "tenant", tenant, "item", answer[i], "error", err)
			continue
		}
		all = append(all, one)
	}
	return all
}

// Due implements [review.Store].
func (s *Store) Due(ctx context.Context, tenant string, now int64, limit int) ([]review.Item, error) {
	answer, err := dueScript.Run(ctx, s.client, s.keys(tenant), now, limit, review.MaxScanned).StringSlice()
	if err != nil {
		return nil, unavailable(err)
	}
	if len(answer) == 0 {
		return nil, s.forget(ctx, tenant)
	}
	return s.parse(tenant, answer), nil
}

// Remove implements [review.Store].
func (s *Store) Remove(ctx context.Context, tenant, id string) (bool, error) {
	cmd, waited := s.Wait.Run(ctx, s.client, removeScript, s.keys(tenant), id)
	if cmd == nil {
		return false, unknown(waited)
	}
	answer, err := cmd.Int64Slice()
	if err != nil {
		return false, unknown(err)
	}
	if len(answer) != 2 {
		return false, fmt.Errorf("redis answered %d values, want 2", len(answer))
	}
	s.note(tenant, change{id: id, number: answer[0]})
	return answer[1] == 1, unknown(waited)
}

// Summary implements [review.Store].
func (s *Store) Summary(ctx context.Context, tenant string) (sum review.Summary, err error) {
	pipe := s.client.Pipeline()
	counters := pipe.HGetAll(ctx, s.key(tenant, "c"))
	oldest := map[string]*redis.StringSliceCmd{}
	for _, kind := range []string{"h", "r"} {
		oldest[kind] = pipe.ZRangeByLex(ctx, s.key(tenant, "q"), &redis.ZRangeBy{Min: "(" + kind, Max: "(" + kind + "~", Count: 1})
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return sum, unavailable(err)
	}
	all := counters.Val()
	number := func(name string) (n int64) {
		if text, is := all[name]; is && err == nil {
			n, err = parseNumber(text)
		}
		return n
	}
	count := func(kind string) (c review.Count) {
		c.Items, c.Bytes = int(number(kind+"n")), number(kind+"b")
		if ids := oldest[kind].Val(); len(ids) > 0 {
			c.Oldest = ids[0][1:]
		}
		return c
	}
	sum = review.Summary{Version: number("version"), Held: count("h"), Reports: count("r"), Decided: int(number("dn")), Dropped: number("dropped")}
	return sum, err
}
