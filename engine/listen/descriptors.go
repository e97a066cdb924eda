package listen

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// reserveSize is the number of file descriptors in the reserve.
const reserveSize = 8

// Descriptors makes the listeners of a process wait instead of fail while the process
// has no free file descriptors. New clients then wait to be accepted, connected clients
// are not affected, and one log line reports it. Listeners with Config.Reserved use a
// reserve of descriptors, so that operators can still connect.
//
// Its methods may be called concurrently.
type Descriptors struct {
	log    *slog.Logger
	failed atomic.Uint64

	mu      sync.Mutex
	reserve []*os.File
	began   time.Time // of the current shortage; zero: there is none
	logged  time.Time // of the last shortage that was logged
}

// NewDescriptors opens the reserve. Call Close to close it. A nil log is
// slog.Default().
func NewDescriptors(log *slog.Logger) *Descriptors {
	if log == nil {
		log = slog.Default()
	}
	d := &Descriptors{log: log}
	d.refill()
	return d
}

// Close closes the reserve. Call it after the listeners are closed.
func (d *Descriptors) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.reserve {
		_ = f.Close()
	}
	d.reserve = nil
}

// Failed returns how often a listener had no descriptor for a client.
func (d *Descriptors) Failed() uint64 { return d.failed.Load() }

// Limit returns the number of files, sockets included, that the process can have open.
// It returns 0 if the number is unknown. Go raises the soft limit to the hard limit at
// start.
func Limit() uint64 { return limit() }

// refill fills the reserve and reports whether it is full.
func (d *Descriptors) refill() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.reserve) < reserveSize {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return false
		}
		d.reserve = append(d.reserve, f)
	}
	return true
}

// lend closes a descriptor of the reserve and runs f, which can use it. It returns false if
// the reserve is empty.
func (d *Descriptors) lend(f func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.reserve)
	if n == 0 {
		return false
	}
	_ = d.reserve[n-1].Close()
	d.reserve = d.reserve[:n-1]
	f()
	return true
}

// logEvery is the minimum time between two logged shortages: near the limit, each
// client that disconnects ends a shortage.
const logEvery = time.Minute

// begin counts a failure and logs the first one of a shortage.
func (d *Descriptors) begin(l net.Listener, err error) {
	d.failed.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if !d.began.IsZero() {
		return
	}
	d.began = now
	if !d.logged.IsZero() && now.Sub(d.logged) < logEvery {
		return
	}
	d.logged = now
	d.log.Error("out of file descriptors: clients wait to be accepted. Raise the limit of open files (LimitNOFILE= of systemd, ulimit -n), or lower limits.connections",
		"listener", l.Addr().String(), "error", err, "limit", Limit())
}

// end ends the shortage, if there is one.
func (d *Descriptors) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.began.IsZero() {
		return
	}
	if d.logged.Equal(d.began) {
		d.log.Info("clients are accepted again", "after", time.Since(d.began), "failures", d.failed.Load())
	}
	d.began = time.Time{}
}

// waitingListener waits while the process has no descriptors. One goroutine calls Accept.
type waitingListener struct {
	*net.TCPListener
	descriptors *Descriptors
	reserved    bool
	waiting     bool // the last Accept had no descriptor
	once        sync.Once
	closed      chan struct{}
}

func newWaitingListener(l *net.TCPListener, c *Config) *waitingListener {
	return &waitingListener{TCPListener: l, descriptors: c.Descriptors, reserved: c.Reserved, closed: make(chan struct{})}
}

// Close implements net.Listener.
func (l *waitingListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.TCPListener.Close()
}

// Bounds of the time between two attempts to accept.
const (
	minWait         = 5 * time.Millisecond
	maxWait         = time.Second
	maxWaitReserved = 50 * time.Millisecond // with the reserve, an attempt can succeed
)

// Accept implements net.Listener.
func (l *waitingListener) Accept() (net.Conn, error) {
	longest := maxWait
	if l.reserved {
		longest = maxWaitReserved
	}
	for wait := minWait; ; wait = min(2*wait, longest) {
		c, err := l.try()
		switch {
		case err == nil:
			return c, nil
		case !isExhausted(err):
			return nil, err
		}
		l.waiting = true
		l.descriptors.begin(l, err)
		if c := l.borrow(); c != nil {
			return c, nil
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-l.closed:
			pause.Stop()
			return nil, net.ErrClosed
		}
	}
}

var errNoSpare = &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}

// try accepts a client. After a failure it first fills the reserve.
func (l *waitingListener) try() (net.Conn, error) {
	if l.waiting && !l.descriptors.refill() {
		return nil, errNoSpare
	}
	c, err := l.TCPListener.Accept()
	if err == nil && l.waiting {
		l.waiting = false
		l.descriptors.end()
	}
	return c, err
}

// borrowTimeout bounds the Accept of a client that has just been seen.
const borrowTimeout = 20 * time.Millisecond

// borrow accepts a waiting client with a descriptor of the reserve. It returns nil if
// no client waits, or if this listener may not use the reserve.
func (l *waitingListener) borrow() (c net.Conn) {
	if !l.reserved || !readable(l.TCPListener) {
		return nil
	}
	l.descriptors.lend(func() {
		_ = l.SetDeadline(time.Now().Add(borrowTimeout)) // the client may be gone
		defer l.SetDeadline(time.Time{})
		if got, err := l.TCPListener.Accept(); err == nil {
			c = got
		}
	})
	return c
}

func isExhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
