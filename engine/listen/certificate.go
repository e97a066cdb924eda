package listen

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// look is how often the files of a certificate are looked at, at most: a handshake
// does it, so that a listener to which nobody comes does nothing.
const look = 5 * time.Second

// certificate is what is in two files, now or when they were last good.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	now               atomic.Pointer[tls.Certificate]

	mu     sync.Mutex
	looked time.Time
	state  [2]os.FileInfo // of the files, good or bad, when they were read last; nil: there was none
}

func newCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log, looked: time.Now()}
	c.state = c.look()
	if err := c.read(); err != nil {
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
// called with mu held.
func (c *certificate) refresh(now time.Time) {
	if now.Sub(c.looked) < look {
		return
	}
	c.looked = now
	state := c.look()
	if same(state[0], c.state[0]) && same(state[1], c.state[1]) {
		return
	}
	c.state = state
	if err := c.read(); err != nil {
		c.log.Error("the new certificate is bad, the old one is served on", "cert", c.certFile, "key", c.keyFile, "error", err)
		return
	}
	c.log.Info("a new certificate is served", "cert", c.certFile, "until", c.now.Load().Leaf.NotAfter)
}

func (c *certificate) look() (state [2]os.FileInfo) {
	for i, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			state[i] = info
		}
	}
	return state
}

func same(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// read takes the files into use.
func (c *certificate) read() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	if time.Now().After(pair.Leaf.NotAfter) { // clients will not like it, and yet it may be all there is
		c.log.Warn("the certificate has expired", "cert", c.certFile, "until", pair.Leaf.NotAfter)
	}
	c.now.Store(&pair)
	return nil
}
