package telemetry

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/histogram"
)

// RoundTrips measures the durations of commands to Redis. It is a hook of go-redis: add it
// to each client. The zero RoundTrips is ready to use and must not be copied.
//
// Each round trip reads the clock twice, adds to two atomic counters, and allocates
// nothing.
type RoundTrips struct {
	durations [len(tripKinds)][len(tripResults)]histogram.Histogram
}

// tripKinds are the kinds of round trips: one command, several commands in one write,
// or a script.
var tripKinds = [...]string{"command", "pipeline", "script"}

var tripResults = [...]string{"ok", "error"}

// RoundTrip is the durations of the round trips of one kind and result.
type RoundTrip struct {
	Kind      string // command, pipeline or script
	Result    string // error: no answer, or an error from Redis; otherwise ok, also for "no such key"
	Durations histogram.Snapshot
}

// Snapshot returns the kinds and results that have occurred.
func (t *RoundTrips) Snapshot() (all []RoundTrip) {
	for kind := range t.durations {
		for result := range t.durations[kind] {
			if durations := t.durations[kind][result].Snapshot(); durations.Total() > 0 {
				all = append(all, RoundTrip{tripKinds[kind], tripResults[result], durations})
			}
		}
	}
	return all
}

// blocking lists commands that are not measured: they wait for data, not for Redis.
var blocking = []string{"xread", "xreadgroup", "blpop", "brpop", "blmove", "wait"}

// DialHook implements redis.Hook.
func (t *RoundTrips) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook implements redis.Hook.
func (t *RoundTrips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		begun := time.Now()
		err := next(ctx, cmd)
		kind := 0
		switch name := cmd.Name(); {
		case name == "evalsha" || name == "eval":
			kind = 2
		case slices.Contains(blocking, name):
			return err
		}
		t.observe(kind, err, begun)
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (t *RoundTrips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		begun := time.Now()
		err := next(ctx, cmds)
		t.observe(1, err, begun)
		return err
	}
}

func (t *RoundTrips) observe(kind int, err error, begun time.Time) {
	result := 0
	if err != nil && !errors.Is(err, redis.Nil) && !redis.HasErrorPrefix(err, "NOSCRIPT") { // go-redis then sends the script
		result = 1
	}
	t.durations[kind][result].Observe(time.Since(begun))
}
