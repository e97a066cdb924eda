package listen

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"
)

// Certificate is the certificate that handshakes use.
type Certificate struct{ c *certificate }

// NewCertificate loads the certificate of two files.
func NewCertificate(cert, key string, log *slog.Logger) (Certificate, error) {
	c, err := newCertificate(context.Background(), cert, key, log)
	return Certificate{c}, err
}

func (c Certificate) Get(h *tls.ClientHelloInfo) (*tls.Certificate, error) { return c.c.get(h) }

// Check checks the files now.
func (c Certificate) Check() {
	c.c.mu.Lock()
	defer c.c.mu.Unlock()
	c.c.checked = time.Time{}
	c.c.refresh(time.Now())
}
