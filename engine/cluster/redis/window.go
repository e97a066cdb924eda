package redis

import (
	"strconv"
	"strings"
	"time"
)

// producerAge is for how long a room remembers a publisher that is silent: longer than
// what it said can come again.
const producerAge = producerTTL

// window knows which messages of a room came, so that one that is published again after
// a failover is handed over once. A publisher numbers its messages, and they come in
// that order however often they are published: the last number of each says it all.
type window struct {
	life  uint64
	last  map[string]heard // by process
	swept time.Time
}

type heard struct {
	number uint64
	at     time.Time
}

// add returns false if the message with that id came already. Another life begins with
// an empty window. An id that is not ours is always new.
func (w *window) add(life uint64, id string, now time.Time) bool {
	if w.last == nil || w.life != life {
		*w = window{life: life, last: map[string]heard{}, swept: now}
	}
	dot := strings.LastIndexByte(id, '.')
	number, err := strconv.ParseUint(id[dot+1:], 10, 64)
	if dot < 0 || err != nil {
		return true
	}
	process := id[:dot]
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
	w.last[process] = heard{number, now}
	return true
}
