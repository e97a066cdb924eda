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

// spares is how many file descriptors are kept back.
const spares = 8

// Descriptors is what the listeners of a process have in common for the time in which
// it has no file descriptors left. Then they wait, clients wait to be accepted, those
// who are connected go on, and one log line says so. Some descriptors are kept back for
// listeners with Config.Reserved, so that operators can ask what is wrong.
//
// Its methods may be called concurrently.
type Descriptors struct {
	log    *slog.Logger
	failed atomic.Uint64

	mu     sync.Mutex
	spare  []*os.File
	began  time.Time // of the episode; zero: there is none
	logged time.Time // an episode was
}

// NewDescriptors keeps some descriptors back, until Close.
func NewDescriptors(log *slog.Logger) *Descriptors {
	if log == nil {
		log = slog.Default()
	}
	d := &Descriptors{log: log}
	d.refill()
	return d
}

// Close gives the descriptors back. It is called after the listeners have been closed.
func (d *Descriptors) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.spare {
		_ = f.Close()
	}
	d.spare = nil
}

// Failed is how often a listener found no descriptor for a client.
func (d *Descriptors) Failed() uint64 { return d.failed.Load() }

// Limit is how many files the process may have open, sockets among them; 0: not known.
// Go raises the soft limit to the hard one at start.
func Limit() uint64 { return limit() }

// refill makes the reserve whole again, and says whether it is.
func (d *Descriptors) refill() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.spare) < spares {
		f, err := os.Open(os.DevNull)
		if err != nil {
			return false
		}
		d.spare = append(d.spare, f)
	}
	return true
}

// lend runs f with one descriptor of the reserve free; false: there is none.
func (d *Descriptors) lend(f func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.spare)
	if n == 0 {
		return false
	}
	_ = d.spare[n-1].Close()
	d.spare = d.spare[:n-1]
	f()
	return true
}

// logEvery is how often an episode is logged, at most: near the limit they come and go
// with every client.
const logEvery = time.Minute

// begin counts a failure, and logs the first of an episode.
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

// end ends the episode, if there is one.
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

// patient is a listener that waits while there are no descriptors. One goroutine calls
// Accept.
type patient struct {
	*net.TCPListener
	descriptors *Descriptors
	reserved    bool
	starved     bool
	once        sync.Once
	closed      chan struct{}
}

func newPatient(l *net.TCPListener, c *Config) *patient {
	return &patient{TCPListener: l, descriptors: c.Descriptors, reserved: c.Reserved, closed: make(chan struct{})}
}

// Close is net.Listener's.
func (l *patient) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.TCPListener.Close()
}

// Bounds of the time between two tries.
const (
	shortestWait = 5 * time.Millisecond
	longestWait  = time.Second
	borrowWait   = 50 * time.Millisecond // the longest, where there is a reserve: somebody may come
)

// Accept is net.Listener's.
func (l *patient) Accept() (net.Conn, error) {
	longest := longestWait
	if l.reserved {
		longest = borrowWait
	}
	for wait := shortestWait; ; wait = min(2*wait, longest) {
		c, err := l.try()
		switch {
		case err == nil:
			return c, nil
		case !isExhausted(err):
			return nil, err
		}
		l.starved = true
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

// try accepts. While the listener is starved, what becomes free goes to the reserve
// first.
func (l *patient) try() (net.Conn, error) {
	if l.starved && !l.descriptors.refill() {
		return nil, errNoSpare
	}
	c, err := l.TCPListener.Accept()
	if err == nil && l.starved {
		l.starved = false
		l.descriptors.end()
	}
	return c, err
}

// borrowTime bounds how long a client that is there is waited for.
const borrowTime = 20 * time.Millisecond

// borrow accepts a client that waits with a descriptor of the reserve; nil: none waits,
// or there is no such descriptor for this listener.
func (l *patient) borrow() (c net.Conn) {
	if !l.reserved || !readable(l.TCPListener) {
		return nil
	}
	l.descriptors.lend(func() {
		_ = l.SetDeadline(time.Now().Add(borrowTime)) // the client may have gone
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
