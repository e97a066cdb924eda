package redis

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/redis/redistest"
)

// TestDamagedNumbersDoNotHoldRedisUp checks that a message to a room whose numbers are damaged ends: a script
// that has written cannot be stopped, and Redis serves nobody while it runs.
func TestDamagedNumbersDoNotHoldRedisUp(t *testing.T) {
	server := redistest.Start(t)
	tr := emptyTestCluster(t)
	a := tr.impatient(Config{Addresses: []string{server.Address()}}, "a")
	client := server.Client()
	defer client.Close()
	keep := cluster.Retention{Messages: 1000, For: time.Minute, Bytes: 1000}
	hall, payload := tr.rooms[0], bytes.Repeat([]byte("x"), 950)
	tr.must(a.Publish(tr.ctx, hall, payload, keep))
	p, key := a.at(hall)
	state := p.keys.of("m", key)
	const first, last = 1 << 62, 1<<62 + 3<<10 // a number of Lua of this size plus 1 is itself
	var numbers [16]byte
	binary.BigEndian.PutUint64(numbers[:], math.Float64bits(last))
	binary.BigEndian.PutUint64(numbers[8:], math.Float64bits(first))
	tr.must(client.SetRange(tr.ctx, state, 0, string(numbers[:])).Err())
	_ = a.Publish(tr.ctx, hall, payload, keep) // may fail
	checkAnswers(t, client)
}

// TestALongStateDoesNotHoldRedisUp checks the same for a state whose search would take minutes. After that the room works.
func TestALongStateDoesNotHoldRedisUp(t *testing.T) {
	server := redistest.Start(t)
	tr := emptyTestCluster(t)
	a := tr.impatient(Config{Addresses: []string{server.Address()}}, "a")
	client := server.Client()
	defer client.Close()
	keep := cluster.Retention{Messages: 1000, For: time.Minute, Bytes: 1000}
	hall, payload := tr.rooms[0], bytes.Repeat([]byte("x"), 950)
	tr.must(a.Publish(tr.ctx, hall, payload, keep))
	p, key := a.at(hall)
	state := p.keys.of("m", key)
	for _, from := range []int64{0, 88, 108} { // all of it, the generation and the rest, the rest
		for _, junk := range []string{"x", "1"} {
			tr.must(client.SetRange(tr.ctx, state, from, strings.Repeat(junk, 300_000)).Err())
			_ = a.Publish(tr.ctx, hall, payload, keep) // may fail
			_, _ = p.since(tr.ctx, key, []position{{epoch: "e"}})
			checkAnswers(t, client)
		}
	}
}

// TestDamagedLengthsDoNotHoldRedisUp checks the same for a batch that is published again.
func TestDamagedLengthsDoNotHoldRedisUp(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client()
	defer client.Close()
	tr := emptyTestCluster(t)
	script := redis.NewScript(`local s = ARGV[1]
` + luaField + `
local at, text = 1, nil
while at <= #s do text, at = field(s, at) end
return 'read'`)
	for s, read := range map[string]bool{"1:a2:bc": true, "0:": true, "-2:a": false, "x:a": false, ":": false, "1": false, "nan:a": false} {
		if answer, err := script.Run(tr.ctx, client, nil, s).Text(); (err == nil && answer == "read") != read {
			t.Errorf("%q: %q, %v", s, answer, err)
		}
	}
	checkAnswers(t, client)
}

func checkAnswers(t *testing.T, client *redis.Client) {
	t.Helper()
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Fatalf("Redis does not answer: %v", err)
	}
}
