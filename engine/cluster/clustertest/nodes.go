package clustertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mootchat/moot/engine/cluster"
)

func nodes() []promise {
	return []promise{
		{"NodeIsOnTheListWhileItRuns", nodeIsOnTheListWhileItRuns},
		{"NodeIsWaitedForWhenItBegins", nodeIsWaitedFor},
		{"RunWaitsForWhatItCalled", runWaitsForWhatItCalled},
		{"NothingIsCalledAfterRun", nothingIsCalledAfterRun},
		{"CallIsAnsweredByTheNodeCalled", callIsAnswered},
		{"CallBringsTheErrorsText", callBringsTheErrorsText},
		{"CallToNobodyIsNoNode", callToNobody},
		{"CallThatTakesTooLongNamesTheNode", callThatTakesTooLong},
		{"CallsRunAtOnce", callsRunAtOnce},
	}
}

func nodeIsOnTheListWhileItRuns(w *world) {
	peers := w.nodes("a", "b", "node-3")
	for _, p := range peers {
		if p.Nodes.Self() != p.name {
			w.Errorf("node %q says that it is %q", p.name, p.Nodes.Self())
		}
	}
	w.leaves(peers[0])
	for _, p := range peers[1:] {
		if got, want := w.list(p), []string{"b", "node-3"}; !slices.Equal(got, want) {
			w.Errorf("after Run of a returned, %s lists %q, want %q", p.name, got, want)
		}
	}
	again := w.node("a") // a new node of the same name
	w.subscribe(room("hall"), again)
	w.publish(peers[1], room("hall"), "1")
	w.hears(again, room("hall"), "1")
	w.eventually("it is known to the others", func() bool { return len(w.list(peers[1])) == 3 })
}

// nodeIsWaitedFor checks that calls wait until the node's Run has begun.
func nodeIsWaitedFor(w *world) {
	hall := room("hall")
	p := w.launch("a")
	if got := w.list(p); !slices.Contains(got, "a") {
		w.Errorf("a node that begins lists %q", got)
	}
	w.create(p, hall)
	w.subscribe(hall, p)
	w.must(p.Presence.Add(w.ctx, hall, p.member(1)))
	w.publish(p, hall, "1")
	w.hears(p, hall, "1")
	w.count(p, hall, 1)
}

// runWaitsForWhatItCalled checks that Run does not return during a delivery: handler.rule fails
// the test otherwise. The calls give Run time to return.
func runWaitsForWhatItCalled(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	w.subscribe(hall, peers[1])
	sent := make(chan error, 1)
	go func() { sent <- peers[0].Broker.Publish(w.ctx, hall, []byte(stubborn), cluster.Retention{}) }()
	w.eventually("a message is being delivered", func() bool { return peers[1].holds(hall) })
	left := make(chan error, 1)
	go func() { left <- peers[1].end() }()
	for range 100 {
		_, err := peers[0].Nodes.Call(w.ctx, "a", []byte("echo 1"))
		w.must(err)
	}
	close(peers[1].release)
	w.must(<-left)
	w.must(<-sent)
	w.hears(peers[1], hall, stubborn)
}

// nothingIsCalledAfterRun checks that a message is not delivered to a node that ends shortly
// before its turn.
func nothingIsCalledAfterRun(w *world) {
	peers, hall := w.nodes("a", "b"), room("hall")
	w.subscribe(hall, peers...)
	sent := make(chan error, 1)
	go func() { sent <- peers[0].Broker.Publish(w.ctx, hall, []byte(held), cluster.Retention{}) }()
	w.eventually("a message is being delivered", func() bool { return peers[0].holds(hall) })
	w.leaves(peers[1])
	close(peers[0].release)
	w.must(<-sent)
	w.hears(peers[0], hall, held)
}

func callIsAnswered(w *world) {
	peers := w.nodes("a", "b", "c")
	for _, from := range peers {
		for _, to := range peers { // the node itself too
			call := []byte("echo \x00 " + from.name)
			got, err := from.Nodes.Call(w.ctx, to.name, call)
			w.must(err)
			if want := to.name + ": \x00 " + from.name; string(got) != want {
				w.Errorf("%s calls %s: %q, want %q", from.name, to.name, got, want)
			}
		}
	}
	big := bytes.Repeat([]byte("x"), 256<<10)
	got, err := peers[0].Nodes.Call(w.ctx, "b", append([]byte("echo "), big...))
	w.must(err)
	if string(got) != "b: "+string(big) {
		w.Errorf("a call of 256 KiB is answered by %d bytes", len(got))
	}
}

func callBringsTheErrorsText(w *world) {
	peers := w.nodes("a", "b")
	for _, to := range peers {
		_, err := peers[0].Nodes.Call(w.ctx, to.name, []byte("fail the cat is out"))
		if err == nil || !strings.Contains(err.Error(), "the cat is out") {
			w.Errorf("call %s: error %v, want the one it answered", to.name, err)
		}
		if errors.Is(err, cluster.ErrNoNode) {
			w.Errorf("call %s: %v", to.name, err)
		}
	}
}

func callToNobody(w *world) {
	peers := w.nodes("a", "b")
	_, err := peers[0].Nodes.Call(w.ctx, "nobody", []byte("echo 1"))
	w.mustBe("call who never was", err, cluster.ErrNoNode)
	w.leaves(peers[1])
	_, err = peers[0].Nodes.Call(w.ctx, "b", []byte("echo 1"))
	w.mustBe("call a node that has left", err, cluster.ErrNoNode)
}

func callThatTakesTooLong(w *world) {
	peers := w.nodes("a", "slowpoke")
	ctx, cancel := context.WithTimeout(w.ctx, 50*time.Millisecond)
	defer cancel()
	call := []byte("hang")
	_, err := peers[0].Nodes.Call(ctx, "slowpoke", call)
	clear(call) // the caller may reuse call before the answer arrives
	w.givenUp(err, context.DeadlineExceeded, "slowpoke")
	w.eventually("the answer is given up", func() bool { return !peers[1].isHanging() })
	got, err := peers[0].Nodes.Call(w.ctx, "slowpoke", []byte("echo 1"))
	w.must(err)
	if string(got) != "slowpoke: 1" {
		w.Errorf("after late calls the node answers %q", got)
	}
}

// callsRunAtOnce checks that many calls are answered while another one hangs, which is then
// canceled.
func callsRunAtOnce(w *world) {
	peers := w.nodes("a", "slowpoke", "c")
	ctx, cancel := context.WithCancel(w.ctx)
	hung := make(chan error, 1)
	go func() {
		_, err := peers[0].Nodes.Call(ctx, "slowpoke", []byte("hang"))
		hung <- err
	}()
	w.eventually("a call hangs", peers[1].isHanging)
	w.together(60, func(i int) error {
		from, to := peers[i%3], peers[i/3%3]
		buf := fmt.Appendf(nil, "echo %d", i)
		got, err := from.Nodes.Call(w.ctx, to.name, buf)
		clear(buf) // the caller may reuse buf
		if err == nil && string(got) != fmt.Sprintf("%s: %d", to.name, i) {
			err = fmt.Errorf("call %d is answered %q", i, got)
		}
		return err
	})
	cancel()
	w.givenUp(<-hung, context.Canceled, "slowpoke")
}

// givenUp fails the test unless err has the cause why and the name of the node.
func (w *world) givenUp(err, why error, node string) {
	w.Helper()
	w.mustBe("a call that is given up", err, why)
	if err != nil && !strings.Contains(err.Error(), node) {
		w.Errorf("%q does not name the node", err)
	}
}
