package main

import (
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mootchat/moot/engine/cli/bench"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == floorCommand {
		fail(serveFloor(os.Stderr))
	}
	os.Exit(m.Run())
}

// TestFloorAndMootDeliverAll checks that all compared servers deliver each message to each member once
// and in order.
func TestFloorAndMootDeliverAll(t *testing.T) {
	c := &comparison{runs: 1, length: 200 * time.Millisecond, dir: t.TempDir(), progress: io.Discard}
	if err := c.build(t.Context()); err != nil {
		t.Fatal(err)
	}
	load := bench.Options{Prefix: "r", Rooms: 2, Members: 5, Senders: 1, Window: 4, Size: 128, MaxMessages: 1e6}
	for _, s := range []server{floor, moot, filtered, ruled, waiting} {
		base, results, err := c.measure(t.Context(), row{name: s.name, load: load, base: floor, moot: s})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range append(base, results...) {
			if r.Deliveries == 0 || r.Connections != 10 {
				t.Errorf("%s: %d deliveries to %d", s.name, r.Deliveries, r.Connections)
			}
		}
	}
}

func TestRowsShowMediansAndExceededBounds(t *testing.T) {
	result := func(cpu float64) *bench.Result {
		return &bench.Result{Latency: bench.Latency{P50: 1, P99: 2}, Server: &bench.Server{CPUPerMillion: cpu, PerWrite: 8}}
	}
	base := []*bench.Result{result(1), result(9), result(2)}
	r := row{name: "a room", of: cpu, most: 1.5}
	var out strings.Builder
	if err := r.print(&out, base, []*bench.Result{result(2), result(4)}); err != nil {
		t.Errorf("3 is not above 1.5 times 2: %v", err)
	}
	const want = "| a room | 2.00 s | 3.00 s | 1.50 | 1.50 | 1.0 ms / 1.0 ms | 2.0 ms / 2.0 ms | 8.0 / 8.0 |\n"
	if out.String() != want {
		t.Errorf("the row is\n%swant\n%s", out.String(), want)
	}
	if err := r.print(io.Discard, base, []*bench.Result{result(3.1)}); err == nil || !strings.Contains(err.Error(), "a room: 1.55 times as much") {
		t.Errorf("the error is %v", err)
	}
}

func TestRowsAreChosenByName(t *testing.T) {
	c := &comparison{dir: t.TempDir(), progress: io.Discard}
	var out strings.Builder
	if err := c.compare(t.Context(), regexp.MustCompile("nothing has this name"), &out); err != nil || out.String() != tableHead {
		t.Errorf("%v\n%s", err, out.String())
	}
}
