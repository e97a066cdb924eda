package listen_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/mootchat/moot/engine/listen"
)

// fakeConn is a connection from an address. Only Close and RemoteAddr work.
type fakeConn struct {
	net.Conn
	from   net.TCPAddr
	closed bool
}

func (c *fakeConn) RemoteAddr() net.Addr { return &c.from }

func (c *fakeConn) Close() error {
	c.closed = true
	return nil
}

func (c *fakeConn) Read([]byte) (int, error) {
	if c.closed {
		return 0, net.ErrClosed
	}
	return 0, errors.New("pending: a connection was read")
}

func from(address string) *fakeConn {
	return &fakeConn{from: net.TCPAddr{IP: net.ParseIP(address), Port: 1}}
}

func TestANewConnectionClosesAnOldOne(t *testing.T) {
	p := &listen.Pending{Most: func() int { return 8 }, Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	first, proxy := from("192.0.2.1"), from("10.0.0.1")
	p.Add(first)
	p.Add(proxy)
	var flood []*fakeConn
	for range 100 { // of one /64 network
		c := from("2001:db8::" + string("123456789"[len(flood)%9]))
		flood = append(flood, c)
		p.Add(c)
	}
	if first.closed || proxy.closed {
		t.Error("a flood of one address closed the connections of others")
	}
	open := 0
	for i, c := range flood {
		if !c.closed {
			open++
		}
		if c.closed != (i < 94) {
			t.Errorf("connection %d of the flood: closed is %v, want the oldest closed", i, c.closed)
		}
	}
	if open != 6 || p.Closed() != 94 {
		t.Errorf("%d connections of the flood are open and %d were closed, want 6 and 94", open, p.Closed())
	}
	p.Add(from("192.0.2.2")) // at the limit, without a place of its own
	if !first.closed {
		t.Error("at the limit the oldest connection was not closed")
	}
}

func TestPendingForgetsConnections(t *testing.T) {
	most := 2
	p := &listen.Pending{Most: func() int { return most }}
	a, b := from("192.0.2.1"), from("192.0.2.1")
	p.Add(a)
	p.Remove(a)
	p.Remove(a)
	p.Add(b)
	p.Add(from("192.0.2.1"))
	if a.closed || b.closed {
		t.Error("a connection was closed below the limit")
	}
	most = 0 // all places have become those of clients
	p.Add(from("192.0.2.3"))
	if !b.closed {
		t.Error("the limit of now does not apply")
	}
	var none *listen.Pending
	none.Add(a)
	none.Remove(a)
	new(listen.Pending).Add(a)
}

// TestAPendingConnectionUnderTLSIsClosed checks that Pending does not read the PROXY header of a
// connection, and that it waits for no client when it closes one.
func TestAPendingConnectionUnderTLSIsClosed(t *testing.T) {
	f := newFiles(t)
	f.put("one", 0)
	l, err := listen.Open(t.Context(), listen.Config{Address: "127.0.0.1:0", Cert: f.cert, Key: f.key, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := &listen.Pending{Most: func() int { return 1 }}
	var accepted []net.Conn
	for range 2 {
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		accepted = append(accepted, c)
		p.Add(c)
	}
	if err := accepted[0].(*tls.Conn).Handshake(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the older connection is open: %v", err)
	}
	accepted[1].Close()
}
