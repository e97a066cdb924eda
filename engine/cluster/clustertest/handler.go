package clustertest

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mootchat/moot/engine/cluster"
)

// handler takes the place of the engine: it records its calls, and fails the test if a
// call breaks the contract.
type handler struct {
	t       *testing.T
	name    string
	cluster cluster.Backend
	release chan struct{} // closing it lets waiting calls of Deliver continue
	letGo   chan struct{} // Lost waits until it is closed; nil: Lost does not wait

	mu     sync.Mutex
	over   bool                                  // Run has returned
	heard  map[cluster.RoomID][]string           // payloads
	places map[cluster.RoomID][]cluster.Position // positions of the payloads
	within map[cluster.RoomID]bool               // the rooms of running calls of Deliver
	lost   map[member]int                        // how often Lost received each member
	ended  map[string]int                        // how often Expired received each session
	hangs  int                                   // calls that wait for the end of their ctx
	told   map[string]cluster.Announcement       // announcements that were published, by id
	order  []string                              // their ids
	silent map[cluster.RoomID]int                // number of calls of Unannounced for each room
}

// member identifies a membership, so that tests can compare memberships.
type member struct {
	room     cluster.RoomID
	id       string
	joinedAt int64
	user     string
	profile  string
}

// Payloads whose Deliver waits for release.
const (
	held     = "held"     // waits for release or the end of ctx
	stubborn = "stubborn" // waits for release even when ctx has ended
)

func newHandler(t *testing.T, name string, c cluster.Backend) *handler {
	return &handler{
		t: t, name: name, cluster: c, release: make(chan struct{}),
		heard:  map[cluster.RoomID][]string{},
		places: map[cluster.RoomID][]cluster.Position{},
		within: map[cluster.RoomID]bool{},
		lost:   map[member]int{},
		ended:  map[string]int{},
		told:   map[string]cluster.Announcement{},
		silent: map[cluster.RoomID]int{},
	}
}

func (h *handler) retire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
}

// rule fails the test if the handler must not be called now. The lock is held.
func (h *handler) rule(call string) {
	if h.over {
		h.t.Errorf("%s of %s runs after Run has returned", call, h.name)
	}
}

func (h *handler) Deliver(ctx context.Context, room cluster.RoomID, at cluster.Position, payload []byte) {
	h.mu.Lock()
	h.rule("Deliver")
	if h.within[room] {
		h.t.Errorf("%s was handed two messages of %q at once", h.name, room)
	}
	h.within[room] = true
	h.mu.Unlock()

	switch string(payload) {
	case held:
		select {
		case <-h.release:
		case <-ctx.Done():
		}
	case stubborn:
		<-h.release
	default:
		runtime.Gosched() // lets a goroutine run that is expected to wait
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	h.rule("Deliver")
	h.within[room] = false
	h.heard[room] = append(h.heard[room], string(payload))
	h.places[room] = append(h.places[room], at)
}

// Amended records an amendment like a message; see amended.
func (h *handler) Amended(ctx context.Context, room cluster.RoomID, at cluster.Position, a cluster.Amendment) {
	h.Deliver(ctx, room, at, []byte(amended(a)))
}

// Answer answers the calls "echo X", "fail X", and "hang", which waits until ctx ends.
func (h *handler) Answer(ctx context.Context, call []byte) ([]byte, error) {
	h.mu.Lock()
	h.rule("Answer")
	h.mu.Unlock()
	verb, rest, _ := strings.Cut(string(call), " ")
	switch verb {
	case "echo":
		return []byte(h.name + ": " + rest), nil
	case "hang":
		h.hang(1)
		defer h.hang(-1)
		<-ctx.Done()
		if string(call) != verb {
			h.t.Errorf("the call changed while %s answered it", h.name)
		}
		return nil, ctx.Err()
	}
	return nil, errors.New(rest)
}

func (h *handler) hang(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hangs += n
}

func (h *handler) isHanging() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hangs > 0
}

func (h *handler) Lost(ctx context.Context, room cluster.RoomID, members []cluster.MemberRecord) {
	h.mu.Lock()
	h.rule("Lost")
	for _, m := range members {
		h.lost[member{room, m.ID, m.JoinedAt, m.User, string(m.Profile)}]++
	}
	h.mu.Unlock()
	if h.letGo != nil {
		<-h.letGo
	}
	for _, m := range members {
		if err := h.cluster.Presence.Remove(ctx, room, m.ID); err != nil && ctx.Err() == nil {
			h.t.Errorf("%s removes the lost member %s: %v", h.name, m.ID, err)
		}
	}
}

// Missed fails the test: without a fault no message is lost.
func (h *handler) Missed(_ context.Context, room cluster.RoomID) {
	h.t.Errorf("messages of %q were lost to %s", room, h.name)
}

func (*handler) Pace(context.Context, cluster.RoomID) {}

func (h *handler) Expired(_ context.Context, session []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rule("Expired")
	h.ended[string(session)]++
}

// hasEnded returns how often Expired received the session.
func (h *handler) hasEnded(session string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ended[session]
}

// placesIn returns the positions of the room's messages, in the order of delivery.
func (h *handler) placesIn(room cluster.RoomID) []cluster.Position {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.places[room])
}

// Rejoin fails the test: no node of these tests is cut off and comes back.
// Unannounced announces the users of the room.
func (h *handler) Unannounced(ctx context.Context, room cluster.RoomID) {
	h.mu.Lock()
	h.rule("Unannounced")
	h.silent[room]++
	h.mu.Unlock()
	_, _ = h.cluster.Presence.Announce(ctx, room, h.announce) // repeated after an error
}

// announce records an announcement once.
func (h *handler) announce(_ context.Context, a cluster.Announcement) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, again := h.told[a.ID]; !again {
		h.told[a.ID] = a
		h.order = append(h.order, a.ID)
	}
	return nil
}

func (h *handler) Rejoin(_ context.Context, room cluster.RoomID, members []cluster.MemberRecord) {
	h.t.Errorf("%s was handed back %d members of %q", h.name, len(members), room)
}

// heardIn returns the room's messages, in the order of delivery.
func (h *handler) heardIn(room cluster.RoomID) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.heard[room])
}

// hasHeard reports whether the payload was delivered.
func (h *handler) hasHeard(room cluster.RoomID, payload string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.heard[room], payload)
}

func (h *handler) holds(room cluster.RoomID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.within[room]
}
