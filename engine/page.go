package engine

import (
	"context"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/wire"
)

// A page is an answer with many parts: members of a room, or messages of its history. A
// client gets hundreds of kilobytes for a request of some bytes. Therefore a page has a
// price in proportion to its bytes, it is encoded without reflection, and the pages of a
// tenant take turns. A client that does not read receives no further page.

// bytesPerVerb is the number of bytes of a page that cost as much as a verb, after the
// first ones, which are included in the price of the verb itself.
const bytesPerVerb = 16 << 10

// chargePage charges the connection for the bytes of a page, in addition to the price of
// the verb. The bucket may have too few tokens: then the next verbs wait.
func (c *Connection) chargePage(bytes int) {
	if bytes < bytesPerVerb {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bucket.owe(c.tenant.cfg().Limits.VerbsPerSecond, float64(bytes/bytesPerVerb))
}

// maxUnread is the number of bytes that may wait for a client when a page is made for it.
const maxUnread = 64 << 10

// awaitReader waits until the client has read most of the earlier answers, so that many
// clients that read nothing do not fill their outboxes with pages. It also waits while the slow
// readers of the tenant use too much of the node's memory. The error is that of ctx.
func (c *Connection) awaitReader(ctx context.Context) error {
	const shortest, longest = 5 * time.Millisecond, 500 * time.Millisecond
	for wait := shortest; c.out.Bytes() > maxUnread || c.out.Crowded(); wait = min(2*wait, longest) {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
	return nil
}

// pageTurns limits how many pages of a tenant are read from the backend or encoded at once,
// so that many clients of one tenant do not keep the clients of others from the backend and
// the processors.
type pageTurns chan struct{}

// maxReads is the number of reads of pages of a tenant that may run at once on this node.
const maxReads = 4

func newEncodeTurns() pageTurns { return make(pageTurns, max(1, runtime.GOMAXPROCS(0)/2)) }

func newReadTurns() pageTurns { return make(pageTurns, maxReads) }

// take calls f when it is its turn. The error is that of ctx. f must not call rules, which
// may take long.
func (t pageTurns) take(ctx context.Context, f func()) error {
	select {
	case t <- struct{}{}:
	default:
		select {
		case t <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	defer func() { <-t }()
	f()
	return nil
}

// historyInTurns is a history that is read in turns.
type historyInTurns struct {
	cluster.History
	turns pageTurns
}

// Read implements cluster.History.
func (h historyInTurns) Read(ctx context.Context, room cluster.RoomID, after cluster.Position, limit int, keep cluster.Retention) (page cluster.Page, err error) {
	if late := h.turns.take(ctx, func() { page, err = h.History.Read(ctx, room, after, limit, keep) }); late != nil {
		return cluster.Page{}, late
	}
	return page, err
}

// historyFor returns the history for reads of the tenant's clients.
func (e *Engine) historyFor(t *tenant) cluster.History {
	return historyInTurns{e.cluster.History, t.reads}
}

// appendMembersPage appends the data of the answer to roomView. plain leaves out the users, for clients
// of ActionHero.
func appendMembersPage(dst []byte, s RoomStatus, plain bool) []byte {
	dst = wire.AppendString(append(dst, `{"room":`...), s.Room)
	dst = append(dst, `,"members":{`...)
	for i, m := range s.Members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = wire.AppendString(dst, m.ID)
		dst = wire.AppendString(append(dst, `:{"id":`...), m.ID)
		dst = strconv.AppendInt(append(dst, `,"joinedAt":`...), m.JoinedAt, 10)
		if m.User != "" && !plain {
			dst = wire.AppendString(append(dst, `,"user":`...), m.User)
		}
		dst = append(dst, '}')
	}
	dst = strconv.AppendInt(append(dst, `},"membersCount":`...), int64(s.MembersCount), 10)
	if s.NamesUsers && !plain {
		dst = append(dst, `,"users":{`...)
		for i, user := range slices.Sorted(maps.Keys(s.Users)) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = strconv.AppendInt(append(wire.AppendString(dst, user), `:{"connections":`...), int64(s.Users[user]), 10)
			dst = append(dst, '}')
		}
		dst = strconv.AppendInt(append(dst, `},"usersCount":`...), int64(s.UsersCount), 10)
	}
	if s.Cursor != "" {
		dst = wire.AppendString(append(dst, `,"cursor":`...), s.Cursor)
	}
	return append(dst, '}')
}

// bytesPerMember is about the size of a member in the answer to roomView.
const bytesPerMember = 128

// historyPart is the data of an answer to roomHistory.
type historyPart struct {
	room, epoch string
	messages    [][]byte // in the form of chat messages, in reverse order
	before      uint64   // the offset for the request of the previous page; 0: there is none
}

// append appends the data of the answer.
func (v *historyPart) append(dst []byte) []byte {
	dst = wire.AppendString(append(dst, `{"room":`...), v.room)
	dst = wire.AppendString(append(dst, `,"epoch":`...), v.epoch)
	dst = append(dst, `,"messages":[`...)
	for i, m := range slices.Backward(v.messages) {
		dst = append(dst, m...)
		if i > 0 {
			dst = append(dst, ',')
		}
	}
	dst = append(dst, ']')
	if v.before > 0 {
		dst = strconv.AppendUint(append(dst, `,"before":`...), v.before, 10)
	}
	return append(dst, '}')
}

// sizeOf returns the number of bytes of the messages.
func (v *historyPart) size() (n int) {
	for _, m := range v.messages {
		n += len(m) + 1
	}
	return n
}

// firstRead is the number of messages that the first read of a backward reader returns, at
// most.
const firstRead = 16

// backward reads the messages of a room from the last one to older ones, in pieces that
// are about as large as the caller needs: 1,000 large messages are many megabytes, of
// which an answer takes a fraction.
type backward struct {
	h    cluster.History
	room cluster.RoomID
	keep cluster.Retention

	epoch      string
	after, end uint64 // the offsets of the messages that were not read are above after, and at most end
	read       int    // messages so far
	bytes      int    // of them
	missing    bool   // messages above after have left history
}

// next returns the next older messages, in the room's order; none if there is no further
// one. The messages that the caller still needs have the given bytes.
func (b *backward) next(ctx context.Context, bytes int) ([]cluster.StoredMessage, error) {
	for b.end > b.after && !b.missing {
		n := firstRead
		if b.read > 0 {
			n = max(1, min(historyPage, 1+bytes/max(1, b.bytes/b.read)))
		}
		from := b.end - min(b.end-b.after, uint64(n))
		page, err := b.h.Read(ctx, b.room, cluster.Position{Epoch: b.epoch, Offset: from}, int(b.end-from), b.keep)
		if err != nil {
			return nil, err
		}
		b.missing = page.Missing || page.Top.Epoch != b.epoch
		// If messages have left history in the meantime, the page has messages after the end.
		page.Messages = slices.DeleteFunc(page.Messages, func(k cluster.StoredMessage) bool { return k.Offset > b.end })
		b.end = from
		for _, m := range page.Messages {
			b.bytes += len(m.Payload) + perMessage
		}
		b.read += len(page.Messages)
		if len(page.Messages) > 0 {
			return page.Messages, nil
		}
	}
	return nil, nil
}
