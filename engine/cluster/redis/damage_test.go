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

// damageable is a room with one message, whose state in Redis a test damages.
type damageable struct {
	*testCluster
	t         *testing.T
	node      *recorder
	client    *redis.Client
	partition *partition
	key       string
}

func newDamageable(t *testing.T) *damageable {
	server, tr := redistest.Start(t), emptyTestCluster(t)
	r := &damageable{testCluster: tr, t: t, client: server.Client()}
	t.Cleanup(func() { r.client.Close() })
	r.node = tr.impatient(Config{Addresses: []string{server.Address()}}, "a")
	r.partition, r.key = r.node.at(tr.rooms[0])
	tr.must(r.publish())
	return r
}

// publish publishes a message that fills an eighth of the bytes of history several times.
func (r *damageable) publish() error {
	return r.node.Publish(r.ctx, r.rooms[0], bytes.Repeat([]byte("x"), 950), cluster.Retention{Messages: 1000, For: time.Minute, Bytes: 1000})
}

// overwrite writes junk into the state, publishes a message, which may fail, and checks that Redis answers.
func (r *damageable) overwrite(from int64, junk string) {
	r.t.Helper()
	r.must(r.client.SetRange(r.ctx, r.partition.keys.of("m", r.key), from, junk).Err())
	_ = r.publish()
	checkAnswers(r.t, r.client)
}

// TestDamagedNumbersDoNotHoldRedisUp checks that a message to a room whose numbers are damaged ends: a script
// that has written cannot be stopped, and Redis serves nobody while it runs.
func TestDamagedNumbersDoNotHoldRedisUp(t *testing.T) {
	r := newDamageable(t)
	const first, last = 1 << 62, 1<<62 + 3<<10 // a number of Lua of this size plus 1 is itself
	var numbers [16]byte
	binary.BigEndian.PutUint64(numbers[:], math.Float64bits(last))
	binary.BigEndian.PutUint64(numbers[8:], math.Float64bits(first))
	r.overwrite(0, string(numbers[:]))
}

// TestALongStateDoesNotHoldRedisUp checks the same for a state whose search would take minutes. After that the room works.
func TestALongStateDoesNotHoldRedisUp(t *testing.T) {
	r := newDamageable(t)
	for _, from := range []int64{0, 88, 108} { // all of it, the generation and the rest, the rest
		for _, junk := range []string{"x", "1"} {
			r.overwrite(from, strings.Repeat(junk, 300_000))
			_, _ = r.partition.since(r.ctx, r.key, []position{{epoch: "e"}})
			checkAnswers(t, r.client)
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
