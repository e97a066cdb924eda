package redis

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine"
)

// Bounds of what a partition's lane keeps of the messages it has published.
const (
	recentAge   = 15 * time.Second
	recentBytes = 4 << 20
)

// recent holds the messages that Redis accepted last. A master that dies may take
// some of them with it; who published them can publish them again.
type recent struct {
	sent  []sent
	bytes int
}

type sent struct {
	room, entry string
	keep        engine.Keep
	at          time.Time
}

func (r *recent) add(item *parcel, now time.Time) {
	r.sent = append(r.sent, sent{item.room, item.entry, item.keep, now})
	r.bytes += len(item.entry)
	old := 0
	for old < len(r.sent) && (now.Sub(r.sent[old].at) > recentAge || r.bytes > recentBytes) {
		r.bytes -= len(r.sent[old].entry)
		r.sent[old] = sent{}
		old++
	}
	r.sent = r.sent[old:]
}

// replay publishes again what a new master lacks of the messages that its
// predecessor accepted last, or a Redis that began anew. It comes before anything
// else is published, so that a publisher's messages keep their order; each keeps
// its id, so that who has it drops it.
func (l *lane) replay(ctx context.Context, gen string) {
	l.gen = gen
	rooms := map[string][]sent{}
	for _, m := range l.recent.sent {
		rooms[m.room] = append(rooms[m.room], m)
	}
	l.p.n.cfg.Log.Warn("redis failed over or began anew: looking for messages that it lost", "messages", len(l.recent.sent), "rooms", len(rooms))
	l.recent = recent{}
	for room, messages := range rooms {
		lost, err := l.lost(ctx, room, messages)
		for batch := range slices.Chunk(lost, batchCount) {
			l.send(ctx, batch)
			err = errors.Join(err, l.outcome(batch))
		}
		if err != nil {
			l.p.n.cfg.Log.Error("messages may be lost by a failover", "room", room, "error", err)
		}
	}
}

// lost gives those messages that are not in the room's history, ready to be sent.
func (l *lane) lost(ctx context.Context, room string, messages []sent) ([]*parcel, error) {
	has, err := l.has(ctx, room)
	if err != nil {
		return nil, err
	}
	var lost []*parcel
	for _, m := range messages {
		if !has[m.entry] {
			lost = append(lost, &parcel{room: room, entry: m.entry, keep: m.keep, deadline: time.Now().Add(l.p.n.cfg.PublishTimeout), done: make(chan error, 1)})
		}
	}
	return lost, nil
}

// outcome counts what was sent, which has its answer.
func (l *lane) outcome(batch []*parcel) error {
	for _, item := range batch {
		if err := <-item.done; err != nil {
			return err // the others of a batch have the same
		}
		l.p.n.counters.Replayed.Add(1)
	}
	return nil
}

// has gives the entries of a room's history.
func (l *lane) has(ctx context.Context, room string) (map[string]bool, error) {
	has, from := map[string]bool{}, "-"
	for {
		var page []redis.XMessage
		err := l.p.n.read(ctx, "replay", func(ctx context.Context) (err error) {
			page, err = l.p.n.client.XRangeN(ctx, l.p.keys.of("h", room), from, "+", healPage).Result()
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, m := range page {
			text, _ := m.Values["d"].(string)
			has[text] = true
			from = "(" + m.ID
		}
		if len(page) < healPage {
			return has, nil
		}
	}
}
