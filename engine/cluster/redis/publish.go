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

	"github.com/mootchat/moot/engine/cluster"
)

// Bounds of publishing.
const (
	batchCount = 128      // messages in a batch: a script takes less than 2 ms
	batchBytes = 64 << 10 // bytes in a batch, unless the first message alone has more
	queueCount = 10_000   // waiting messages of a node
	queueBytes = 16 << 20 // bytes of the waiting messages

	producerTTL = time.Hour // much longer than the attempts to publish a batch
	stateTTL    = 24 * time.Hour
)

// publishScript publishes a batch and answers with the generation, the time in us, and the number
// of the batch's last message. A second call with the same batch has the same answer and no
// effect. If the publisher knows another generation, the answer is !, the generation, and the
// number of the publisher's last batch on this server. While the generation is unsettled the
// answer is ?. Both have no effect.
//
//	KEYS gen settling pub
//	ARGV base command token producerTTL window roomBytes tenantBytes allBytes seq generation number bytes item*
var publishScript = redis.NewScript(luaNow + luaGeneration + `
local had = redis.call('GET', KEYS[3])
local last = 0
if had then
  local bar = string.find(had, '|', 1, true)
  last = tonumber(string.sub(had, 1, bar - 1))
  if last >= tonumber(ARGV[9]) then return string.sub(had, bar + 1) end
end
local gen = generation(KEYS[1], KEYS[2], now, false)
if ARGV[10] ~= gen then return '!' .. gen .. ' ' .. last end
if redis.call('EXISTS', KEYS[2]) == 1 then return '?' end
` + luaSay + `
local answer = publish(ARGV, 13, tonumber(ARGV[12]), ARGV[1], gen, ARGV[2], ARGV[3], tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])) .. ' ' .. ARGV[11]
redis.call('SET', KEYS[3], ARGV[9] .. '|' .. answer, 'PX', ARGV[4])
return answer`)

// queue counts the messages that wait in all publishers of a node.
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

// publisher publishes the messages of a partition in their order. Messages that arrive while a
// batch is being sent wait for the next batch.
type publisher struct {
	p    *partition
	wake chan struct{} // one slot

	mu      sync.Mutex
	number  uint64 // number of the last message
	waiting []*queuedMessage
	closed  bool

	unsettled atomic.Bool // report before the next batch, because the generation may be new

	// Used by the goroutine of run only.
	seq    uint64 // number of the last batch
	gen    string // the generation with which the publisher has settled
	recent recent
}

// isEphemeral reports whether l publishes ephemeral messages.
func (l *publisher) isEphemeral() bool { return l == &l.p.ephemeral }

// message is a message of a room.
type message struct {
	room   string // key of the room
	number uint64 // number among the publisher's messages
	entry  string
	keep   cluster.Retention
}

// queuedMessage is a message that waits to be published.
type queuedMessage struct {
	message
	ctx      context.Context // ctx of the caller of Publish
	deadline time.Time
	taken    atomic.Bool // set by a batch, or by a caller that gives up
	done     chan error  // one slot
	once     string      // the id of PublishOnce; "": none
}

// Publish implements cluster.Broker. While 10,000 messages or 16 MiB of this node wait, it
// fails with cluster.ErrUnavailable.
func (n *Node) Publish(ctx context.Context, room cluster.RoomID, payload []byte, keep cluster.Retention) error {
	if err := n.up(ctx); err != nil {
		return err
	}
	return n.publish(ctx, room, form{version: entryVersion}, payload, keep)
}

// form is the form of an entry that is published.
type form struct {
	version string
	once    string // the id of PublishOnce; "": none
	header  string // the text between the entry's id and the payload
}

// publish publishes a message or an amendment.
func (n *Node) publish(ctx context.Context, room cluster.RoomID, f form, payload []byte, keep cluster.Retention) error {
	p, key := n.at(room)
	item := &queuedMessage{message: message{room: key, keep: keep}, ctx: ctx, deadline: time.Now().Add(n.cfg.PublishTimeout), done: make(chan error, 1), once: f.once}
	l := &p.publisher
	if keep.Ephemeral {
		l = &p.ephemeral
	}
	if err := l.put(item, f, payload); err != nil {
		return err
	}
	select {
	case err := <-item.done:
		return err
	case <-ctx.Done():
	}
	if item.taken.CompareAndSwap(false, true) {
		return fmt.Errorf("publish: %w: %w", cluster.ErrUnavailable, ctx.Err())
	}
	return fmt.Errorf("publish: %w: %w", cluster.ErrUnknown, ctx.Err())
}

// put copies payload into the item and queues the item.
func (l *publisher) put(item *queuedMessage, f form, payload []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.number++
	item.number = l.number
	item.entry = l.entry(l.number, f, payload)
	if l.closed {
		return l.p.n.errStopped()
	}
	if !l.p.n.queued.add(len(item.entry)) {
		return fmt.Errorf("publish: too many messages wait on this node: %w", cluster.ErrUnavailable)
	}
	l.waiting = append(l.waiting, item)
	l.wakeUp()
	return nil
}

// entry returns the entry of a new message, with a copy of payload.
func (l *publisher) entry(number uint64, f form, payload []byte) string {
	var b strings.Builder
	b.Grow(len(f.version) + len(l.p.n.process) + len(f.once) + len(f.header) + len(payload) + len(" ~ .18446744073709551615"))
	b.WriteString(f.version)
	b.WriteByte(' ')
	b.WriteString(l.p.n.process)
	if f.once != "" {
		b.WriteByte('~')
		b.WriteString(f.once)
	}
	b.WriteByte('.')
	var digits [20]byte
	b.Write(strconv.AppendUint(digits[:0], number, 10))
	b.WriteByte(' ')
	b.WriteString(f.header)
	b.Write(payload)
	return b.String()
}

// id returns the id of the publisher's message with that number.
func (l *publisher) id(number uint64) string {
	return l.p.n.process + "." + strconv.FormatUint(number, 10)
}

func (l *publisher) wakeUp() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run sends batches until the node stops.
func (l *publisher) run() {
	ctx := l.p.n.life
	send := l.send
	if l.isEphemeral() {
		send = l.publishEphemeral
	}
	for {
		select {
		case <-l.wake:
		case <-ctx.Done():
			l.close()
			return
		}
		for ctx.Err() == nil {
			if l.unsettled.Swap(false) {
				l.settle(ctx)
			}
			batch := l.take() // send answers the batch, even if ctx has ended
			if len(batch) == 0 {
				break
			}
			send(l.p.n.cfg.traced(ctx, batch), batch)
		}
	}
}

// contextWithValues has the deadline of one context and the values of another.
type contextWithValues struct {
	context.Context
	values context.Context
}

func (v contextWithValues) Value(key any) any {
	if value := v.values.Value(key); value != nil {
		return value
	}
	return v.Context.Value(key)
}

// traced returns the ctx for sending a batch.
func (c *Config) traced(ctx context.Context, batch []*queuedMessage) context.Context {
	if c.Instrument == nil {
		return ctx
	}
	return contextWithValues{ctx, context.WithoutCancel(batch[0].ctx)}
}

// take takes the next batch, without messages whose callers have given up.
func (l *publisher) take() []*queuedMessage {
	l.mu.Lock()
	defer l.mu.Unlock()
	var batch []*queuedMessage
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

// close fails all waiting messages.
func (l *publisher) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, item := range l.waiting {
		l.p.n.queued.remove(len(item.entry))
		item.done <- l.p.n.errStopped()
	}
	l.waiting = nil
}

// send publishes a batch. It tries again, with the same number, until the deadline of the last of
// its messages; the script publishes the batch once. The first attempt after the publisher has
// settled with a generation follows at once. Other attempts follow after a pause, because two
// masters may answer alternately.
func (l *publisher) send(ctx context.Context, batch []*queuedMessage) {
	l.seq++
	deadline := slices.MaxFunc(batch, func(a, b *queuedMessage) int { return a.deadline.Compare(b.deadline) }).deadline
	outcome, again := cluster.ErrUnavailable, false
	for b := (backoff{10 * time.Millisecond, 200 * time.Millisecond}); ; {
		answer, err := l.ask(ctx, batch)
		if err == nil && (answer == "?" || strings.HasPrefix(answer, "!")) {
			err = l.restore(ctx, deadline)
			if err == nil && !again {
				again = true
				continue
			}
			if err == nil {
				err = errUnsettled
			}
		} else if err == nil {
			err = l.accepted(batch, answer)
		}
		if err == nil {
			return
		}
		if !isRefusal(err) && !errors.Is(err, errUnsettled) {
			outcome = cluster.ErrUnknown
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

func (l *publisher) ask(ctx context.Context, batch []*queuedMessage) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*readTimeout)
	defer cancel()
	args := items(append(l.p.saying(), l.seq, l.gen), batch)
	k := l.p.keys
	return publishScript.Run(ctx, l.p.n.client, append(k.generation(), k.of("pub", l.p.n.process)), args...).Text()
}

// saying returns the first arguments of the scripts that publish.
func (p *partition) saying() []any {
	h := p.n.cfg.Heal
	return []any{p.keys.base(), p.n.publishCommand(), token(), producerTTL.Milliseconds(), h.For.Milliseconds(),
		h.RoomBytes, h.TenantBytes, max(h.TotalBytes/int64(len(p.n.parts)), h.RoomBytes)}
}

// accepted records a batch as accepted and answers its callers.
func (l *publisher) accepted(batch []*queuedMessage, answer string) error {
	first, rest, _ := strings.Cut(answer, " ")
	at, _, _ := strings.Cut(rest, " ")
	order, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return errors.New("publish: unexpected answer of Redis")
	}
	s := sent{seq: l.seq, order: order, at: time.Now(), messages: make([]message, 0, len(batch))}
	refused := refused(first)
	for i, item := range batch {
		if !refused[i+1] {
			s.messages = append(s.messages, item.message)
		}
	}
	l.remember(s)
	for i, item := range batch {
		var err error
		if refused[i+1] {
			err = cluster.ErrNoMessage
		}
		item.done <- err
	}
	return nil
}
