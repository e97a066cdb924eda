package listen

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"
)

// Certificate finds the certificate of handshakes.
type Certificate struct{ c *certificate }

// NewCertificate is that of two files.
func NewCertificate(cert, key string, log *slog.Logger) (Certificate, error) {
	c, err := newCertificate(context.Background(), cert, key, log)
	return Certificate{c}, err
}

func (c Certificate) Get(h *tls.ClientHelloInfo) (*tls.Certificate, error) { return c.c.get(h) }

// Look looks at the files at once.
func (c Certificate) Look() {
	c.c.mu.Lock()
	defer c.c.mu.Unlock()
	c.c.looked = time.Time{}
	c.c.refresh(time.Now())
}
