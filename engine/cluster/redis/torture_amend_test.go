//go:build chaos

package redis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/wire"
)

// A round has a room whose messages are edited and retracted on all nodes. Other goroutines read its history, which
// never has a text that was retracted or replaced before the read.

var amendedRoom = cluster.RoomID{Tenant: "default", Room: "amended"}

var amendedKeep = cluster.Retention{Messages: 300, For: 5 * time.Minute}

// revised is the outcome of the amendments of a round.
type revised struct {
	mu       sync.Mutex
	versions map[string]int  // by id of a message: the last version for which the edit has returned
	gone     map[string]bool // ids of messages whose retraction has returned
	wrong    []string        // texts that history had after they were replaced or retracted
	reads    int
}

// answered returns copies of versions and gone.
func (v *revised) answered() (versions map[string]int, gone map[string]bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.versions), maps.Clone(v.gone)
}

func versionText(id string, version int) []byte {
	return wire.AppendPayload(nil, wire.Payload{ID: id, Message: wire.Message{Text: fmt.Sprint(id, " ", version)}, Room: amendedRoom.Room, Context: "user"})
}

// parseVersion is the inverse of versionText.
func parseVersion(payload []byte) (id string, version int) {
	p, err := wire.ParsePayload(payload)
	if err != nil {
		return "", 0
	}
	_, text, _ := strings.Cut(p.Message.Text, " ")
	version, _ = strconv.Atoi(text)
	return p.ID, version
}

// recordAmended records a message of the amended room: "ID VERSION", or "ID gone".
func (e *observer) recordAmended(what string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.amends = append(e.amends, what)
}

// amended records an amendment.
func (e *observer) amended(a cluster.Amendment) {
	if a.Retract {
		e.recordAmended(a.Message + " gone")
		return
	}
	id, version := parseVersion(a.Payload)
	e.recordAmended(fmt.Sprint(id, " ", version))
}

// amend makes each node publish messages, and edit and retract them, and read history.
func (r *round) amend() {
	r.revised = &revised{versions: map[string]int{}, gone: map[string]bool{}}
	for i, e := range r.observers {
		r.must(e.Subscribe(r.ctx, amendedRoom))
		rng := r.branch(uint64(500 + i))
		r.work.Go(func() {
			for k := 0; !r.over.Load() && e.alive() && !e.isDead(r); k++ {
				r.lifeOf(e, fmt.Sprint(e.cfg.Node, "-", k), rng.IntN(4), rng.IntN(2) == 0)
				r.breath(20 * time.Millisecond)
			}
		})
		r.work.Go(func() {
			for !r.over.Load() && e.alive() && !e.isDead(r) {
				r.readAmended(e)
				r.breath(30 * time.Millisecond)
			}
		})
	}
}

// lifeOf publishes a message, edits it, and possibly retracts it. It stops at the first unknown outcome.
func (r *round) lifeOf(e *observer, id string, edits int, retract bool) {
	if e.Publish(r.ctx, amendedRoom, versionText(id, 0), amendedKeep) != nil {
		return
	}
	v := r.revised
	for version := 1; version <= edits; version++ {
		a := cluster.Amendment{Message: id, At: r.placeOf(e, id), Payload: versionText(id, version)}
		if err := e.Amend(r.ctx, amendedRoom, a, amendedKeep); err != nil {
			return
		}
		v.mu.Lock()
		v.versions[id] = version
		v.mu.Unlock()
	}
	if !retract {
		return
	}
	at := r.placeOf(e, id)
	if at == 0 {
		return // history could not be read: a retraction without a place leaves the message there
	}
	err := e.Amend(r.ctx, amendedRoom, cluster.Amendment{Message: id, At: at, Retract: true, Payload: []byte(`{"by":"x"}`)}, amendedKeep)
	if err == nil {
		v.mu.Lock()
		v.gone[id] = true
		v.mu.Unlock()
	} else if !errors.Is(err, cluster.ErrUnknown) && !errors.Is(err, cluster.ErrUnavailable) {
		r.Errorf("retract %s: %v", id, err)
	}
}

// placeOf returns the offset of a message in history; 0: it is not there, or history cannot be read.
func (r *round) placeOf(e *observer, id string) uint64 {
	for _, m := range r.historyOf(e) {
		if m.Amends == "" && wire.PayloadID(m.Payload) == id {
			return m.Offset
		}
	}
	return 0
}

func (r *round) historyOf(e *observer) []cluster.StoredMessage {
	ctx, cancel := context.WithTimeout(r.ctx, 40*time.Second)
	defer cancel()
	page, err := e.Read(ctx, amendedRoom, cluster.Position{}, 0, amendedKeep)
	if err != nil {
		return nil
	}
	page, _ = e.Read(ctx, amendedRoom, cluster.Position{Epoch: page.Top.Epoch}, 2000, amendedKeep)
	return page.Messages
}

// readAmended checks that a read of history has no text that was replaced or retracted before the read.
func (r *round) readAmended(e *observer) {
	v := r.revised
	versions, gone := v.answered()
	page := r.historyOf(e)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.reads++
	for _, m := range page {
		id, version := parseVersion(m.Payload)
		if !m.Retract && (gone[id] || version < versions[id]) {
			v.wrong = append(v.wrong, fmt.Sprintf("%.1fs %s: %s version %d of %d, retracted: %v, amendment: %v", time.Since(r.began).Seconds(), e.cfg.Node, id, version, versions[id], gone[id], m.Amends != ""))
		}
	}
}

// checkAmended checks that no read had a text that was replaced or retracted before, that no node received a text after its
// retraction, or an earlier version after a later one, and that the nodes read the same history. Amendments that only a dead node and
// a lost master had may be lost. A node that needs too long to reach the new master publishes its lost amendments later.
func (r *round) checkAmended(living []*observer) {
	v := r.revised
	if len(v.wrong) > 0 && !r.delayed && !(r.deployment.lossy && len(r.dead) > 0) {
		r.Errorf("%d texts of history were retracted or replaced before: %s", len(v.wrong), strings.Join(v.wrong[:min(5, len(v.wrong))], "; "))
	}
	for _, e := range living {
		last := map[string]int{}
		e.mu.Lock()
		for _, what := range e.amends {
			id, text, _ := strings.Cut(what, " ")
			version, err := strconv.Atoi(text)
			if err != nil {
				version = 1000 // retracted
			}
			if version < last[id] && !r.delayed {
				r.Errorf("%s received %s after version %d", e.cfg.Node, what, last[id])
			}
			last[id] = max(last[id], version)
		}
		e.mu.Unlock()
	}
	shown := func(e *observer) (all []string) {
		for _, m := range r.historyOf(e) {
			all = append(all, fmt.Sprintf("%d %s %v %s", m.Offset, m.Amends, m.Retract, m.Payload))
		}
		return all
	}
	for _, e := range living[1:] {
		if a, b := shown(living[0]), shown(e); !slices.Equal(a, b) {
			r.Errorf("%s and %s read different histories of the amended room: %d and %d messages", living[0].cfg.Node, e.cfg.Node, len(a), len(b))
		}
	}
	r.Logf("%d messages edited, %d retracted, %d reads of history", len(v.versions), len(v.gone), v.reads)
}
