// Package bench measures a server. It fills rooms with members and sends messages to them. Each message has
// its sender, a sequence number and the time of sending, so that each receiver detects messages that are late, lost,
// duplicated or out of order.
//
// A member is one WebSocket connection in one room. The first members of a room are its senders; all members
// receive, the senders as well. A delivery is the receipt of one message by one member. In a closed loop each sender has a
// window of messages in flight. In an open loop messages are sent at fixed times that do not depend on the server.
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

// Options of a measurement. URL, Rooms, Members, Senders, Size, Duration, MaxMessages and one of Rate and
// Window are required.
type Options struct {
	URL    string // ws:// or wss://; without a path, /ws
	Remote bool   // a server on another host is allowed

	Prefix  string // room i, from 0, has the name Prefix and i
	Rooms   int
	Members int // of each room
	Senders int // of each room, at most Members

	Rate   float64 // messages/s of all senders together; 0: a closed loop
	Window int     // messages in flight for each sender; 0: an open loop
	Size   int     // bytes of the text of a message, from MinSize to MaxSize

	Settle      time.Duration // idle time between the last connection and the first message, after which the server's memory is read
	Warmup      time.Duration // not measured
	Duration    time.Duration
	MaxMessages int // the measurement ends early after this number

	PID int // process of the server, whose resources are measured; 0: none

	// Watch is called with the progress at least once a second, by the goroutine of Run. It may be nil.
	Watch func(Progress)
}

// Limits of Options, so that a run with a typo in them does not run for ever.
const (
	MinSize        = headerSize
	MaxSize        = 1 << 20
	maxConnections = 200_000
	maxRate        = 1_000_000
	maxWindow      = 10_000
	maxMessages    = 1_000_000_000
	maxDuration    = time.Hour
)

// Check returns all problems of o, with the names of the command-line flags.
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

// address returns the URL of the WebSocket.
func (o *Options) address() (*url.URL, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, fmt.Errorf("--url: %w", err)
	}
	if u.Scheme != "ws" && u.Scheme != "wss" || u.Hostname() == "" {
		return nil, fmt.Errorf("--url: %q is not a URL such as ws://127.0.0.1:8080/ws", o.URL)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/ws"
	}
	if !strings.HasSuffix(u.Path, "/ws") {
		return nil, fmt.Errorf("--url: the path is %s; bench speaks the protocol of /ws", u.Path)
	}
	if !o.Remote && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("--url: %s is not this host. A load test can bring down a server and its network: "+
			"give --remote if the server is your own", u.Hostname())
	}
	return u, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}

// room returns the name of room i.
func (o *Options) room(i int) string { return fmt.Sprint(o.Prefix, i) }

// Run connects, warms up, measures, waits for messages in flight, and disconnects. If ctx ends during the measurement, the
// result covers the time until then; if ctx ends earlier, Run returns an error. A message that the server refuses is an
// error. Lost messages are not an error; see Result.Fault. Run returns both a result and an error if the process PID ends
// during the measurement.
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
