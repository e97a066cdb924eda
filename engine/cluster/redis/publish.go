package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mootchat/moot/engine"
)

// Bounds of publishing.
const (
	batchCount = 128      // messages of a batch: they keep a script below 2 ms
	batchBytes = 64 << 10 // and their bytes, unless the first alone has more
	queueCount = 10_000   // messages that wait, of a node
	queueBytes = 16 << 20 // and their bytes

	historyCount = 256 // messages of a room, about
	historyTTL   = 5 * time.Minute
	metaTTL      = 24 * time.Hour
	producerTTL  = time.Hour // far longer than a batch is tried
)

// publishScript publishes a batch, once however often it is asked to. The answer
// is the generation and the positions. If the generation is not the one that the
// publisher knows, it does nothing and answers ! and the new one.
//
// All messages are kept for nodes to heal by. Those that history is to have know
// when they came, and are the last ones without a gap: k is the offset of the first.
//
// KEYS gen pub (meta history)*
// ARGV seq command historyTTL metaTTL historyCount epoch producerTTL generation (channel entry keep keepFor)*
var publishScript = redis.NewScript(`
local done = redis.call('GET', KEYS[2])
if done then
  local bar = string.find(done, '|', 1, true)
  if tonumber(string.sub(done, 1, bar - 1)) >= tonumber(ARGV[1]) then return string.sub(done, bar + 1) end
end
local gen = redis.call('GET', KEYS[1]) or ''
if ARGV[8] ~= '' and ARGV[8] ~= gen then return '!' .. gen end
local out, now = {gen}, nil
for i = 1, (#KEYS - 2) / 2 do
  local meta, history, channel, entry = KEYS[1 + 2*i], KEYS[2 + 2*i], ARGV[5 + 4*i], ARGV[6 + 4*i]
  local keep, count, ttl, life = tonumber(ARGV[7 + 4*i]), ARGV[5], ARGV[3], ARGV[4]
  local offset = redis.call('HINCRBY', meta, 'o', 1)
  local was = redis.call('HMGET', meta, 'e', 'g', 'k')
  local epoch = was[1]
  if not epoch or was[2] ~= gen then
    epoch = ARGV[6]
    redis.call('HSET', meta, 'e', epoch, 'g', gen, 's', offset - 1)
    if offset == 1 then redis.call('DEL', history) end
  end
  if keep == 0 then
    if was[3] then redis.call('HDEL', meta, 'k') end
    redis.call('XADD', history, 'MAXLEN', '~', count, '0-' .. offset, 'd', entry)
  else
    if not was[3] then redis.call('HSET', meta, 'k', offset) end
    if not now then
      local t = redis.call('TIME')
      now = t[1] * 1000 + math.floor(t[2] / 1000)
    end
    local keepFor = ARGV[8 + 4*i]
    if keep > tonumber(count) then count = keep end
    if tonumber(keepFor) > tonumber(ttl) then ttl = keepFor end
    if tonumber(keepFor) > tonumber(life) then life = keepFor end
    redis.call('XADD', history, 'MAXLEN', '~', count, '0-' .. offset, 'd', entry, 't', now)
  end
  redis.call('PEXPIRE', history, ttl)
  redis.call('PEXPIRE', meta, life)
  redis.call(ARGV[2], channel, epoch .. ':' .. offset .. ':' .. entry)
  out[i + 1] = epoch .. ':' .. offset
end
local answer = table.concat(out, ' ')
redis.call('SET', KEYS[2], ARGV[1] .. '|' .. answer, 'PX', ARGV[7])
return answer`)

// queue counts what waits in all lanes of a node.
type queue struct{ count, bytes atomic.Int64 }

func (q *queue) add(bytes int) bool {
	count, size := q.count.Add(1), q.bytes.Add(int64(bytes))
	if count > queueCount || size > queueBytes {
		q.remove(bytes)
		return false
	}
	return true
}

func (q *queue) remove(bytes int) {
	q.count.Add(-1)
	q.bytes.Add(-int64(bytes))
}

// lane publishes a partition's messages in the order in which they came, batch
// after batch: whatever waits goes with the next one.
type lane struct {
	p    *partition
	wake chan struct{} // one slot

	mu      sync.Mutex
	number  uint64 // of the last message
	waiting []*parcel
	closed  bool

	// Of the one goroutine that publishes.
	seq    uint64 // of the last batch
	gen    string // of the last answer
	recent recent
}

// ephemeral says whether it is the lane of messages that are not kept.
func (l *lane) ephemeral() bool { return l == &l.p.quick }

// parcel is a message on its way to Redis.
type parcel struct {
	ctx      context.Context // of who publishes
	room     string          // key
	entry    string
	keep     engine.Keep
	deadline time.Time
	taken    atomic.Bool // by the batch, or by who gave it up
	done     chan error  // one slot
}

// Publish implements engine.Broker. A node with 10,000 messages or 16 MiB waiting
// takes no more: engine.ErrUnavailable.
func (n *Node) Publish(ctx context.Context, room engine.RoomID, payload []byte, keep engine.Keep) error {
	if err := n.up(ctx); err != nil {
		return err
	}
	p, key := n.at(room)
	item := &parcel{ctx: ctx, room: key, keep: keep, deadline: time.Now().Add(n.cfg.PublishTimeout), done: make(chan error, 1)}
	l := &p.lane
	if keep.Ephemeral {
		l = &p.quick
	}
	if err := l.put(item, payload); err != nil {
		return err
	}
	select {
	case err := <-item.done:
		return err
	case <-ctx.Done():
	}
	if item.taken.CompareAndSwap(false, true) {
		return fmt.Errorf("publish: %w: %w", engine.ErrUnavailable, ctx.Err())
	}
	return fmt.Errorf("publish: %w: %w", engine.ErrUnknown, ctx.Err())
}

// put copies payload into the item and queues it.
func (l *lane) put(item *parcel, payload []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.number++
	item.entry = entry{id: l.p.n.process + "." + strconv.FormatUint(l.number, 10), payload: string(payload)}.String()
	if l.closed {
		return l.p.n.gone()
	}
	if !l.p.n.queued.add(len(item.entry)) {
		return fmt.Errorf("publish: too much is waiting: %w", engine.ErrUnavailable)
	}
	l.waiting = append(l.waiting, item)
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return nil
}

// run sends batches until the node's life ends.
func (l *lane) run() {
	ctx := l.p.n.life
	send := l.send
	if l.ephemeral() {
		send = l.fling
	}
	for {
		select {
		case <-l.wake:
		case <-ctx.Done():
			l.close()
			return
		}
		for batch := l.take(); len(batch) > 0 && ctx.Err() == nil; batch = l.take() {
			send(l.p.n.cfg.traced(ctx, batch), batch)
		}
	}
}

// valued ends as one context does and has the values of another.
type valued struct {
	context.Context
	values context.Context
}

func (v valued) Value(key any) any {
	if value := v.values.Value(key); value != nil {
		return value
	}
	return v.Context.Value(key)
}

// traced is the ctx that a batch is sent with.
func (c *Config) traced(ctx context.Context, batch []*parcel) context.Context {
	if c.Instrument == nil {
		return ctx
	}
	return valued{ctx, context.WithoutCancel(batch[0].ctx)}
}

// take takes the next batch, leaving out who gave up waiting.
func (l *lane) take() []*parcel {
	l.mu.Lock()
	defer l.mu.Unlock()
	var batch []*parcel
	size, i := 0, 0
	for ; i < len(l.waiting) && len(batch) < batchCount; i++ {
		item := l.waiting[i]
		if len(batch) > 0 && size+len(item.entry) > batchBytes {
			break
		}
		l.p.n.queued.remove(len(item.entry))
		if item.taken.CompareAndSwap(false, true) {
			size += len(item.entry)
			batch = append(batch, item)
		}
	}
	l.waiting = slices.Delete(l.waiting, 0, i)
	return batch
}

// close answers all who wait.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, item := range l.waiting {
		l.p.n.queued.remove(len(item.entry))
		item.done <- l.p.n.gone()
	}
	l.waiting = nil
}

// send publishes a batch. It is tried again under the same number until the last
// of its messages has waited long enough: the script publishes it once.
func (l *lane) send(ctx context.Context, batch []*parcel) {
	l.seq++
	keys, args := l.compose(batch)
	deadline := slices.MaxFunc(batch, func(a, b *parcel) int { return a.deadline.Compare(b.deadline) }).deadline
	outcome := engine.ErrUnavailable
	for b := (backoff{10 * time.Millisecond, 200 * time.Millisecond}); ; {
		answer, err := l.ask(ctx, keys, args)
		if gen, changed := strings.CutPrefix(answer, "!"); err == nil && changed {
			l.replay(ctx, gen)
			l.seq++
			keys, args = l.compose(batch)
			continue
		}
		if err == nil {
			err = l.accepted(batch, answer)
		}
		if err == nil {
			return
		}
		if !isRefusal(err) {
			outcome = engine.ErrUnknown
		}
		if !isPassing(err) || time.Now().After(deadline) || !b.pause(ctx) {
			for _, item := range batch {
				item.done <- fmt.Errorf("publish: %w: %w", outcome, err)
			}
			return
		}
		reload(ctx, l.p.n.client)
	}
}

func (l *lane) ask(ctx context.Context, keys []string, args []any) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*readTimeout)
	defer cancel()
	return publishScript.Run(ctx, l.p.n.client, keys, args...).Text()
}

func (l *lane) compose(batch []*parcel) (keys []string, args []any) {
	k := l.p.keys
	command := l.p.n.publishCommand()
	keys = append(keys, k.of("gen"), k.of("pub", l.p.n.process))
	args = append(args, l.seq, command, historyTTL.Milliseconds(), metaTTL.Milliseconds(), historyCount, token(), producerTTL.Milliseconds(), l.gen)
	for _, item := range batch {
		keys = append(keys, k.of("m", item.room), k.of("h", item.room))
		args = append(args, k.of("c", item.room), item.entry, max(item.keep.Messages, 0), max(item.keep.For.Milliseconds(), 0))
	}
	return keys, args
}

// accepted tells the publishers.
func (l *lane) accepted(batch []*parcel, answer string) error {
	gen, positions, _ := strings.Cut(answer, " ")
	if strings.Count(positions, " ") != len(batch)-1 {
		return errors.New("publish: Redis answered something else")
	}
	l.gen = gen
	now := time.Now()
	for _, item := range batch {
		l.recent.add(item, now)
		item.done <- nil
	}
	return nil
}
