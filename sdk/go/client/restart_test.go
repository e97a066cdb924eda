package client_test

import (
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/mootchat/moot/sdk/go/client"
)

// TestClientComesBackAfterTheTimeOfTheServer moves a client from a node that shuts down to
// another one. Without the time it would wait for an hour.
func TestClientComesBackAfterTheTimeOfTheServer(t *testing.T) {
	ending := fake(t, func(n int, verb string, conn *websocket.Conn) map[string]any {
		write(conn, map[string]any{"status": "Bye", "context": "api", "reason": "shutdown", "retryAfter": 37})
		conn.Close(3001, "shutdown")
		return nil
	})
	next := fake(t, func(n int, verb string, _ *websocket.Conn) map[string]any { return succeed(n, verb) })
	var dials atomic.Int64
	waits := make(chan client.StateChange, 10)
	c, err := client.Connect(timeoutContext(t), "ws://"+ending, client.Options{
		MinDelay: time.Hour, MaxDelay: time.Hour,
		HTTPClient: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			if dials.Add(1) > 1 {
				r.URL.Host = next
			}
			return http.DefaultTransport.RoundTrip(r)
		})},
		OnState: func(s client.StateChange) {
			if s.State == client.Waiting {
				waits <- s
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if s := <-waits; s.Delay != 37*time.Millisecond {
		t.Errorf("it waits %v (%v), want 37ms", s.Delay, s.Err)
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestExtraFieldsHaveTypes(t *testing.T) {
	m := client.Message{Room: "r", Extra: map[string]json.RawMessage{"color": json.RawMessage(`"red"`), "other": json.RawMessage(`1`)}}
	var extra struct{ Color string }
	if err := m.DecodeExtra(&extra); err != nil || extra.Color != "red" {
		t.Errorf("%+v, %v", extra, err)
	}
	var wrong struct{ Color int }
	if err := m.DecodeExtra(&wrong); err == nil {
		t.Error("a text was decoded into a number")
	}
}

// TestSayJSON checks the frame of an object, and that a value without JSON is an error.
func TestSayJSON(t *testing.T) {
	heard := make(chan string, 1)
	address := fakeOf(t, func(n int, q fakeRequest, conn *websocket.Conn) map[string]any {
		if q.Event == "say" {
			heard <- string(q.Message)
		}
		return succeed(n, q.Event)
	})
	ann := connect(t, address)
	if _, err := ann.SayJSON(context.Background(), "r", map[string]int{"order": 7}); err != nil {
		t.Fatal(err)
	}
	if is := <-heard; is != `{"order":7}` {
		t.Errorf("the server received %s", is)
	}
	if _, err := ann.SayJSON(context.Background(), "r", func() {}); err == nil {
		t.Error("a function was sent")
	}
}
