package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/telemetry"
)

func tripsOf(t *telemetry.RoundTrips) map[string]uint64 {
	all := map[string]uint64{}
	for _, trip := range t.Snapshot() {
		all[trip.Kind+" "+trip.Result] = trip.Durations.Total()
	}
	return all
}

func TestRoundTripsAreTimed(t *testing.T) {
	ctx, server := t.Context(), redistest.Start(t)
	client := redis.NewClient(&redis.Options{Addr: server.Address(), MaxRetries: -1, PoolSize: 1, Protocol: 2, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}})
	defer client.Close()
	var trips telemetry.RoundTrips
	client.AddHook(&trips)
	client.Ping(ctx)
	before := tripsOf(&trips) // the handshake
	must := func(err error, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Fatalf("%v, want %v", err, want)
		}
	}
	must(client.Set(ctx, "k", "v", 0).Err(), nil)
	must(client.Get(ctx, "none").Err(), redis.Nil)
	must(redis.NewScript("return 1").Run(ctx, client, nil).Err(), nil) // evalsha of an unknown script, then eval
	must(client.XRead(ctx, &redis.XReadArgs{Streams: []string{"s", "0"}, Block: 1e6}).Err(), redis.Nil)
	if _, err := client.Pipelined(ctx, func(p redis.Pipeliner) error { p.Get(ctx, "k"); p.Get(ctx, "k"); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := client.Do(ctx, "nonsense").Err(); err == nil {
		t.Fatal("Redis accepted an unknown command")
	}
	got := tripsOf(&trips)
	for kind, n := range before {
		if got[kind] -= n; got[kind] == 0 {
			delete(got, kind)
		}
	}
	if got["command ok"] < 2 { // more if a connection was made again
		t.Errorf("%d commands, want 2 or more", got["command ok"])
	}
	delete(got, "command ok")
	want := map[string]uint64{"script ok": 2, "pipeline ok": 1, "command error": 1}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestTimingARoundTripAllocatesNothing(t *testing.T) {
	var trips telemetry.RoundTrips
	ctx, cmd := context.Background(), redis.NewCmd(context.Background(), "get", "k")
	next := trips.ProcessHook(func(context.Context, redis.Cmder) error { return nil })
	if n := testing.AllocsPerRun(100, func() { _ = next(ctx, cmd) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkTimingARoundTrip measures what the measurement costs per command.
func BenchmarkTimingARoundTrip(b *testing.B) {
	var trips telemetry.RoundTrips
	ctx, cmd := context.Background(), redis.NewCmd(context.Background(), "get", "k")
	next := trips.ProcessHook(func(context.Context, redis.Cmder) error { return nil })
	b.ReportAllocs()
	for b.Loop() {
		_ = next(ctx, cmd)
	}
}
