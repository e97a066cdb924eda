// Package bench measures a server by filling rooms with members and talking in
// them. Every message says who sent it, the how-manieth of its sender it is and
// when it was sent, so that every receiver can tell what was late, lost, doubled
// or out of order.
//
// Vocabulary: a member is one WebSocket connection in one room. The first
// members of a room are its senders; all members receive, the senders
// themselves too. A delivery is one message at one member. In a closed loop each
// sender has a window of messages outstanding; in an open loop messages are sent
// when they are due, however the server fares.
package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Options say what to measure. URL, Rooms, Members, Senders, Size, Duration,
// MaxMessages and one of Rate and Window are needed.
type Options struct {
	URL    string // ws:// or wss://; without a path, /ws
	Remote bool   // the host may be another than this one

	Prefix  string // room i, from 0, is Prefix and i
	Rooms   int
	Members int // of each room
	Senders int // of each room, at most Members

	Rate   float64 // messages/s of all senders together; 0: a closed loop
	Window int     // messages that each sender has outstanding; 0: an open loop
	Size   int     // bytes of the text of a message, from MinSize to MaxSize

	Settle      time.Duration // between the last connection and the first message; what memory they take is read at its end
	Warmup      time.Duration // not measured
	Duration    time.Duration
	MaxMessages int // when so many are sent, the measurement ends early

	PID int // the server's process, to be measured too; 0: none

	// Watch hears how far it has come, from the goroutine of Run, at least once a
	// second. nil: nobody.
	Watch func(Progress)
}

// Bounds of Options: a bench that was mistyped ends.
const (
	MinSize        = headerSize
	MaxSize        = 1 << 20
	maxConnections = 200_000
	maxRate        = 1_000_000
	maxWindow      = 10_000
	maxMessages    = 1_000_000_000
	maxDuration    = time.Hour
)

// Check gives all that is wrong with o, in the words of the command line; nil if
// nothing is.
func (o *Options) Check() error {
	_, err := o.address()
	errs := []error{err}
	within := func(name string, n, least, most int) {
		if n < least || n > most {
			errs = append(errs, fmt.Errorf("--%s: %d is out of range, want %d to %d", name, n, least, most))
		}
	}
	within("rooms", o.Rooms, 1, maxConnections)
	within("members", o.Members, 1, maxConnections)
	within("senders", o.Senders, 1, max(1, o.Members))
	within("size", o.Size, MinSize, MaxSize)
	within("max-messages", o.MaxMessages, 1, maxMessages)
	if o.Rooms > 0 && o.Members > maxConnections/o.Rooms {
		errs = append(errs, fmt.Errorf("--rooms x --members: more than %d connections", maxConnections))
	}
	switch {
	case (o.Rate == 0) == (o.Window == 0):
		errs = append(errs, errors.New("--rate, --window: want one of them"))
	case o.Window != 0:
		within("window", o.Window, 1, maxWindow)
	case !(o.Rate > 0 && o.Rate <= maxRate):
		errs = append(errs, fmt.Errorf("--rate: %v is out of range, want more than 0 and at most %d", o.Rate, maxRate))
	}
	if o.Duration <= 0 || o.Duration > maxDuration {
		errs = append(errs, fmt.Errorf("--duration: %v is out of range, want more than 0s and at most %v", o.Duration, maxDuration))
	}
	for name, d := range map[string]time.Duration{"settle": o.Settle, "warmup": o.Warmup} {
		if d < 0 || d > maxDuration {
			errs = append(errs, fmt.Errorf("--%s: %v is out of range, want 0s to %v", name, d, maxDuration))
		}
	}
	return errors.Join(errs...)
}

// address is where to dial.
func (o *Options) address() (*url.URL, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	if u.Scheme != "ws" && u.Scheme != "wss" || u.Hostname() == "" {
		return nil, fmt.Errorf("--url: %q is no URL such as ws://127.0.0.1:8080/ws", o.URL)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/ws"
	}
	if !strings.HasSuffix(u.Path, "/ws") {
		return nil, fmt.Errorf("--url: the path is %s; bench speaks the protocol of /ws", u.Path)
	}
	if !o.Remote && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("--url: %s is not this host. A load test can bring down a server and the network before it: "+
			"if it is yours to load, say so with --remote", u.Hostname())
	}
	return u, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

// room is the name of room i.
func (o *Options) room(i int) string { return fmt.Sprint(o.Prefix, i) }

// Run connects, warms up, measures, waits for what is still on its way, and
// disconnects. When ctx ends while it measures, it ends early with what it has;
// when ctx ends before, there is nothing, and that is an error. A message that
// the server refuses ends it with an error. What was lost is no error here: see
// Result.Fault. There are both a result and an error when the process PID has
// ended while it was measured.
func Run(ctx context.Context, o Options) (*Result, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	r, err := newRun(o)
	if err != nil {
		return nil, err
	}
	defer r.close()
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	return r.measure(ctx)
}
