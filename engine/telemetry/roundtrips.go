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

// RoundTrips times what a node asks of Redis. It is a hook of go-redis, to be added to each
// client. The zero RoundTrips is ready; it must not be copied.
//
// A round trip costs two looks at the clock and two atomic additions, and no memory.
type RoundTrips struct {
	durations [len(tripKinds)][len(tripResults)]histogram.Histogram
}

// tripKinds are the ways to ask: one command, several at once, or a script.
var tripKinds = [...]string{"command", "pipeline", "script"}

var tripResults = [...]string{"ok", "error"}

// RoundTrip is how long the round trips of one kind took that ended in one way.
type RoundTrip struct {
	Kind      string // command, pipeline or script
	Result    string // ok, or error: no answer, or one that is an error; "no such key" is ok
	Durations histogram.Snapshot
}

// Snapshot has the kinds and results that there were.
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

// blocking commands wait for news: their time says nothing of Redis.
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
	if err != nil && !errors.Is(err, redis.Nil) && !redis.HasErrorPrefix(err, "NOSCRIPT") { // a script is sent after it
		result = 1
	}
	t.durations[kind][result].Observe(time.Since(begun))
}
