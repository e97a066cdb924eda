package listen

import (
	"crypto/tls"
	"net"
	"time"
)

// tlsListener is a listener with TLS.
type tlsListener struct {
	net.Listener
	certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// Expiry returns the end of the validity of the certificate of a listener that Open has
// opened. It first checks whether the files have changed. ok is false if the listener
// has no TLS.
func Expiry(l net.Listener) (end time.Time, ok bool) {
	s, ok := l.(*tlsListener)
	if !ok {
		return time.Time{}, false
	}
	c, err := s.certificate(&tls.ClientHelloInfo{})
	if err != nil || c.Leaf == nil {
		return time.Time{}, false
	}
	return c.Leaf.NotAfter, true
}
