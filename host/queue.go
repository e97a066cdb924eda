package host

import (
	"container/list"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// startTime is the length of a turn, after which a start of an instance lets the next waiting start run.
const startTime = int64(2 * time.Millisecond)

// startQueue limits how many instances start at a time, outside of loads, to half of the processors. The others are left
// to calls of instances that have started, which would wait behind hundreds of starts otherwise. Tenants take turns, and
// in each turn one of the tenant's starts runs for about startTime. So many or long starts of one tenant delay those of other
// tenants only a little. The zero value is ready to use.
type startQueue struct {
	waiting atomic.Int64 // starts

	mu      sync.Mutex
	running int                     // starts
	tenants list.List               // of *tenantQueue, the one whose turn is next at the front
	places  map[*gate]*list.Element // in tenants
}

// tenantQueue has the waiting starts of a tenant, the next one first. The channel of a start is closed when its turn begins.
type tenantQueue struct {
	gate   *gate
	starts []chan struct{}
}

// starting is a start of an instance that waits for its turns. All methods of a nil starting do nothing.
type starting struct {
	queue *startQueue
	gate  *gate
	runs  bool  // it has its turn
	began int64 // of its turn
}

// mostStarts returns the number of starts that run at a time.
func mostStarts() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// enter waits for a turn. The caller calls leave when the start ends.
func (q *startQueue) enter(g *gate) *starting {
	s := &starting{queue: q, gate: g}
	s.enter()
	return s
}

// enter waits for a turn again, after leave.
func (s *starting) enter() {
	if s == nil {
		return
	}
	q := s.queue
	q.mu.Lock()
	if q.running < mostStarts() {
		q.running++
		q.mu.Unlock()
	} else {
		turn := q.add(s.gate)
		q.mu.Unlock()
		<-turn
	}
	s.runs, s.began = true, now()
}

// leave ends the turn, unless it has ended.
func (s *starting) leave() {
	if s == nil || !s.runs {
		return
	}
	s.runs = false
	q := s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.tenants.Len() == 0 {
		q.running--
		return
	}
	close(q.next())
}

// pass lets another start run if one waits and the turn is over.
func (s *starting) pass() {
	if s == nil || s.queue.waiting.Load() == 0 || now()-s.began < startTime {
		return
	}
	q := s.queue
	q.mu.Lock()
	turn := q.add(s.gate)
	close(q.next())
	q.mu.Unlock()
	<-turn
	s.began = now()
}

// add adds a start to those that wait. The caller holds mu.
func (q *startQueue) add(g *gate) (turn chan struct{}) {
	q.waiting.Add(1)
	turn = make(chan struct{})
	place := q.places[g]
	if place == nil {
		if q.places == nil {
			q.places = make(map[*gate]*list.Element)
		}
		place = q.tenants.PushBack(&tenantQueue{gate: g})
		q.places[g] = place
	}
	t := place.Value.(*tenantQueue)
	t.starts = append(t.starts, turn)
	return turn
}

// next removes the start whose turn is next. The caller holds mu, and one waits.
func (q *startQueue) next() (turn chan struct{}) {
	q.waiting.Add(-1)
	place := q.tenants.Front()
	t := place.Value.(*tenantQueue)
	turn, t.starts = t.starts[0], t.starts[1:]
	if q.tenants.MoveToBack(place); len(t.starts) == 0 {
		q.tenants.Remove(place)
		delete(q.places, t.gate)
	}
	return turn
}
