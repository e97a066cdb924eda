package redis

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// producerAge is the time for which a window remembers a silent publisher. It is not shorter than
// the time in which messages can be published again.
const producerAge = producerTTL

// window knows which messages of a room were delivered, so that a message that is published again
// after a failover is delivered once. A publisher numbers its messages and publishes them in that
// order, also when it publishes them again, so the last number of each publisher is enough.
type window struct {
	life  uint64
	last  map[string]latest // by process
	swept time.Time
	once  []string // the last ids of PublishOnce, at most mostOnce
}

// mostOnce is the number of ids of PublishOnce that a window remembers. Redis remembers all ids for a day. The window is for
// the case that a failover loses the last ids and their node is dead: a receiver then ignores the repeated message.
const mostOnce = 64

type latest struct {
	number uint64
	at     time.Time
}

// seed is the number of a publisher's last message in a partition.
type seed struct {
	process string
	number  uint64
}

// newWindow returns a window that knows the messages up to the seeds.
func newWindow(life uint64, seeds []seed, now time.Time) window {
	w := window{life: life, last: make(map[string]latest, len(seeds)), swept: now}
	for _, s := range seeds {
		w.last[s.process] = latest{s.number, now}
	}
	return w
}

// add adds the id of a message. It reports false if the message was added before. An id of
// another form is always new.
func (w *window) add(id string, now time.Time) bool {
	dot := strings.LastIndexByte(id, '.')
	number, err := strconv.ParseUint(id[dot+1:], 10, 64)
	if dot < 0 || err != nil {
		return true
	}
	process, once, _ := strings.Cut(id[:dot], "~")
	if number <= w.last[process].number {
		return false
	}
	if now.Sub(w.swept) > producerAge {
		w.swept = now
		for p, h := range w.last {
			if now.Sub(h.at) > producerAge {
				delete(w.last, p)
			}
		}
	}
	if _, known := w.last[process]; !known {
		process = strings.Clone(process)
	}
	w.last[process] = latest{number, now}
	return once == "" || w.addOnce(once)
}

// addOnce adds an id of PublishOnce. It reports false if the id was added before.
func (w *window) addOnce(id string) bool {
	if slices.Contains(w.once, id) {
		return false
	}
	if len(w.once) == mostOnce {
		w.once = slices.Delete(w.once, 0, 1)
	}
	w.once = append(w.once, strings.Clone(id))
	return true
}
