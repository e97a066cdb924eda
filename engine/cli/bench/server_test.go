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

// server is as bad as a test wants it to be.
type server struct {
	rooms     map[string][]string // what was said in those that exist
	mayCreate bool
	refuse    string // the error that answers a say; "": none

	// deliver says which messages of a room a member hears after the n-th was
	// said; nil: that one. Of the members the first to join is 0.
	deliver func(member, n int) []int

	closeAt     int  // when so many were said in a room, one member is closed; 0: none
	closeSender bool // the one who said it, not another

	pings    bool // every member is pinged when it joins
	ponged   sync.WaitGroup
	unponged atomic.Int32 // the pings that were not answered

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
		return // it has been told
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

// pass delivers after the n-th message of a room.
func (s *server) pass(sender *websocket.Conn, room string, n int) {
	if n+1 == s.closeAt {
		i := slices.IndexFunc(s.members[room], func(m *websocket.Conn) bool { return s.closeSender == (m == sender) })
		go s.members[room][i].Close(3008, "slow reader") // it waits for the client, which may wait for us
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
	_ = c.Write(context.Background(), websocket.MessageText, []byte(frame)) // who has gone hears nothing
}
