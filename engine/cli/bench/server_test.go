package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a server with faults that a test chooses.
type server struct {
	rooms     map[string][]string // messages of each room that exists
	mayCreate bool
	refuse    string // the error that answers a say; "": none

	// deliver returns the numbers of the messages that a member receives after message n of
	// a room; nil: message n. Members are numbered in order of their joins, from 0.
	deliver func(member, n int) []int

	closeAt     int  // number of messages in a room after which one member is closed; 0: none
	closeSender bool // close the sender of the message instead of another member

	pings    bool // send a ping to each member that joins
	ponged   sync.WaitGroup
	unponged atomic.Int32 // pings without an answer

	mu      sync.Mutex
	members map[string][]*websocket.Conn
}

func (s *server) start(t *testing.T) string {
	s.members = map[string][]*websocket.Conn{}
	if s.rooms == nil {
		s.rooms = map[string][]string{"bench-0": nil, "bench-1": nil}
	}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return strings.Replace(h.URL, "http", "ws", 1)
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // Accept has answered
	}
	defer c.CloseNow()
	s.send(c, `{"welcome":"hello","context":"api"}`)
	for {
		var q struct {
			Event, Room, Message string
			Params               struct{ Name string }
		}
		_, b, err := c.Read(r.Context())
		if err != nil || json.Unmarshal(b, &q) != nil {
			return
		}
		s.mu.Lock()
		switch answer := s.do(c, q.Event, q.Room+q.Params.Name, q.Message); answer {
		case "":
			s.send(c, `{"status":"OK","context":"response","messageId":1}`)
		default:
			s.send(c, fmt.Sprintf(`{"status":"Error: %[1]s","error":"Error: %[1]s","context":"response","messageId":1}`, answer))
		}
		s.mu.Unlock()
	}
}

func (s *server) do(c *websocket.Conn, event, room, message string) (refusal string) {
	said, exists := s.rooms[room]
	switch {
	case event == "action" && s.mayCreate:
		s.rooms[room] = nil
	case event == "action":
		return "unknown action or invalid apiVersion"
	case !exists:
		return "room does not exist"
	case event == "roomAdd":
		s.members[room] = append(s.members[room], c)
		if s.pings {
			s.ponged.Go(func() {
				if c.Ping(context.Background()) != nil {
					s.unponged.Add(1)
				}
			})
		}
	case s.refuse != "":
		return s.refuse
	default:
		s.rooms[room] = append(said, message)
		s.pass(c, room, len(said))
	}
	return ""
}

// pass delivers messages after message n of a room.
func (s *server) pass(sender *websocket.Conn, room string, n int) {
	if n+1 == s.closeAt {
		i := slices.IndexFunc(s.members[room], func(m *websocket.Conn) bool { return s.closeSender == (m == sender) })
		go s.members[room][i].Close(3008, "slow reader") // Close waits for the client, which may wait for this goroutine
	}
	for i, m := range s.members[room] {
		heard := []int{n}
		if s.deliver != nil {
			heard = s.deliver(i, n)
		}
		for _, k := range heard {
			s.send(m, fmt.Sprintf(`{"message":%q,"room":%q,"from":"x","context":"user","sentAt":1}`, s.rooms[room][k], room))
		}
	}
}

func (s *server) send(c *websocket.Conn, frame string) {
	_ = c.Write(context.Background(), websocket.MessageText, []byte(frame)) // the client may have disconnected
}
