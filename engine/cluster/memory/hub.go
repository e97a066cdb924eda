// Package memory is the common ground of nodes that share a process. A server
// that stands alone is a cluster of one such node, and tests run many.
//
// A [Hub] is the cluster. A node is one engine's handle on it, and a session is
// a node's life, from the start of its Run to the end. A topic is the broker's
// side of a room: who is subscribed, the lane in which its messages are delivered
// one by one, and the history of those that are kept. A roster is the presence's side: who is in it. Neither
// needs the other, and the list of rooms is a third thing.
//
// A message is delivered in the goroutine that publishes it, node after node,
// and nothing is queued, nor copied but for history: the handlers see the publisher's payload, and
// must only read it. A Handler may not publish into a room from within Deliver
// (it would wait for itself); it may subscribe, unsubscribe and remove members.
//
// A topic's lane is the one thing held while a Handler runs. The locks of the
// hub, the topics, the directory and a session guard a few lines each, are never
// held together and never while calling out.
package memory

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"

	"github.com/tidwall/btree"

	"github.com/mootchat/moot/engine/cluster"
)

// Hub is a cluster whose nodes are in this process. All its methods may be
// called concurrently.
type Hub struct {
	topics    topics
	directory directory

	mu     sync.Mutex
	nodes  map[string]*session // those running, by name
	lost   []loss              // what survivors have yet to take
	parked map[string]parked   // sessions, by key
}

// loss is what a dead node leaves in one room, or a session that nobody took.
type loss struct {
	room    cluster.RoomID
	members []cluster.MemberRecord
	session []byte // nil: members were lost
}

// New gives a cluster without rooms and nodes.
func New() *Hub {
	return &Hub{
		topics:    topics{byRoom: map[cluster.RoomID]*topic{}},
		directory: directory{tenants: map[string]*btree.Set[string]{}, rosters: map[cluster.RoomID]*roster{}},
		nodes:     map[string]*session{},
		parked:    map[string]parked{},
	}
}

// Node gives the handle of a new node, which is in the cluster while its
// Nodes.Run runs. Before that the list of rooms can be used; Publish, Subscribe,
// Read, Add, Park, Take and Call wait for Run, and after it they fail with
// cluster.ErrUnavailable.
// A name that no node may have, or that a running one has, is an error of Run.
func (h *Hub) Node(name string) cluster.Backend {
	n := &node{hub: h, name: name, started: make(chan struct{})}
	return cluster.Backend{Broker: n, History: n, Rooms: &h.directory, Presence: n, Sessions: n, Nodes: n}
}

// ErrKilled is wrapped by the error of Run of a node that Kill has ended.
var ErrKilled = errors.New("killed")

// Kill ends a node as a crash would, for tests: its Run returns an error, nothing
// more is delivered to it, and its members are handed to a node that lives. It
// returns cluster.ErrNoNode if no such node runs.
func (h *Hub) Kill(name string) error {
	s := h.find(name)
	if s == nil {
		return fmt.Errorf("kill %q: %w", name, cluster.ErrNoNode)
	}
	s.stop(fmt.Errorf("node %q: %w", name, ErrKilled))
	h.leave(s)
	return nil
}

var nodeName = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)

func (h *Hub) join(s *session) error {
	if !nodeName.MatchString(s.name) {
		return fmt.Errorf("node name %q: must be 1 to 63 of a-z, 0-9 and -", s.name)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.nodes[s.name] != nil {
		return fmt.Errorf("a node named %q is running", s.name)
	}
	h.nodes[s.name] = s
	return nil
}

// leave takes a session's node out of the cluster. What it has left undone is
// for the others. Leaving twice is harmless.
func (h *Hub) leave(s *session) {
	h.mu.Lock()
	here := h.nodes[s.name] == s
	if here {
		delete(h.nodes, s.name)
	}
	h.mu.Unlock()
	if !here {
		return
	}
	s.shut()
	h.topics.forget(s)
	h.lose(h.directory.harvest(s))
}

func (h *Hub) find(name string) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.nodes[name]
}

func (h *Hub) names() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.nodes))
}

// lose puts losses where survivors find them, and wakes all: whoever comes first
// takes, so that one who leaves meanwhile leaves nothing behind.
func (h *Hub) lose(losses []loss) {
	if len(losses) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lost = append(h.lost, losses...)
	for _, s := range h.nodes {
		select {
		case s.wake <- struct{}{}:
		default: // it is awake already, and looks again
		}
	}
}

// take gives a loss to its one caller; false if there is none.
func (h *Hub) take() (loss, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.lost) == 0 {
		h.lost = nil
		return loss{}, false
	}
	l := h.lost[0]
	h.lost[0] = loss{}
	h.lost = h.lost[1:]
	return l, true
}
