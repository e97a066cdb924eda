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

	"github.com/mootchat/moot/engine/cluster"
)

// Bounds of calls between nodes.
const (
	inboxLength  = 10_000 // approximate number of calls and answers that wait in Redis for one node
	inboxPage    = 64     // messages in one read
	inboxBlock   = 500 * time.Millisecond
	callsAtOnce  = 1024             // running calls of a node; further calls are refused
	callTimeout  = 30 * time.Second // timeout of calls without a deadline
	executed     = 10_000           // ids of answered calls that a node remembers, in case a call arrives twice
	lookAtCallee = time.Second      // interval of checks that the called node is alive
)

// calls has the calls of this node that wait for an answer.
type calls struct {
	mu     sync.Mutex
	number uint64
	open   map[string]chan reply // by id; one slot
}

type reply struct {
	answer []byte
	err    error
}

// sendScript adds a message to a node's inbox, and answers with the process that reads the inbox, or "" if there is no
// such node. The inbox of a dead node expires.
//
//	KEYS lease inbox
//	ARGV length ttl (field value)*
var sendScript = redis.NewScript(`
local process = redis.call('GET', KEYS[1])
if not process then return '' end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[1], '*', unpack(ARGV, 3))
if redis.call('PTTL', KEYS[2]) < 0 then redis.call('PEXPIRE', KEYS[2], ARGV[2]) end
return process`)

// The fields of a message in an inbox. Nodes skip messages of other versions.
const (
	fieldVersion = "v"
	fieldKind    = "k" // kindCall, kindAnswer or kindError
	fieldID      = "i" // of the call
	fieldFrom    = "f" // the calling node
	fieldTTL     = "t" // time in ms that the call may take, from when it was added
	fieldBody    = "b"

	callVersion = "1"
	kindCall    = "call"
	kindAnswer  = "answer"
	kindError   = "error"
)

func (n *Node) send(ctx context.Context, node string, fields ...any) (process string, err error) {
	k := nodeKeys(n.cfg.Prefix, node)
	args := append([]any{inboxLength, 3 * n.cfg.Lease.Milliseconds(), fieldVersion, callVersion}, fields...)
	err = n.ask(ctx, "send", func(ctx context.Context) (err error) {
		process, err = sendScript.Run(ctx, n.via(ctx), []string{k.of("lease"), k.of("in")}, args...).Text()
		return err
	})
	return process, err
}

// Call implements cluster.Nodes. A call without a deadline has 30 s. It is carried out at most
// once, even if it reaches the node twice.
func (ns *nodes) Call(ctx context.Context, node string, call []byte) ([]byte, error) {
	n := (*Node)(ns)
	if err := n.up(ctx); err != nil {
		return nil, err
	}
	if !name.MatchString(node) {
		return nil, fmt.Errorf("call node %q: %w", node, cluster.ErrNoNode)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := n.call(ctx, node, call)
	if err != nil {
		return nil, fmt.Errorf("call node %q: %w", node, err)
	}
	return answer, nil
}

func (n *Node) call(ctx context.Context, node string, call []byte) ([]byte, error) {
	id, answered := n.calls.begin(n.process)
	defer n.calls.end(id)
	deadline, _ := ctx.Deadline()
	process, err := n.send(ctx, node, fieldKind, kindCall, fieldID, id, fieldFrom, n.cfg.Node,
		fieldTTL, max(time.Until(deadline).Milliseconds(), 1), fieldBody, call)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	case process == "":
		return nil, cluster.ErrNoNode
	}
	look := time.NewTicker(lookAtCallee)
	defer look.Stop()
	for {
		select {
		case r := <-answered:
			return r.answer, r.err
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-n.life.Done():
			return nil, n.errStopped()
		case <-look.C:
			if n.isOver(ctx, node, process) {
				return nil, fmt.Errorf("its lease ended before it answered: %w", cluster.ErrNoNode)
			}
		}
	}
}

// isOver reports whether the node's name now belongs to another process, or to none.
func (n *Node) isOver(ctx context.Context, node, process string) bool {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	now, err := n.via(ctx).Get(ctx, nodeKeys(n.cfg.Prefix, node).of("lease")).Result()
	return errors.Is(err, redis.Nil) || err == nil && now != process
}

func (c *calls) begin(process string) (id string, answered <-chan reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number++
	id = process + "." + strconv.FormatUint(c.number, 10)
	ch := make(chan reply, 1)
	c.open[id] = ch
	return id, ch
}

func (c *calls) end(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, id)
}

// answer passes an answer to the call that waits for it, if there is one.
func (c *calls) answer(id string, r reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch := c.open[id]; ch != nil {
		ch <- r
		delete(c.open, id)
	}
}

// readInbox reads this node's inbox until the node stops. After an interruption it continues at
// the same place.
func (n *Node) readInbox() {
	ctx := n.life
	stop := context.AfterFunc(ctx, func() { _ = n.reader.Close() }) // the reader may be waiting in Redis
	defer stop()
	k := nodeKeys(n.cfg.Prefix, n.cfg.Node)
	last := "0"
	done := newDone()
	for b := (backoff{50 * time.Millisecond, time.Second}); ctx.Err() == nil; {
		page, err := n.readSome(ctx, k.of("in"), last)
		if err != nil {
			reload(ctx, n.reader)
			b.pause(ctx)
			continue
		}
		b.wait = 50 * time.Millisecond
		for _, m := range page {
			last = m.ID
			n.received(m, done)
		}
		if len(page) > 0 {
			// Remove the messages of this page. After an error the next page removes them.
			_ = n.client.XTrimMinID(ctx, k.of("in"), last).Err()
		}
	}
}

func (n *Node) readSome(ctx context.Context, stream, last string) ([]redis.XMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, inboxBlock+readTimeout)
	defer cancel()
	streams, err := n.reader.XRead(ctx, &redis.XReadArgs{Streams: []string{stream, last}, Count: inboxPage, Block: inboxBlock}).Result()
	if errors.Is(err, redis.Nil) || err == nil && len(streams) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return streams[0].Messages, nil
}

// received handles a message of the inbox.
func (n *Node) received(m redis.XMessage, done *completedCalls) {
	text := func(field string) string { s, _ := m.Values[field].(string); return s }
	if text(fieldVersion) != callVersion {
		n.malformed("inbox", fmt.Errorf("version %.20q", text(fieldVersion)))
		return
	}
	id, body := text(fieldID), text(fieldBody)
	switch text(fieldKind) {
	case kindAnswer:
		n.calls.answer(id, reply{answer: []byte(body)})
	case kindError:
		n.calls.answer(id, reply{err: errors.New(body)})
	case kindCall:
		left, err := n.remaining(m.ID, text(fieldTTL))
		if from := text(fieldFrom); err != nil || id == "" || len(id) > maxID || !name.MatchString(from) {
			n.malformed("inbox", fmt.Errorf("call %.40q from %.40q: %v", id, from, err))
		} else if left > 0 && done.add(id) {
			n.answer(from, id, []byte(body), left)
		}
	default:
		n.malformed("inbox", fmt.Errorf("kind %.20q", text(fieldKind)))
	}
}

// remaining returns the remaining time of a call, from the time at which it was added.
func (n *Node) remaining(streamID, ttl string) (time.Duration, error) {
	ms, _, _ := strings.Cut(streamID, "-")
	at, err := strconv.ParseInt(ms, 10, 64)
	t, err2 := strconv.ParseInt(ttl, 10, 32)
	if err := errors.Join(err, err2); err != nil {
		return 0, err
	}
	age := max(n.now().UnixMilli()+n.skew.Load()-at, 0)
	return time.Duration(t-age) * time.Millisecond, nil
}

// answer calls the handler, in a goroutine of its own, and sends the answer.
func (n *Node) answer(to, id string, call []byte, left time.Duration) {
	if !n.begin() {
		return
	}
	ctx, cancel := context.WithTimeout(n.life, left)
	finish := func(kind string, body []byte) {
		defer n.tasks.Done()
		defer cancel()
		if _, err := n.send(ctx, to, fieldKind, kind, fieldID, id, fieldBody, body); err != nil && ctx.Err() == nil {
			n.cfg.Log.Warn("cannot send the answer to a call of another node", "to", to, "error", err)
		}
	}
	select {
	case n.answering <- struct{}{}:
	default:
		go finish(kindError, fmt.Appendf(nil, "node %s is busy: it answers %d calls", n.cfg.Node, callsAtOnce))
		return
	}
	go func() {
		b, err := n.handler.Answer(ctx, call)
		<-n.answering
		if err != nil {
			finish(kindError, []byte(err.Error()))
		} else {
			finish(kindAnswer, b)
		}
	}()
}

// completedCalls remembers the latest calls that were carried out.
type completedCalls struct {
	ids  map[string]struct{}
	ring []string
	next int
}

func newDone() *completedCalls {
	return &completedCalls{ids: map[string]struct{}{}, ring: make([]string, executed)}
}

// add adds an id. It reports false if the id was added before.
func (d *completedCalls) add(id string) bool {
	if _, ok := d.ids[id]; ok {
		return false
	}
	delete(d.ids, d.ring[d.next])
	d.ring[d.next] = id
	d.next = (d.next + 1) % len(d.ring)
	d.ids[id] = struct{}{}
	return true
}
