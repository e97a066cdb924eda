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

const (
	checkInterval = 5 * time.Second // the shortest time between two checks of the files
	checkTimeout  = time.Second     // of one check, with the reading of the files
	maxFile       = 1 << 20         // bytes of each file
)

// certificate is the last valid certificate of two files. Handshakes check whether the
// files have changed, so that an idle listener does no work.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	current           atomic.Pointer[tls.Certificate]

	mu      sync.Mutex
	checked time.Time
	hangs   bool // the last check timed out
	disk    files.Waiter
	state   [2]os.FileInfo // of the files, valid or not, at the last check; nil: the file did not exist
}

func newCertificate(ctx context.Context, certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log, checked: time.Now()}
	var err error
	if c.state, err = c.stat(ctx); err != nil {
		return nil, err
	}
	if err := c.read(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// get implements GetCertificate of tls.Config.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.mu.TryLock() { // otherwise another handshake checks the files
		c.refresh(time.Now())
		c.mu.Unlock()
	}
	return c.current.Load(), nil
}

// refresh reads the files if they have changed. If they are not valid, it keeps the old
// certificate. The caller holds mu; its handshake waits at most checkTimeout.
func (c *certificate) refresh(now time.Time) {
	if now.Sub(c.checked) < checkInterval {
		return
	}
	c.checked = now
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	state, err := c.stat(ctx)
	if err == nil && sameFile(state[0], c.state[0]) && sameFile(state[1], c.state[1]) {
		c.hangs = false
		return
	}
	if err == nil {
		err = c.read(ctx)
	}
	switch hangs := errors.Is(err, files.ErrHangs); {
	case hangs && c.hangs: // logged before
		return
	case hangs:
		c.hangs = true
	default:
		c.state, c.hangs = state, false
	}
	if err != nil {
		c.log.Error("new certificate is not valid, keeping the old one", "cert", c.certFile, "key", c.keyFile, "error", err)
		return
	}
	c.log.Info("certificate replaced", "cert", c.certFile, "until", c.current.Load().Leaf.NotAfter)
}

// stat returns the state of the files. The error wraps files.ErrHangs.
func (c *certificate) stat(ctx context.Context) ([2]os.FileInfo, error) {
	return files.Wait(ctx, &c.disk, "stat", func() (state [2]os.FileInfo, _ error) {
		for i, name := range []string{c.certFile, c.keyFile} {
			if info, err := os.Stat(name); err == nil {
				state[i] = info
			}
		}
		return state, nil
	}, nil)
}

func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// read reads the files and makes their certificate the current one.
func (c *certificate) read(ctx context.Context) error {
	pem, err := c.disk.Read(ctx, c.certFile, maxFile)
	if err != nil {
		return err
	}
	key, err := c.disk.Read(ctx, c.keyFile, maxFile)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(pem, key)
	if err != nil {
		return err
	}
	if time.Now().After(pair.Leaf.NotAfter) { // serve it nevertheless: there may be no other
		c.log.Warn("certificate has expired", "cert", c.certFile, "until", pair.Leaf.NotAfter)
	}
	c.current.Store(&pair)
	return nil
}
