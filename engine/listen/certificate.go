package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mootchat/moot/engine/files"
)

// look is how often the files of a certificate are looked at, at most: a handshake
// does it, so that a listener to which nobody comes does nothing.
const look = 5 * time.Second

const (
	lookTime  = time.Second // that the files of a certificate may take to be looked at and read
	mostBytes = 1 << 20     // of each of them
)

// certificate is what is in two files, now or when they were last good.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	now               atomic.Pointer[tls.Certificate]

	mu     sync.Mutex
	looked time.Time
	hung   bool // the last look was given up
	disk   files.Waiter
	state  [2]os.FileInfo // of the files, good or bad, when they were read last; nil: there was none
}

func newCertificate(ctx context.Context, certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log, looked: time.Now()}
	var err error
	if c.state, err = c.look(ctx); err != nil {
		return nil, err
	}
	if err := c.read(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// get is tls.Config's GetCertificate.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.mu.TryLock() { // else somebody is looking already
		c.refresh(time.Now())
		c.mu.Unlock()
	}
	return c.now.Load(), nil
}

// refresh reads the files if they have changed; what is bad changes nothing. It is
// called with mu held. The handshake that it holds up waits a second at most.
func (c *certificate) refresh(now time.Time) {
	if now.Sub(c.looked) < look {
		return
	}
	c.looked = now
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	state, err := c.look(ctx)
	if err == nil && same(state[0], c.state[0]) && same(state[1], c.state[1]) {
		c.hung = false
		return
	}
	if err == nil {
		err = c.read(ctx)
	}
	switch hangs := errors.Is(err, files.ErrHangs); {
	case hangs && c.hung: // said already; it is tried again
		return
	case hangs:
		c.hung = true
	default:
		c.state, c.hung = state, false
	}
	if err != nil {
		c.log.Error("the new certificate is bad, the old one is served on", "cert", c.certFile, "key", c.keyFile, "error", err)
		return
	}
	c.log.Info("a new certificate is served", "cert", c.certFile, "until", c.now.Load().Leaf.NotAfter)
}

// look is the state of the files. The error wraps files.ErrHangs.
func (c *certificate) look(ctx context.Context) ([2]os.FileInfo, error) {
	return files.Wait(ctx, &c.disk, "stat", func() (state [2]os.FileInfo, _ error) {
		for i, name := range []string{c.certFile, c.keyFile} {
			if info, err := os.Stat(name); err == nil {
				state[i] = info
			}
		}
		return state, nil
	}, nil)
}

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// read takes the files into use.
func (c *certificate) read(ctx context.Context) error {
	pem, err := c.disk.Read(ctx, c.certFile, mostBytes)
	if err != nil {
		return err
	}
	key, err := c.disk.Read(ctx, c.keyFile, mostBytes)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(pem, key)
	if err != nil {
		return err
	}
	if time.Now().After(pair.Leaf.NotAfter) { // clients will not like it, and yet it may be all there is
		c.log.Warn("the certificate has expired", "cert", c.certFile, "until", pair.Leaf.NotAfter)
	}
	c.now.Store(&pair)
	return nil
}
