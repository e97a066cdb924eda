// Package memory is a cluster backend for nodes that share a process. A server without a cluster
// is one such node; tests run several.
//
// A [Hub] is the cluster. A node is one engine's handle on it, and a process is one
// run of a node, from the start of Nodes.Run to its end. A topic has a room's
// subscribers, history, and the queue that lets one message through at a time. A
// roster has the members of a room. The list of rooms is separate from both.
//
// A message is delivered in the goroutine that publishes it, to one node after the other.
// It is copied only for history: handlers get the publisher's payload, and must not
// change it. A Handler that publishes into a room during Deliver would wait for
// itself. It may subscribe, unsubscribe and remove members.
//
// A topic's queue is held while a Handler runs. The locks of the hub, the topics, the directory
// and a process are never held together, and no lock is held during a call of a Handler.
package memory

import (
	"crypto/rand"
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
	secret    []byte

	mu     sync.Mutex
	nodes  map[string]*process // running nodes, by name
	lost   []loss              // losses that no survivor has taken yet
	parked map[string]parked   // sessions, by key
}

// loss is one of three things: the members of a dead node in one room, a session that no node took in time, or a room in
// which a dead node has not announced users.
type loss struct {
	room        cluster.RoomID
	members     []cluster.MemberRecord
	session     []byte // nil: the loss is members, or unannounced is set
	unannounced bool
}

// New returns a cluster without rooms and nodes.
func New() *Hub {
	return &Hub{
		topics:    topics{byRoom: map[cluster.RoomID]*topic{}},
		directory: directory{tenants: map[string]*btree.Set[string]{}, rosters: map[cluster.RoomID]*roster{}, users: map[cluster.RoomID]*users{}},
		secret:    []byte(rand.Text() + rand.Text())[:32],
		nodes:     map[string]*process{},
		parked:    map[string]parked{},
	}
}

// Node returns the handle of a new node, which is in the cluster while its Nodes.Run runs. The
// list of rooms can be used at any time. Publish, Subscribe, Read, Add, Park, Take and Call
// wait for Run to begin, and fail with cluster.ErrUnavailable after it. Run returns an error if
// the name is not valid or a running node has it.
func (h *Hub) Node(name string) cluster.Backend {
	n := &node{hub: h, name: name, started: make(chan struct{})}
	return cluster.Backend{Broker: n, History: n, Rooms: &h.directory, Presence: n, Sessions: n, Nodes: n, Secret: h.secret}
}

// ErrKilled is wrapped in the error that Run returns after Kill.
var ErrKilled = errors.New("killed")

// Kill ends a node as a crash would, for tests: its Run returns an error, its handler gets no
// more calls, and another node gets its members. It returns cluster.ErrNoNode if no node of that
// name runs.
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

func (h *Hub) join(s *process) error {
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

// leave takes a node out of the cluster and passes its members to the other nodes. A second call
// does nothing.
func (h *Hub) leave(s *process) {
	h.mu.Lock()
	here := h.nodes[s.name] == s
	if here {
		delete(h.nodes, s.name)
	}
	h.mu.Unlock()
	if !here {
		return
	}
	s.markOver()
	h.topics.forget(s)
	h.addLosses(h.directory.removeAllOf(s))
}

func (h *Hub) find(name string) *process {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.nodes[name]
}

func (h *Hub) names() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.nodes))
}

// addLosses queues losses for the survivors and wakes all of them, because one of them may be
// leaving.
func (h *Hub) addLosses(losses []loss) {
	if len(losses) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lost = append(h.lost, losses...)
	for _, s := range h.nodes {
		select {
		case s.wake <- struct{}{}:
		default: // it is awake, and checks for losses again
		}
	}
}

// take removes and returns a loss. It reports false if there is none.
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
