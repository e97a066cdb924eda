package web

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine/ask"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a service with TLS on this machine.
func serve(t *testing.T, h http.HandlerFunc) (address string, roots *x509.CertPool, connections *atomic.Int32) {
	t.Helper()
	connections = new(atomic.Int32)
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	roots = x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s.URL, roots, connections
}

func client(t *testing.T, l Limits) *Client {
	t.Helper()
	c := New(l)
	t.Cleanup(c.Close)
	return c
}

func (c *Client) must(t *testing.T, tenant, name string, spec Spec) *service {
	t.Helper()
	s, err := c.Service(tenant, "module", name, spec)
	if err != nil {
		t.Fatal(err)
	}
	return s.(*service)
}

// pipes is a network of services without sockets, for virtual time.
type pipes struct {
	handle  func(net.Conn) // of a connection; it need not close it
	refuse  atomic.Bool    // connections are refused
	dialed  atomic.Int32
	asked   atomic.Int32 // requests that answered has read
	ctx     context.Context
	cancel  context.CancelFunc
	current atomic.Int32 // open connections
}

// connected makes a client whose services are handle.
func connected(t *testing.T, l Limits, handle func(net.Conn)) (*Client, *pipes) {
	t.Helper()
	p := &pipes{handle: handle}
	p.ctx, p.cancel = context.WithCancel(t.Context())
	c := New(l)
	c.connect = p.dial
	return c, p
}

var errRefused = &net.OpError{Op: "dial", Err: errors.New("refused")}

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	p.dialed.Add(1)
	if p.refuse.Load() {
		return nil, errRefused
	}
	near, far := net.Pipe()
	p.current.Add(1)
	go func() {
		defer p.current.Add(-1)
		defer far.Close()
		stop := context.AfterFunc(p.ctx, func() { _ = far.Close() })
		defer stop()
		p.handle(far)
	}()
	return near, nil
}

// answering returns a handler that answers each request of a connection after a time.
func (p *pipes) answering(after time.Duration, text func(*http.Request, []byte) string) func(net.Conn) {
	return func(c net.Conn) {
		for in := bufio.NewReader(c); ; {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			p.asked.Add(1)
			select {
			case <-time.After(after):
			case <-p.ctx.Done():
				return
			}
			if _, err := io.WriteString(c, text(r, body)); err != nil {
				return
			}
		}
	}
}

// end ends all connections of a client.
func (p *pipes) end(c *Client) {
	c.Close()
	p.cancel()
	time.Sleep(time.Minute) // until services that sleep notice it
}

func ok(*http.Request, []byte) string {
	return "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"score\":0.5}"
}

func kindOf(err error) ask.Kind {
	if f, ok := errors.AsType[*ask.Failure](err); ok {
		return f.Kind
	}
	return ""
}

func busy(err error) time.Duration {
	if b, ok := errors.AsType[*ask.BusyError](err); ok {
		return b.Wait
	}
	return 0
}
