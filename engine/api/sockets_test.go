package api_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
)

// clients is a listener that accepts the connections which a test offers.
type clients struct {
	come   chan net.Conn
	closed chan struct{}
}

func (c *clients) Accept() (net.Conn, error) {
	select {
	case conn := <-c.come:
		return conn, nil
	case <-c.closed:
		return nil, net.ErrClosed
	}
}

func (c *clients) Close() error {
	close(c.closed)
	return nil
}

func (c *clients) Addr() net.Addr { return &net.TCPAddr{} }

// from is the server's end of a connection from an address.
type from struct {
	net.Conn
	address string
}

func (f from) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(f.address))
}

// connect offers a connection and returns the client's end.
func (c *clients) connect(address string) net.Conn {
	client, server := net.Pipe()
	go func() {
		select {
		case c.come <- from{server, address}:
		case <-c.closed:
			server.Close()
		}
	}()
	return client
}

// TestAnAddressCannotHoldThePort checks that health checks from other addresses are answered at once while one address or
// IPv6 network opens many idle sockets.
func TestAnAddressCannotHoldThePort(t *testing.T) {
	for _, address := range []string{"192.0.2.1:%d", "[2001:db8::%x]:1"} {
		synctest.Test(t, func(t *testing.T) {
			n := alone(t)
			port, end := serveClients(t, n)
			var idle []net.Conn
			for i := range 600 {
				idle = append(idle, port.connect(fmt.Sprintf(address, i+1)))
				synctest.Wait()
			}
			for _, other := range []string{"192.0.2.2:1", "[2001:db8:0:1::1]:1"} {
				c := port.connect(other)
				answered := false
				go func() {
					fmt.Fprint(c, "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
					answer, err := http.ReadResponse(bufio.NewReader(c), nil)
					answered = err == nil && answer.StatusCode == http.StatusOK
				}()
				synctest.Wait() // no time passes
				if !answered {
					t.Errorf("%s is not answered beside 600 sockets of %s", other, address)
				}
				c.Close()
			}
			for _, c := range idle {
				c.Close()
			}
			synctest.Wait()
			again := port.connect(fmt.Sprintf(address, 1)) // closed sockets do not count
			go fmt.Fprint(again, "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
			if answer, err := http.ReadResponse(bufio.NewReader(again), nil); err != nil || answer.StatusCode != http.StatusOK {
				t.Errorf("after the sockets were closed: %v, %v", answer, err)
			}
			again.Close()
			end()
		})
	}
}

// serveClients serves the admin port of a node to the clients that the test connects. end stops it.
func serveClients(t *testing.T, n *node) (port *clients, end func()) {
	port = &clients{make(chan net.Conn), make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- n.api.Serve(ctx, port) }()
	return port, func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestARightKeyAlwaysGetsIn checks that requests with keys are answered at once while many addresses fill the port with
// sockets that are silent, or that stay open after a request without a key, and that sockets with a key stay open.
func TestARightKeyAlwaysGetsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := alone(t)
		port, end := serveClients(t, n)
		ask := func(c net.Conn, key string) bool {
			answered := false
			go func() {
				fmt.Fprintf(c, "GET /api/tenants/acme HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", key)
				answer, err := http.ReadResponse(bufio.NewReader(c), nil)
				answered = err == nil && answer.StatusCode == http.StatusOK
			}()
			synctest.Wait() // no time passes
			return answered
		}
		var idle []net.Conn
		flood := func() {
			for i := range 1500 {
				c := port.connect(fmt.Sprintf("192.0.2.%d:%d", i%10, i+1))
				if i%2 == 0 {
					go fmt.Fprint(c, "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
				}
				idle = append(idle, c)
				synctest.Wait()
			}
		}
		flood()
		admin, tenant, beside := port.connect("198.51.100.1:1"), port.connect("198.51.100.2:1"), port.connect("192.0.2.3:9999")
		for range 2 {
			if !ask(admin, adminKey) || !ask(tenant, acmeKey) || !ask(beside, adminKey) {
				t.Fatal("a right key is not answered beside sockets without one")
			}
			flood()
		}
		for _, c := range append(idle, admin, tenant, beside) {
			c.Close()
		}
		end()
	})
}
