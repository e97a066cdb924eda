package listen

import (
	"crypto/tls"
	"net"
	"time"
)

// secured is a listener whose connections speak TLS.
type secured struct {
	net.Listener
	certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// Expiry is the end of the certificate that a listener of Open serves, after a look at its
// files; ok is false where the listener has no TLS.
func Expiry(l net.Listener) (end time.Time, ok bool) {
	s, ok := l.(*secured)
	if !ok {
		return time.Time{}, false
	}
	c, err := s.certificate(&tls.ClientHelloInfo{})
	if err != nil || c.Leaf == nil {
		return time.Time{}, false
	}
	return c.Leaf.NotAfter, true
}
