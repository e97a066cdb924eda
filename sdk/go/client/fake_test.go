package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/mootchat/moot/sdk/go/client"
)

// fake starts a server for cases that a real one seldom shows. answer is called for each
// request with the number of its connection, from 1, and the verb. It returns the fields
// of the response; nil breaks the connection.
func fake(t *testing.T, answer func(n int, verb string, conn *websocket.Conn) map[string]any) string {
	return fakeOf(t, func(n int, q fakeRequest, conn *websocket.Conn) map[string]any { return answer(n, q.Event, conn) })
}

// fakeRequest is a request that a fake server receives.
type fakeRequest struct {
	Event, Room string
	MessageID   int
	Message     json.RawMessage
	Moderation  bool
	Held        string
}

// fakeOf is fake with the whole request in place of its verb.
func fakeOf(t *testing.T, answer func(n int, q fakeRequest, conn *websocket.Conn) map[string]any) string {
	t.Helper()
	var connections atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.CloseNow()
		for n := int(connections.Add(1)); ; {
			_, b, err := conn.Read(context.Background())
			if err != nil {
				return
			}
			var q fakeRequest
			if err := json.Unmarshal(b, &q); err != nil {
				t.Errorf("%s: %v", b, err)
			}
			if q.Event == "quit" {
				return
			}
			response := answer(n, q, conn)
			if response == nil {
				return
			}
			response["context"], response["messageId"] = "response", q.MessageID
			write(conn, response)
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func write(conn *websocket.Conn, v any) {
	b, _ := json.Marshal(v)
	_ = conn.Write(context.Background(), websocket.MessageText, b)
}

// raw returns JSON that is sent as it is.
func raw(text string) json.RawMessage { return json.RawMessage(text) }

// succeed answers every verb with success.
func succeed(n int, verb string) map[string]any {
	if verb == "detailsView" {
		return map[string]any{"data": map[string]any{"id": fmt.Sprint("peer-", n)}}
	}
	return map[string]any{"data": true}
}

func TestRequestsThatMustNotBeRepeatedFailAfterABreak(t *testing.T) {
	ctx := timeoutContext(t)
	address := fake(t, func(n int, verb string, _ *websocket.Conn) map[string]any {
		if slices.Contains([]string{"say", "action", "roomLeave"}, verb) {
			return nil // the server may have carried it out
		}
		return succeed(n, verb)
	})
	ann := connect(t, address)
	ann.join("r")
	if _, err := ann.Say(ctx, "r", "hello"); !errors.Is(err, client.ErrLost) {
		t.Errorf("say: %v", err)
	}
	if _, err := ann.Action(ctx, "pay", nil); !errors.Is(err, client.ErrLost) {
		t.Errorf("action: %v", err)
	}
	if err := ann.Leave(ctx, "r"); err != nil || len(ann.Rooms()) != 0 { // the break has ended the membership
		t.Errorf("leave: %v, in %v", err, ann.Rooms())
	}
	if d, err := ann.Details(ctx); err != nil || d.ID != "peer-4" {
		t.Errorf("details: %v %+v", err, d)
	}
}

// TestResumeIsRetriedUntilTheSessionIsFreeOrEnded checks that the client retries while the
// session is busy, then resumes it, and takes a new session after the session has ended.
func TestResumeIsRetriedUntilTheSessionIsFreeOrEnded(t *testing.T) {
	address := fake(t, func(n int, verb string, conn *websocket.Conn) map[string]any {
		switch {
		case verb == "detailsView" || n == 3 && verb == "resume":
			return map[string]any{"data": map[string]any{"id": fmt.Sprint("peer-", max(1, n-2)), "session": "secret",
				"rooms": map[string]any{"r": map[string]any{"epoch": "e", "offset": 7, "recovered": false}}}}
		case verb == "resume" && n == 2:
			return map[string]any{"error": "Error: session is busy, try again"}
		case verb == "resume":
			return map[string]any{"error": "Error: session has ended"}
		case verb == "roomAdd" && n == 1:
			return map[string]any{"data": true, "epoch": "e", "offset": 3}
		case verb == "roomLeave" && n == 1:
			return nil
		case verb == "roomLeave": // the request before the break succeeded
			return map[string]any{"error": "Error: connection not in this room (q)"}
		case verb == "action":
			return nil
		}
		return map[string]any{"data": true}
	})
	ctx := timeoutContext(t)
	ann := connect(t, address)
	ann.join("r", "q")
	if err := ann.Leave(ctx, "q"); err != nil {
		t.Error(err)
	}
	if w := next(ann, is(client.Waiting)); w.Err == nil || w.Delay > 10*time.Millisecond {
		t.Errorf("after the break: %+v", w)
	}
	if w := next(ann, is(client.Waiting)); w.Err == nil || !strings.Contains(w.Err.Error(), "session is busy") {
		t.Errorf("while it is busy: %+v", w)
	}
	if room := next[gap](ann, nil); room != "r" {
		t.Errorf("a gap in %s", room)
	}
	if c := next[connected](ann, nil); c != (connected{"peer-1", true}) {
		t.Errorf("it is %+v", c)
	}
	if _, err := ann.Action(ctx, "break", nil); !errors.Is(err, client.ErrLost) {
		t.Error(err)
	}
	if c := next[connected](ann, nil); c != (connected{"peer-2", false}) || !slices.Equal(ann.Rooms(), []string{"r"}) {
		t.Errorf("it is %+v, in %v", c, ann.Rooms())
	}
}

func TestUnknownOutcomeIsErrLost(t *testing.T) {
	ann := connect(t, fake(t, func(n int, verb string, _ *websocket.Conn) map[string]any {
		if verb == "say" {
			return map[string]any{"error": "Error: outcome unknown"}
		}
		return succeed(n, verb)
	}))
	_, err := ann.Say(timeoutContext(t), "r", "hello")
	if !errors.Is(err, client.ErrLost) || refused(t, err) != "outcome unknown" {
		t.Error(err)
	}
}

func TestClientLeavesAServerThatDoesNotAnswer(t *testing.T) {
	address := fake(t, func(n int, verb string, conn *websocket.Conn) map[string]any {
		if n == 1 && verb == "say" {
			_, _, _ = conn.Read(context.Background()) // sends no answer
			return nil
		}
		return succeed(n, verb)
	})
	ann := connect(t, address, func(o *client.Options) { o.AnswerTimeout = 50 * time.Millisecond })
	next(ann, is(client.Connected))
	if _, err := ann.Say(timeoutContext(t), "r", "hello"); !errors.Is(err, client.ErrLost) {
		t.Error(err)
	}
	if w := next(ann, is(client.Waiting)); w.Err == nil || !strings.Contains(w.Err.Error(), "does not answer") {
		t.Errorf("%+v", w)
	}
	next(ann, is(client.Connected))
}

func TestPingNoticesASilentNetwork(t *testing.T) {
	var pings atomic.Int64
	ann := connect(t, fake(t, func(n int, verb string, conn *websocket.Conn) map[string]any {
		if n == 1 && pings.Add(1) > 3 { // the first is from establishing the connection
			_, _, _ = conn.Read(context.Background())
			return nil
		}
		return succeed(n, verb)
	}), func(o *client.Options) { o.PingInterval, o.AnswerTimeout = 10*time.Millisecond, 50*time.Millisecond })
	next(ann, is(client.Waiting))
	next(ann, is(client.Connected))
}

func TestTokenIsCalledBeforeEachAttempt(t *testing.T) {
	var seen []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization")+" "+r.Header.Get("Tenant"))
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		if len(seen) < 3 {
			conn.Close(3001, "shutdown")
			return
		}
		conn.Close(3502, "token expired")
	}))
	defer s.Close()
	var asked int
	_, err := client.Connect(timeoutContext(t), s.URL, client.Options{
		MinDelay: time.Millisecond,
		Header:   http.Header{"Tenant": {"acme"}},
		Token: func(context.Context) (string, error) {
			if asked++; asked == 2 {
				return "", errors.New("no key")
			}
			return fmt.Sprint("token-", asked), nil
		},
	})
	var end *client.ClosedError
	if !errors.As(err, &end) || end.Code != 3502 || end.Reason != "token expired" {
		t.Error(err)
	}
	if want := []string{"Bearer token-1 acme", "Bearer token-3 acme", "Bearer token-4 acme"}; !slices.Equal(seen, want) {
		t.Errorf("the server saw %q", seen)
	}
}

// TestSlowHandlersMayCallTheClient checks that a client receives all messages of a flood, in
// order, while its slow handler sends requests.
func TestSlowHandlersMayCallTheClient(t *testing.T) {
	const flood = 2000
	address := fake(t, func(n int, verb string, conn *websocket.Conn) map[string]any {
		if verb == "roomAdd" {
			for i := range flood {
				write(conn, map[string]any{"context": "user", "room": "r", "from": "1", "message": i, "extra": map[string]any{"Room": 1}})
			}
		}
		return succeed(n, verb)
	})
	var p *testClient
	heard := make(chan int, flood)
	var me atomic.Pointer[client.Client]
	ready := make(chan struct{})
	p = connect(t, address, func(o *client.Options) {
		o.QueueSize = 4
		o.OnMessage = func(m client.Message) {
			<-ready
			if _, err := me.Load().Details(t.Context()); err != nil {
				t.Error(err)
			}
			var i int
			if err := json.Unmarshal(m.Message, &i); err != nil || m.Room != "r" {
				t.Errorf("%v %+v", err, m)
			}
			heard <- i
		}
	})
	me.Store(p.Client)
	close(ready)
	p.join("r")
	for want := range flood {
		if got := <-heard; got != want {
			t.Fatalf("received %d, want %d", got, want)
		}
	}
}

func TestClientLeavesAServerThatSendsInvalidFrames(t *testing.T) {
	for _, invalid := range []string{"no JSON", "[]", "null"} {
		ann := connect(t, fake(t, func(n int, verb string, conn *websocket.Conn) map[string]any {
			if n == 1 && verb == "say" {
				_ = conn.Write(context.Background(), websocket.MessageText, []byte(invalid))
				return map[string]any{}
			}
			return succeed(n, verb)
		}))
		if _, err := ann.Say(timeoutContext(t), "r", "hello"); !errors.Is(err, client.ErrLost) {
			t.Error(err)
		}
		if w := next(ann, is(client.Waiting)); !strings.Contains(w.Err.Error(), "not a JSON object") {
			t.Errorf("%+v", w)
		}
		ann.leave()
	}
}

// TestRoomRefusedForAWhileIsJoinedLater checks that a room whose rules do not answer does not
// delay other rooms, and that the client joins it later.
func TestRoomRefusedForAWhileIsJoinedLater(t *testing.T) {
	var tries atomic.Int64
	address := fakeOf(t, func(n int, q fakeRequest, _ *websocket.Conn) map[string]any {
		switch {
		case n == 1 && q.Event == "say":
			return nil
		case n == 2 && q.Event == "roomAdd" && q.Room == "broken" && tries.Add(1) == 1:
			return map[string]any{"error": "Error: try again", "retryAfter": 1001}
		}
		return succeed(n, q.Event)
	})
	ann := connect(t, address)
	ann.join("broken", "sound")
	next[connected](ann, nil)
	if _, err := ann.Say(timeoutContext(t), "sound", "hello"); !errors.Is(err, client.ErrLost) {
		t.Error(err)
	}
	next[connected](ann, nil)
	if n := tries.Load(); n != 1 {
		t.Errorf("the room was asked for %d times before the client was connected", n)
	}
	if _, err := ann.Say(timeoutContext(t), "sound", "hello"); err != nil {
		t.Error(err)
	}
	for tries.Load() < 2 {
		if _, err := ann.Details(timeoutContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	if got := ann.Rooms(); !slices.Equal(got, []string{"broken", "sound"}) {
		t.Errorf("it is in %v", got)
	}
}

// TestGapsOfRoomsWithoutPositionsAreReported checks that the client reports a gap after a break
// if the server gives no position, as in ephemeral rooms, and when the server reports a gap.
func TestGapsOfRoomsWithoutPositionsAreReported(t *testing.T) {
	ann := connect(t, fake(t, func(n int, verb string, conn *websocket.Conn) map[string]any {
		switch {
		case verb == "action":
			return nil
		case verb == "say":
			write(conn, map[string]any{"context": "gap", "room": "other"})
		}
		return succeed(n, verb)
	}))
	ann.join("r")
	_, _ = ann.Action(timeoutContext(t), "break", nil)
	if room := next[gap](ann, nil); room != "r" {
		t.Errorf("a gap in %s", room)
	}
	if _, err := ann.Say(timeoutContext(t), "r", "hello"); err != nil {
		t.Error(err)
	}
	if room := next[gap](ann, nil); room != "other" {
		t.Errorf("a gap in %s", room)
	}
}
