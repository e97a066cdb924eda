package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// When a master is lost, the writes that its replica lacks are lost too, and may include accepted
// messages. Replication keeps the order of writes, so the lost writes are the last of the
// partition. The number of a publisher's last batch on the new master shows which of its batches
// are lost. Each publisher stages these batches and reports. When all nodes have reported, or
// after settleTime, the staged batches are published in their old order. Then the generation is
// settled, and new messages follow.

// recent has the batches of a publisher that Redis accepted within the last Heal.For, and the
// last message of each room in the batches before. Its methods may be called concurrently.
type recent struct {
	mu      sync.Mutex
	batches []sent
	dropped dropped
}

// sent is an accepted batch.
type sent struct {
	seq      uint64
	order    int64 // time of publishing in us, by Redis' clock; at least that of the previous batch, which may be of another server
	at       time.Time
	bytes    int64
	messages []message
}

// remember keeps a batch for Heal.For. It drops the publisher's oldest batches while the node's
// batches exceed Heal.NodeBytes.
func (l *publisher) remember(s sent) {
	r, n := &l.recent, l.p.n
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range s.messages {
		s.bytes += int64(len(m.entry))
	}
	if last := len(r.batches) - 1; last >= 0 {
		s.order = max(s.order, r.batches[last].order)
	}
	r.batches = append(r.batches, s)
	n.remembered.Add(s.bytes)
	r.expire(n, s.at)
	for len(r.batches) > 1 && n.remembered.Load() > n.cfg.Heal.NodeBytes {
		r.drop(n, s.at)
	}
}

// expire drops the batches that are older than Heal.For. The lock is held.
func (r *recent) expire(n *Node, now time.Time) {
	for len(r.batches) > 0 && now.Sub(r.batches[0].at) > n.cfg.Heal.For {
		r.drop(n, now)
	}
	r.dropped.expire(now)
}

func (r *recent) drop(n *Node, now time.Time) {
	r.dropped.add(&r.batches[0], now)
	n.remembered.Add(-r.batches[0].bytes)
	r.batches[0] = sent{}
	r.batches = r.batches[1:]
}

// after returns the batches that a server lacks if seq is its last one, and gaps for those that
// are no longer remembered. forgotten reports that there may be more gaps.
func (r *recent) after(seq uint64) (lost []sent, gaps []sent, forgotten bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.batches {
		if s.seq > seq {
			lost = append(lost, s)
		}
	}
	gaps, forgotten = r.dropped.after(seq)
	return lost, gaps, forgotten
}

// tidy drops old batches, also while the publisher is idle.
func (l *publisher) tidy(now time.Time) {
	l.recent.mu.Lock()
	defer l.recent.mu.Unlock()
	l.recent.expire(l.p.n, now)
}

// stageScript stages batches of a publisher and answers with the generation. With last it records
// that the publisher has reported: all its lost batches are staged. If the publisher names
// another generation, nothing is staged: the answer is !, the generation, the number of the
// publisher's last batch, and a state: 0 settled, 1 unsettled, 2 unsettled and the publisher has
// reported.
//
// It also stages the last amendment of each message in the batches. The hash amended has for each room and message R, if
// it was retracted, or the time and the payload of its last edit.
//
//	KEYS gen settling pub staged batches reported amended
//	ARGV generation process last former n (room/message amendment)*n (order number batch)*
var stageScript = redis.NewScript(luaNow + luaGeneration + `
local gen = generation(KEYS[1], KEYS[2], now, false)
if ARGV[1] ~= gen then
  local had, state = redis.call('GET', KEYS[3]), redis.call('EXISTS', KEYS[2])
  if state == 1 and redis.call('HGET', KEYS[6], ARGV[2]) == gen then state = 2 end
  return '!' .. gen .. ' ' .. (had and string.match(had, '^%d+') or 0) .. ' ' .. state
end
for i = 6, 5 + 2 * ARGV[5], 2 do
  local had = redis.call('HGET', KEYS[7], ARGV[i])
  if not had or had < ARGV[i + 1] then redis.call('HSET', KEYS[7], ARGV[i], ARGV[i + 1]) end
  redis.call('PEXPIRE', KEYS[7], 3600000)
end
for i = 6 + 2 * ARGV[5], #ARGV, 3 do
  local member = ARGV[2] .. '|' .. string.format('%020.0f', ARGV[i + 1])
  redis.call('ZADD', KEYS[4], ARGV[i], member)
  redis.call('HSET', KEYS[5], member, ARGV[i + 2])
  redis.call('PEXPIRE', KEYS[4], 3600000)
  redis.call('PEXPIRE', KEYS[5], 3600000)
end
if ARGV[3] == '1' then
  redis.call('HSET', KEYS[6], ARGV[2], gen)
  if ARGV[4] == '1' then redis.call('HSET', KEYS[6], '#former', gen) end
  redis.call('PEXPIRE', KEYS[6], 3600000)
  if redis.call('ZCARD', KEYS[4]) > 0 then redis.call('SET', KEYS[2], '0', 'NX', 'PX', 3600000) end
end
return gen`)

// luaField defines field, which returns the field "LENGTH:TEXT" of s that begins at a place, and the place after
// it. The place is never before the one of the field, so that reading a damaged batch ends.
const luaField = `
local function field(s, at)
  local colon = string.find(s, ':', at, true)
  local n = tonumber(string.match(string.sub(s, at, colon - 1), '^%d+$'))
  return string.sub(s, colon + 1, colon + n), colon + n + 1
end
`

// restoreScript publishes some of the staged batches if all nodes have reported. It also waits
// for nodes whose leases have ended, because the new master may lack their last beats. It answers
// open, more, wait, or ! if the generation is another.
//
//	KEYS gen settling staged batches reported alive amended
//	ARGV base command token producerTTL window roomBytes tenantBytes allBytes generation mostMessages mostBytes
var restoreScript = redis.NewScript(luaNow + luaGeneration + `
local gen = generation(KEYS[1], KEYS[2], now, false)
if ARGV[9] ~= gen then return '!' end
local settling = redis.call('GET', KEYS[2])
if not settling then return 'open' end
local fresh, deadline = string.match(settling, '^(f?)(%d+)$')
if now < tonumber(deadline) then
  for _, process in ipairs(redis.call('ZRANGEBYSCORE', KEYS[6], '(0', '+inf')) do
    if redis.call('HGET', KEYS[5], process) ~= gen then return 'wait' end
  end
  if fresh == 'f' and redis.call('HGET', KEYS[5], '#former') == gen then return 'wait' end
end
` + luaSay + `
local items, total, count, bytes, pubs, numbers = {}, 0, 0, 0, {}, {}
` + luaField + luaLastVersion + `
for _, member in ipairs(redis.call('ZRANGE', KEYS[3], 0, ARGV[10] - 1)) do
  local process, seq = string.match(member, '^(.*)|0*(%d+)$')
  local batch = redis.call('HGET', KEYS[4], member)
  local pub = ARGV[1] .. 'pub:' .. process
  local last = tonumber(string.match(redis.call('GET', pub) or '0', '^%d+'))
  if batch and math.max(last, pubs[pub] or 0) < tonumber(seq) then
    local at = 1
    while at <= #batch do
      local room, entry, keep, keepFor
      room, at = field(batch, at)
      entry, at = field(batch, at)
      keep, at = field(batch, at)
      keepFor, at = field(batch, at)
      local again = lastVersion(room, entry)
      if again then
        for _, item in ipairs({'@' .. #again .. ' ' .. string.match(room, '^[^/]*'), '=' .. keep .. ' ' .. keepFor, ':' .. room}) do
          items[#items + 1] = item
        end
        local once = string.match(entry, '^1 [^ ~]*~([^ .]*)%.')
        if once then items[#items + 1] = '^' .. once end
        items[#items + 1] = again
      end
      numbers[pub] = math.max(numbers[pub] or 0, tonumber(string.match(entry, '^%S+ %S*%.(%d+) ')) or 0)
      total, count = total + #entry, count + 1
    end
    bytes = bytes + #batch
    pubs[pub] = tonumber(seq)
  end
  redis.call('ZREM', KEYS[3], member)
  redis.call('HDEL', KEYS[4], member)
  if count >= tonumber(ARGV[10]) or bytes >= tonumber(ARGV[11]) then break end
end
local answer = publish(items, 1, total, ARGV[1], gen, ARGV[2], ARGV[3], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]))
for pub, seq in pairs(pubs) do
  redis.call('SET', pub, string.format('%.0f|%s %.0f', seq, answer, numbers[pub] or 0), 'PX', ARGV[4])
end
if redis.call('ZCARD', KEYS[3]) > 0 then return 'more' end
redis.call('DEL', KEYS[2], KEYS[4], KEYS[5], KEYS[7])
return 'open'`)

// errUnsettled is a temporary error: other nodes have not reported yet.
var errUnsettled = errors.New("redis failed over or restarted: lost messages are still being published again")

// settleSoon makes the publisher report, even if no message waits.
func (l *publisher) settleSoon() {
	l.unsettled.Store(true)
	l.wakeUp()
}

// settle reports to the generation. After an error the publisher reports again later, so that
// messages do not wait for the report.
func (l *publisher) settle(ctx context.Context) {
	if err := l.restore(ctx, time.Now().Add(readTimeout)); err != nil && ctx.Err() == nil {
		l.p.n.cfg.Log.Debug("cannot report lost messages yet, trying again", "error", err)
		l.settleSoon()
		(&backoff{wait: 50 * time.Millisecond}).pause(ctx)
	}
}

// restore stages the messages of this publisher that the generation lacks, and publishes staged
// batches until the generation is settled.
func (l *publisher) restore(ctx context.Context, deadline time.Time) error {
	for b := (backoff{10 * time.Millisecond, 100 * time.Millisecond}); ; {
		state, err := l.report(ctx)
		for err == nil && state == "more" {
			state, err = l.restoreSome(ctx)
		}
		switch {
		case err != nil:
			return err
		case state == "open":
			return nil
		case time.Now().After(deadline) || !b.pause(ctx):
			return errUnsettled
		}
	}
}

// report stages lost batches. It returns open if no work is left, more if restoreSome must be
// called, and ! if the generation has changed.
func (l *publisher) report(ctx context.Context) (string, error) {
	answer, err := l.stage(ctx, "", nil, false)
	if err != nil {
		return "", err
	}
	gen, last, state, err := parseGeneration(answer)
	if err != nil {
		return "", err
	}
	switch {
	case state == reported && l.gen == gen:
		return "more", nil
	case state == settled && l.gen == gen:
		return "open", nil
	}
	if l.gen != gen {
		if err := l.p.removeAgain(ctx); err != nil {
			return "", err
		}
	}
	lost, gaps, forgotten := l.recent.after(last)
	if len(lost)+len(gaps) == 0 && state == settled {
		l.gen = gen
		return "open", nil
	}
	for i := range gaps {
		gaps[i].fill(l)
	}
	for _, batches := range [][]sent{gaps, lost} {
		if answer, err = l.stageAll(ctx, gen, batches); err != nil || answer != gen {
			return "!", err
		}
	}
	if answer, err = l.stage(ctx, gen, nil, true); err != nil || answer != gen {
		return "!", err
	}
	if l.gen != gen {
		l.logLost(messagesOf(lost), messagesOf(gaps), forgotten && last > 0)
		l.gen = gen
	}
	return "more", nil
}

// stageAll stages batches in several calls, and returns the generation.
func (l *publisher) stageAll(ctx context.Context, gen string, batches []sent) (string, error) {
	for len(batches) > 0 {
		n, size := 0, int64(0)
		for n < len(batches) && n < batchCount && size < 4*batchBytes {
			size += batches[n].bytes
			n++
		}
		if answer, err := l.stage(ctx, gen, batches[:n], false); err != nil || answer != gen {
			return answer, err
		}
		batches = batches[n:]
	}
	return gen, nil
}

func messagesOf(batches []sent) (count int) {
	for _, s := range batches {
		count += len(s.messages)
	}
	return count
}

// logLost logs the lost messages once for each generation. forgotten reports that more rooms may
// have lost messages.
func (l *publisher) logLost(messages, rooms int, forgotten bool) {
	n := l.p.n
	n.counters.Replayed.Add(int64(messages))
	n.cfg.Log.Warn("redis failed over or restarted: messages that it lost are published again", "messages", messages)
	if rooms > 0 || forgotten {
		n.cfg.Log.Error("redis lacks messages that this node no longer keeps (cluster.heal.for, cluster.heal.nodeBytes): members who have not received them receive a gap notice",
			"rooms", rooms, "moreRooms", forgotten, "for", n.cfg.Heal.For, "nodeBytes", n.cfg.Heal.NodeBytes)
	}
}

func (l *publisher) stage(ctx context.Context, gen string, batches []sent, last bool) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*readTimeout)
	defer cancel()
	flag := func(is bool) string {
		if is {
			return "1"
		}
		return "0"
	}
	amended := amendedIn(batches)
	args := append([]any{gen, l.p.n.process, flag(last), flag(l.gen != "" && l.gen != gen), len(amended) / 2}, amended...)
	for _, s := range batches {
		args = append(args, s.order, s.seq, s.packed())
	}
	k := l.p.keys
	keys := append(k.generation(), k.of("pub", l.p.n.process), k.of("staged"), k.of("batches"), k.of("reported"), k.of("amended"))
	return stageScript.Run(ctx, l.p.n.client, keys, args...).Text()
}

func (l *publisher) restoreSome(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*readTimeout)
	defer cancel()
	k := l.p.keys
	keys := append(k.generation(), k.of("staged"), k.of("batches"), k.of("reported"), k.of("alive"), k.of("amended"))
	args := append(l.p.saying(), l.gen, batchCount, batchBytes)
	return restoreScript.Run(ctx, l.p.n.client, keys, args...).Text()
}

// packed returns the batch in the form of restoreScript: room, entry, KEEP, and KEEPFOR KEEPBYTES of
// each message, each as <length>:<bytes>.
func (s *sent) packed() string {
	var b strings.Builder
	field := func(text string) {
		b.WriteString(strconv.Itoa(len(text)))
		b.WriteByte(':')
		b.WriteString(text)
	}
	for _, m := range s.messages {
		field(m.room)
		field(m.entry)
		field(strconv.Itoa(max(m.keep.Messages, 0)))
		field(keepForBytes(m.keep))
	}
	return b.String()
}

// The states of a generation for one publisher.
const (
	settled  = "0"
	reported = "2" // unsettled, and the publisher has staged all its lost batches
)

// parseGeneration parses "!<generation> <number> <state>".
func parseGeneration(answer string) (gen string, last uint64, state string, err error) {
	parts := strings.Fields(strings.TrimPrefix(answer, "!"))
	if len(parts) != 3 {
		return "", 0, "", fmt.Errorf("generation: %w", errValues)
	}
	last, err = strconv.ParseUint(parts[1], 10, 64)
	return parts[0], last, parts[2], err
}
