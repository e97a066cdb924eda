package redis

import "time"

// Bounds of a window: twice what a publisher may publish again, and its retries.
const (
	windowAge   = 60 * time.Second
	windowCount = 4096
)

// window knows which messages of a room came lately, so that one that is
// published again after a failover, since its publisher could not know, is heard
// once.
type window struct {
	life  uint64
	seen  map[string]struct{}
	order []heard
}

type heard struct {
	id string
	at time.Time
}

// add returns false if id is there already. Another life begins with an empty
// window.
func (w *window) add(life uint64, id string, now time.Time) bool {
	if w.seen == nil || w.life != life {
		*w = window{life: life, seen: map[string]struct{}{}}
	}
	if _, ok := w.seen[id]; ok {
		return false
	}
	old := 0
	for old < len(w.order) && (now.Sub(w.order[old].at) > windowAge || len(w.order)-old >= windowCount) {
		delete(w.seen, w.order[old].id)
		w.order[old] = heard{}
		old++
	}
	w.order = append(w.order[old:], heard{id, now})
	w.seen[id] = struct{}{}
	return true
}
