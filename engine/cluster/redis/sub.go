package redis

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/mootchat/moot/engine/cluster"
)

// Bounds of the messages that wait for a room's handler. Further messages are dropped, and read
// from the room's stream in their turn.
const (
	inboxCount = 1024
	inboxBytes = 4 << 20
	burstCount = 64 // with more waiting messages, the delivery waits for the members
)

// sub is a subscribed room. One goroutine, which runs while there is work, puts the room's
// messages in order, reads missed messages from the room's stream, and calls the handler. A room
// keeps its sub while the goroutine runs, even if the room is unsubscribed and subscribed again,
// so that there is one goroutine. The lock of a sub is taken after the partition's.
type sub struct {
	p       *partition
	room    cluster.RoomID
	key     string
	channel string

	mu        sync.Mutex
	wanted    bool
	life      uint64        // number of the subscription
	waiting   chan struct{} // closed when Redis has confirmed the subscription; nil: it is confirmed
	live      bool          // pos is known
	pos       position      // position of the last message that was delivered or is being delivered
	past      []position    // the last positions in former epochs, the latest first
	handled   position      // position of the last message for which Deliver has returned
	inbox     []envelope
	first     [1]envelope // memory for an inbox of one message
	bytes     int
	behind    bool // read the stream when the inbox is empty
	running   bool
	started   time.Time // when pos was first read
	seeds     []seed    // last numbers of publishers at that time; nil when the window has them or they are too old to matter
	lastHeard time.Time
	flushes   []flush

	// Used by the goroutine only.
	seen    window
	unpaced int // bytes delivered since Pace was called
}

func (s *sub) want() (life uint64, confirmed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wanted && s.live {
		return s.life, nil
	}
	s.life++
	s.wanted, s.live, s.behind = true, false, false
	s.inbox, s.bytes = nil, 0
	s.waiting = make(chan struct{})
	return s.life, s.waiting
}

// unwant ends the subscription, and reports whether the room was wanted.
func (s *sub) unwant() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.wanted
	s.life++
	s.wanted, s.live, s.behind = false, false, false
	s.inbox, s.bytes = nil, 0
	s.release()
	return was
}

func (s *sub) confirm() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting != nil {
		close(s.waiting)
		s.waiting = nil
	}
}

// start begins the delivery of the messages after pos. seeds are the last numbers of
// publishers at that time.
func (s *sub) start(life uint64, pos position, seeds []seed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life == life {
		s.live, s.pos, s.past, s.handled, s.lastHeard = true, pos, nil, pos, time.Now()
		s.started, s.seeds = s.lastHeard, seeds
		s.kick()
		s.release()
	}
}

func (s *sub) isWanted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wanted
}

func (s *sub) isQuiet(now time.Time, long time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Sub(s.lastHeard) >= long
}

// idle reports whether the sub may be deleted.
func (s *sub) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.wanted && !s.running
}

// push queues a message of the channel.
func (s *sub) push(e envelope) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.wanted {
		return
	}
	s.lastHeard = time.Now()
	if len(s.inbox) >= inboxCount || s.bytes+len(e.entry) > inboxBytes && len(s.inbox) > 0 {
		s.behind = true
	} else {
		s.inbox = append(s.inbox, e)
		s.bytes += len(e.entry)
	}
	s.kick()
}

// noteTop makes the room heal if top is not its position.
func (s *sub) noteTop(top position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.started) > 2*s.p.n.cfg.Heal.For {
		s.seeds = nil // earlier messages are not published again
	}
	if s.wanted && (!s.live || top != s.pos) {
		s.behind = true
		s.kick()
	}
}

// kick starts the goroutine if there is work. The lock is held.
func (s *sub) kick() {
	if s.live && !s.running && (len(s.inbox) > 0 || s.behind) && s.p.n.begin() {
		s.running = true
		go s.run()
	}
}

// run is the goroutine of the sub.
func (s *sub) run() {
	defer s.p.n.tasks.Done()
	ctx := s.p.n.life
	b := backoff{50 * time.Millisecond, time.Second}
	for {
		t, ok := s.next(ctx)
		if !ok {
			break
		}
		if err := s.do(ctx, t); err != nil {
			s.p.n.cfg.Log.Debug("cannot read the missed messages of a room, trying again", "room", s.key, "error", err)
			b.pause(ctx)
			continue
		}
		b.wait = 50 * time.Millisecond
	}
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	s.p.sweep(s)
}

// task is a piece of a sub's work.
type task struct {
	life  uint64
	heal  bool // read the stream
	e     envelope
	burst bool // many messages wait after e
}

// next records that all messages up to pos are delivered, and returns the next task. It reports
// false if there is none.
func (s *sub) next(ctx context.Context) (task, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handled = s.pos
	t := task{life: s.life}
	switch {
	case !s.live || ctx.Err() != nil || len(s.inbox) == 0 && !s.behind:
		s.running = false
		s.release()
		return t, false
	case len(s.inbox) == 0:
		s.behind, t.heal = false, true
	default:
		t.e, t.burst = s.inbox[0], len(s.inbox) > burstCount
		s.inbox[0] = envelope{}
		s.inbox = s.inbox[1:]
		s.bytes -= len(t.e.entry)
		if len(s.inbox) == 0 {
			s.inbox = s.first[:0]
		}
	}
	s.release()
	return t, true
}

func (s *sub) do(ctx context.Context, t task) error {
	if t.heal {
		return s.heal(ctx, t.life)
	}
	if t.burst {
		s.pace(ctx, len(t.e.entry))
	}
	return s.take(ctx, t.life, t.e)
}

// take delivers a message if it is the next one, and drops a message that was delivered before.
// Any other message means that messages were missed or a new epoch has begun: then the room
// heals.
func (s *sub) take(ctx context.Context, life uint64, e envelope) error {
	s.mu.Lock()
	pos := s.pos
	s.mu.Unlock()
	fresh := pos.epoch == "" && e.offset == 1
	switch {
	case e.mark != "":
		s.reached(e.mark)
		return nil
	case e.position == (position{}):
		s.hand(ctx, life, e)
		return nil
	case fresh || e.epoch == pos.epoch && e.offset == pos.offset+1:
		if s.advance(life, e.position) {
			s.deliver(ctx, life, e)
		}
		return nil
	case e.epoch == pos.epoch && e.offset <= pos.offset:
		return nil
	}
	return s.heal(ctx, life)
}

// advance moves the position. It reports false if the subscription has ended.
func (s *sub) advance(life uint64, to position) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life != life {
		return false
	}
	if s.pos.epoch != to.epoch && s.pos.epoch != "" {
		s.keepPlace(s.pos)
	}
	s.pos = to
	return true
}

// keepPlace adds a position to past, which has the last position in each epoch. The lock is held.
func (s *sub) keepPlace(pos position) {
	if i := slices.IndexFunc(s.past, func(p position) bool { return p.epoch == pos.epoch }); i >= 0 {
		pos.offset = max(pos.offset, s.past[i].offset)
		s.past = slices.Delete(s.past, i, i+1)
	}
	s.past = slices.Insert(s.past, 0, pos)
	s.past = s.past[:min(len(s.past), mostPast)]
}

// mostPast is the number of former epochs that a sub remembers.
const mostPast = 8

// places returns the sub's position and its last positions in former epochs, the newest first.
func (s *sub) places() []position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]position{s.pos}, s.past...)
}

// healAgain makes the sub heal once more.
func (s *sub) healAgain(life uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life == life {
		s.behind = true
	}
}

// hand delivers an ephemeral message.
func (s *sub) hand(ctx context.Context, life uint64, m envelope) {
	s.mu.Lock()
	is := s.life == life
	s.mu.Unlock()
	if is {
		if e, ok := s.read(m); ok {
			s.p.n.handler.Deliver(ctx, s.room, cluster.Position{}, []byte(e.payload))
		}
	}
}

func (s *sub) deliver(ctx context.Context, life uint64, m envelope) {
	switch e, ok := s.read(m); {
	case !ok || !s.isNew(life, e.id):
	case e.gap:
		s.reportLost(ctx, 1, "a failover lost them, and their node no longer remembers them")
	case e.amends != "":
		s.p.n.handler.Amended(ctx, s.room, cluster.Position{Epoch: m.epoch, Offset: m.offset}, e.amendment())
	default:
		s.p.n.handler.Deliver(ctx, s.room, cluster.Position{Epoch: m.epoch, Offset: m.offset}, []byte(e.payload))
	}
}

// isNew reports whether the message with that id was not delivered before.
func (s *sub) isNew(life uint64, id string) bool {
	now := time.Now()
	if s.seen.last == nil || s.seen.life != life {
		s.seen = newWindow(life, s.takeSeeds(life), now)
	}
	return s.seen.add(id, now)
}

// takeSeeds returns the seeds of the subscription, and nil on later calls.
func (s *sub) takeSeeds(life uint64) []seed {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life != life {
		return nil
	}
	seeds := s.seeds
	s.seeds = nil
	return seeds
}

// reportLost counts and logs messages that this node can no longer receive, and reports a gap to the
// room's members.
func (s *sub) reportLost(ctx context.Context, count uint64, why string, attrs ...any) {
	s.p.n.counters.Gaps.Add(int64(count))
	s.p.n.cfg.Log.Error("messages of a room are lost to this node", append([]any{"room", s.key, "cause", why}, attrs...)...)
	s.p.n.handler.Missed(ctx, s.room)
}

// read parses an entry. It reports false if the entry is malformed, which is counted, or of
// another version.
func (s *sub) read(m envelope) (entry, bool) {
	e, err := parseEntry(m.entry)
	if err != nil && !errors.Is(err, errVersion) {
		s.p.n.malformed(s.key, err)
	}
	return e, err == nil
}
