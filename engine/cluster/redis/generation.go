package redis

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// A generation is one server's life as the master of a partition: the first 12
// characters of its replication id, which changes when a replica is promoted, and 8 of
// its run id, which changes when it starts. The key gen names the generation that wrote
// last. Each script that publishes, and each beat, compares it with the server that runs
// the script, so that a connection that stayed open while another server was the master
// notices as well. A new generation begins unsettled: nothing new is published until
// every node has published again what the new master lacks (see replay.go).

// settleTime is how long a new generation waits at most for nodes that do not report, in ms.
const settleTime = "2000"

// luaGeneration defines generation, which answers with the generation and notes a new
// one. With strict it compares the run id as well. A generation that begins with no
// predecessor, in a Redis that is new or lost its data, is marked f.
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

// generationScript is what a connection runs before anything else. KEYS gen settling
var generationScript = redis.NewScript(luaNow + luaGeneration + `
return generation(KEYS[1], KEYS[2], now, true)`)

func (k keys) generation() []string { return []string{k.of("gen"), k.of("settling")} }

// checkGeneration runs before anything else on every new connection: a server that
// restarted is reached by new connections only. In sentinel mode a server that refuses
// to write is a replica, which no node wants to talk to. Other errors are for what comes
// after to meet: this server may not be the partition's, or a sentinel.
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

// known is the generation that was heard of last.
func (p *partition) known() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}

// learn notes the partition's generation, as a beat or an answer has it. Subscriptions
// of the generation before lead to a server that may not be the master any more: they
// are made anew. unsettled has the lane report what it has to publish again.
func (p *partition) learn(generation string, unsettled bool) {
	p.mu.Lock()
	changed := p.current != generation && generation != ""
	if changed {
		p.current = generation
	}
	s := p.session
	p.mu.Unlock()
	if changed && s != nil && s.generation != generation {
		s.end(errors.New("another server is the master now"))
	}
	if changed || unsettled {
		p.lane.settleSoon()
	}
}
