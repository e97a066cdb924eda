//go:build chaos

package redis

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/moderation"
	moderationredis "github.com/mootchat/moot/engine/moderation/redis"
)

// quotaTenant is a tenant without clients, whose modules set more sanctions than they may.
const quotaTenant = "quota"

// sanctionLimits are the limits of the stores of a round. People always find room: they set fewer sanctions than the modules leave.
var sanctionLimits = moderation.Limits{All: 60, OfModules: 10}

// quota are the sanctions of quotaTenant that were answered as set, and not removed.
type quota struct {
	mu      sync.Mutex
	is      map[string]bool // by the user
	refused int
}

// fill makes each site set and remove sanctions of a module and of a person, each for users of its own. A change is repeated
// until it is answered.
func (r *round) fill() {
	r.quota = &quota{is: map[string]bool{}}
	for i, s := range r.sites {
		rng := r.branch(uint64(80 + i))
		r.work.Go(func() {
			for k := 0; !r.over.Load() && !r.late(); k++ {
				module, user := moderator, fmt.Sprintf("module %d.%d", i, rng.IntN(8))
				if k%3 == 0 {
					module, user = "", fmt.Sprintf("person %d.%d", i, rng.IntN(8))
				}
				r.toggle(s.sanctions, user, module)
				r.breath(time.Duration(rng.IntN(150)) * time.Millisecond)
			}
		})
	}
}

// toggle sets the sanction of a user if there is none, and removes it otherwise.
func (r *round) toggle(store *moderationredis.Store, user, module string) {
	q := r.quota
	q.mu.Lock()
	is := q.is[user]
	q.mu.Unlock()
	s := moderation.Sanction{Tenant: quotaTenant, User: user, Kind: moderation.Mute, Rooms: moderation.AllRooms, Module: module}
	if err := s.Identify(); err != nil {
		r.Error(err)
		return
	}
	full := false
	r.answered(func() (err error) {
		if is {
			_, err = store.Remove(r.ctx, quotaTenant, s.ID)
			return err
		}
		_, err = store.Set(r.ctx, s)
		if full = errors.Is(err, moderation.ErrModulesFull); full && module != "" {
			return nil
		}
		if err != nil && !errors.Is(err, moderation.ErrUnknown) {
			r.Errorf("set a sanction of %q: %v", user, err)
			return nil
		}
		return err
	})
	q.mu.Lock()
	defer q.mu.Unlock()
	if full {
		q.refused++
	} else if is {
		delete(q.is, user)
	} else {
		q.is[user] = true
	}
}

// checkQuota checks that the sanctions in Redis are those that were answered, that the modules have had no more than their part, and that
// they can set as many again when theirs are removed.
func (r *round) checkQuota() {
	q, store := r.quota, r.sites[0].sanctions
	listed := func() string {
		all, _, err := store.List(r.ctx, quotaTenant, moderation.Query{Limit: 100})
		if err != nil {
			return err.Error()
		}
		var users []string
		for i := range all {
			users = append(users, all[i].User)
		}
		slices.Sort(users)
		return fmt.Sprint(users)
	}
	if want := fmt.Sprint(slices.Sorted(maps.Keys(q.is))); redistest.Await("sanctions are those that were answered", func() bool { return listed() == want }) != nil {
		r.Errorf("the sanctions are those of %s, want %s", listed(), want)
	}
	modules := 0
	for user := range maps.Clone(q.is) {
		if user[0] == 'm' {
			modules++
			r.toggle(store, user, moderator)
		}
	}
	if q.refused == 0 || modules > sanctionLimits.OfModules && !r.deployment.lossy {
		r.Errorf("modules have %d sanctions of %d, and were refused %d times", modules, sanctionLimits.OfModules, q.refused)
	}
	before := q.refused
	for k := range sanctionLimits.OfModules + 1 {
		r.toggle(store, fmt.Sprint("module at the end ", k), moderator)
	}
	if n := q.refused - before; n != 1 {
		r.Errorf("modules without sanctions set %d, and %d more were refused", sanctionLimits.OfModules+1-n, n)
	}
	r.Logf("sanctions: %d by modules, %d in all, %d refused", modules, len(q.is), before)
}

func (r *round) sanctionsOf(n *Node) *moderationredis.Store {
	s := moderationredis.New(n.Client(), n.cfg.Prefix, slog.New(slog.NewTextHandler(r.Output(), nil)))
	s.Limits = sanctionLimits
	return s
}
