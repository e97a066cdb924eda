package redis

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// A generation is the time of one server as the master of a partition: the first 12 characters of
// its replication id, which changes when a replica is promoted, and 8 of its run id, which
// changes when the server starts. The key gen has the generation of the last write. Each script
// that publishes, and each beat, compares the key with the server that runs the script. Even a
// connection that stayed open while another server was the master thus detects the change. A new
// generation begins unsettled: no new message is published until every node has published again
// the messages that the new master lacks (see replay.go).

// settleTime is the time in ms that a new generation waits for the reports of nodes.
const settleTime = "2000"

// luaGeneration defines generation, which returns the generation and records a new one. With
// strict it also compares the run id. A generation without a predecessor has the mark f: Redis is
// new or has lost its data.
const luaGeneration = `
local function generation(gen, settling, now, strict)
  local was = redis.call('GET', gen)
  local replid = string.sub(string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)'), 1, 12)
  if was and not strict and string.sub(was, 1, 12) == replid then return was end
  local id = replid .. string.sub(string.match(redis.call('INFO', 'server'), 'run_id:(%w+)'), 1, 8)
  if was == id then return id end
  redis.call('SET', gen, id)
  redis.call('SET', settling, (was and '' or 'f') .. string.format('%.0f', now + ` + settleTime + `), 'PX', 3600000)
  return id
end
`

// generationScript is the first command of a connection.
//
//	KEYS gen settling
var generationScript = redis.NewScript(luaNow + luaGeneration + `
return generation(KEYS[1], KEYS[2], now, true)`)

func (k keys) generation() []string { return []string{k.of("gen"), k.of("settling")} }

// checkGeneration runs first on every new connection, because all connections to a restarted server
// are new. In sentinel mode a server that refuses to write is a replica, and the connection fails.
// Other errors are ignored: the server may be a sentinel, or not have the partition.
func (c *Config) checkGeneration(ctx context.Context, conn *redis.Conn) error {
	pipe := conn.Pipeline()
	for _, tag := range tags(c.Partitions) {
		generationScript.Eval(ctx, pipe, keys{c.Prefix, tag}.generation())
	}
	_, err := pipe.Exec(ctx)
	var reply redis.Error
	if err != nil && (!errors.As(err, &reply) || c.Mode == Sentinel && strings.HasPrefix(reply.Error(), "READONLY")) {
		return err
	}
	return nil
}

// known returns the latest generation that this node knows.
func (p *partition) known() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}

// setGeneration records the partition's generation from a beat. Subscriptions of an earlier generation
// may be on a server that is no longer the master, and are opened again. With unsettled the
// publisher reports its lost messages.
func (p *partition) setGeneration(generation string, unsettled bool) {
	p.mu.Lock()
	changed := p.current != generation && generation != ""
	if changed {
		p.current = generation
	}
	s := p.subscriber
	p.mu.Unlock()
	if changed && s != nil && s.generation != generation {
		s.end(errors.New("another server is the master now, or it has restarted"))
	}
	if changed || unsettled {
		p.publisher.settleSoon()
	}
}
