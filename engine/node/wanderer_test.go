package node

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/node/nodetest"
)

// wanderer is a client that repeatedly reconnects to another node, with its last position. It records the received
// messages in pieces: a new piece begins where a node reported missing messages.
type wanderer struct {
	t     *testing.T
	name  string
	nodes []*nodetest.Server
	over  chan struct{}
	walks sync.WaitGroup

	mu     sync.Mutex
	pieces [][]string
	comes  int // number of returns without missed messages
}

// position is a position in the hall.
type position struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}

func newWanderer(t *testing.T, name string, nodes []*nodetest.Server) *wanderer {
	w := &wanderer{t: t, name: name, nodes: nodes, over: make(chan struct{})}
	w.walks.Go(func() {
		at := position{}
		for n := 0; ; n++ {
			w.visit(w.nodes[n%len(w.nodes)], &at)
			select {
			case <-w.over:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	t.Cleanup(w.stop)
	return w
}

func (w *wanderer) stop() {
	select {
	case <-w.over:
	default:
		close(w.over)
	}
	w.walks.Wait()
}

const (
	stay    = 400 * time.Millisecond // duration of a visit, after it has begun
	welcome = 3 * time.Second        // longest time that a node may take to let the client in
)

// visit joins the hall at one node and stays for a while.
func (w *wanderer) visit(node *nodetest.Server, at *position) {
	conn, err := net.DialTimeout("tcp", node.Socket, welcome)
	if err != nil {
		return // the node is down
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(welcome))
	request := map[string]any{"event": "roomAdd", "room": "hall", "messageId": 1}
	if at.Epoch != "" {
		request["since"] = *at
	}
	line, _ := json.Marshal(request) // cannot fail: texts and numbers
	if _, err := fmt.Fprintf(conn, "%s\n", line); err != nil {
		return
	}
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		var m struct {
			position
			Context, Message, Error string
			MessageID               json.RawMessage
			Recovered               bool
		}
		if json.Unmarshal(lines.Bytes(), &m) != nil {
			continue
		}
		switch {
		case m.Context == "response" && string(m.MessageID) == "1":
			if m.Error != "" {
				return // the cluster is unavailable
			}
			w.came(m.Recovered)
			if at.Epoch != m.Epoch {
				*at = m.position
			}
			_ = conn.SetDeadline(time.Now().Add(stay))
		case m.Context == "user":
			if m.Epoch == at.Epoch && m.Offset <= at.Offset {
				w.t.Errorf("%s received offset %d again, or late: it is at %d", w.name, m.Offset, at.Offset)
			}
			*at = m.position
			w.heard(m.Message)
		}
	}
}

func (w *wanderer) came(recovered bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if recovered {
		w.comes++
	} else {
		w.pieces = append(w.pieces, nil)
	}
}

func (w *wanderer) heard(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := len(w.pieces) - 1
	w.pieces[last] = append(w.pieces[last], text)
}

func (w *wanderer) has(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pieces) > 0 && slices.Contains(w.pieces[len(w.pieces)-1], text)
}

// settle compares the pieces with the order of all messages: each piece is a contiguous part of it, and the pieces
// follow each other. At most pieces pieces are allowed.
func (w *wanderer) settle(order []string, pieces int) {
	w.t.Helper()
	if err := redistest.Await(w.name+" receives the last message", func() bool { return w.has(order[len(order)-1]) }); err != nil {
		w.t.Error(err)
	}
	w.stop()
	w.t.Logf("%s came back %d times and missed nothing, and %d times something", w.name, w.comes, len(w.pieces)-1)
	if len(w.pieces) > pieces || w.comes == 0 {
		w.t.Errorf("%s was told %d times that something is missing, and came back %d times", w.name, len(w.pieces)-1, w.comes)
	}
	known := map[string]int{}
	for i, text := range order {
		known[text] = i
	}
	next := 0
	for _, piece := range w.pieces {
		begun := false
		for _, text := range piece {
			i, ok := known[text]
			switch {
			case !ok: // the outcome of the message is unknown
			case i < next, begun && i > next:
				w.t.Fatalf("%s received %q, which is number %d, and number %d was next", w.name, text, i, next)
			default:
				begun, next = true, i+1
			}
		}
	}
}
