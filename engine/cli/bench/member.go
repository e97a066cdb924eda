package bench

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"
)

// member is one connection in one room. The goroutine of listen owns it, except the writing side of conn.
type member struct {
	*conn
	run   *run
	room  *room
	shard *shard

	orders           []order // by the index of the sender
	late, duplicated int
	closed           string      // reason for the end of the connection; "": open, or closed by bench
	ended            atomic.Bool // the connection has ended
}

func closeReason(payload []byte) string {
	if len(payload) < 2 {
		return "without a reason"
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", binary.BigEndian.Uint16(payload), payload[2:]))
}

// listen reads until the connection ends.
func (m *member) listen() {
	err := error(nil)
	for err == nil {
		if err = m.takeAll(); err == nil {
			err = m.fill()
		}
	}
	m.Close()
	m.ended.Store(true)
	if m.run.over.Load() {
		return
	}
	if m.closed == "" {
		m.closed = breakReason(err)
	}
	for i, s := range m.room.senders { // their closed loops no longer wait for this member
		s.settled.Add(-int64(m.orders[i].next))
		s.listeners.Add(-1)
		s.wake()
	}
}

// breakReason returns the reason for the end of a connection without a close frame. Equal reasons have equal texts, so that
// connections can be counted by reason.
func breakReason(err error) string {
	var broken *net.OpError
	switch {
	case errors.Is(err, io.EOF):
		return "without a close frame"
	case errors.As(err, &broken):
		return broken.Op + ": " + broken.Err.Error()
	}
	return err.Error()
}

// errClosed ends listen after a close frame.
var errClosed = errors.New("the server closed")

// takeAll handles all frames in the buffer.
func (m *member) takeAll() error {
	ping, err := m.takeMessages()
	if ping != nil && m.writing.TryLock() { // a write in progress also shows the server that the client is alive
		defer m.writing.Unlock()
		return cmp.Or(m.writeLocked(opPong, ping), err)
	}
	return err
}

// takeMessages is takeAll without the answer to a ping. It holds the lock of the shard, and a write could block the other
// members of the shard.
func (m *member) takeMessages() (ping []byte, err error) {
	now := m.run.now()
	m.shard.mu.Lock()
	defer m.shard.mu.Unlock()
	for {
		op, payload, ok, err := m.next()
		switch {
		case err != nil || !ok:
			return ping, err
		case op == opText:
			m.take(payload, now)
		case op == opPing:
			ping = payload
		case op == opClose:
			m.closed = closeReason(payload)
			return nil, errClosed
		}
	}
}

var (
	sayOK    = []byte(`{"status":"OK"`)
	hasError = []byte(`"error":`)
)

// take handles one text frame: a message of this run, an answer to a sender, or another frame.
func (m *member) take(payload []byte, now time.Duration) {
	text, ours := bytes.CutPrefix(payload, m.run.beginning)
	if !ours {
		if !bytes.HasPrefix(payload, sayOK) && bytes.Contains(payload, hasError) {
			m.refused(payload)
		}
		return
	}
	h, ok := parseHeader(text)
	if !ok {
		return // a rule of the server has changed the message, which counts as lost
	}
	index := int(h.sender) - m.room.first
	if index < 0 || index >= len(m.orders) { // of another room
		m.duplicated++
		return
	}
	what, settled := m.orders[index].add(h.seq)
	switch what {
	case duplicate:
		m.duplicated++
		return
	case late:
		m.late++
	}
	m.shard.add(now-time.Duration(h.at), h.measured)
	if settled > 0 {
		m.room.senders[index].settle(settled)
	}
}

// refused ends the run with the error of a message that the server refused.
func (m *member) refused(payload []byte) {
	a, ok := answerOf(payload)
	switch {
	case !ok:
	case strings.Contains(a.Error, errLimited):
		m.run.fail(tooFast())
	default:
		m.run.fail(fmt.Errorf("room %s: the server refused a message: %s", m.room.name, strings.TrimPrefix(a.Error, "Error: ")))
	}
}
