package dial_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine/dial"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"1.1.1.1": true, "8.8.8.8": true, "2606:4700::1111": true, "::ffff:1.1.1.1": true, "64:ff9b::101:101": true,
		"0.0.0.0": false, "0.1.2.3": false, "127.0.0.1": false, "127.255.255.254": false, "10.0.0.1": false, "172.16.0.1": false, "172.31.255.255": false,
		"192.168.1.1": false, "100.64.0.1": false, "100.100.100.200": false, "169.254.169.254": false, "192.0.0.1": false, "192.0.2.1": false,
		"198.18.0.1": false, "198.51.100.1": false, "203.0.113.1": false, "224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::127.0.0.1": false, "::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:169.254.169.254": false,
		"64:ff9b::7f00:1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b::a00:1": false, "64:ff9b:1::1": false,
		"2002:7f00:1::": false, "2002:a9fe:a9fe::1": false, "2001:0:7f00:1::": false, "2001:db8::1": false, "fe80::1": false, "fe80::1%eth0": false,
		"fc00::1": false, "fd00:ec2::254": false, "fec0::1": false, "ff02::1": false, "100::1": false, "::ffff:0:127.0.0.1": false, "2001:10::1": false,
	} {
		if got := dial.Public(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

// met starts a server on this machine and returns its port and the number of its
// connections.
func met(t *testing.T, h http.HandlerFunc) (port string, count *atomic.Int32) {
	t.Helper()
	count = new(atomic.Int32)
	s := httptest.NewUnstartedServer(h)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			count.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	_, port, _ = net.SplitHostPort(s.Listener.Addr().String())
	return port, count
}

func get(t *testing.T, g *dial.Guard, address string) error {
	t.Helper()
	transport := g.Transport()
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Transport: transport}).Do(r)
	if err == nil {
		response.Body.Close()
	}
	return err
}

func refused(err error) bool {
	_, ok := errors.AsType[*dial.RefusedError](err)
	return ok
}

// TestInternalAddressesAreNotDialed checks that internal addresses are refused in all
// notations.
func TestInternalAddressesAreNotDialed(t *testing.T) {
	port, count := met(t, func(http.ResponseWriter, *http.Request) {})
	for _, host := range []string{"127.0.0.1", "localhost", "0.0.0.0", "127.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "[::]", "LOCALHOST.", "127.0.0.1."} {
		err := get(t, &dial.Guard{Host: "rules.example.com"}, "http://"+host+":"+port)
		if err == nil {
			t.Errorf("%s is reached", host)
		}
		if strings.HasPrefix(host, "127.0.0.1") && !strings.HasSuffix(host, ".") && !refused(err) {
			t.Errorf("%s: %v", host, err)
		}
	}
	if count.Load() != 0 {
		t.Errorf("%d connections", count.Load())
	}
}

func TestHostIsReachedAnywhere(t *testing.T) {
	port, _ := met(t, func(http.ResponseWriter, *http.Request) {})
	for _, g := range []*dial.Guard{{Host: "127.0.0.1"}, {Host: "LocalHost"}, {Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}} {
		host := g.Host
		if host == "" {
			host = "localhost"
		}
		if err := get(t, g, "http://"+host+":"+port); err != nil {
			t.Errorf("%+v: %v", g.Host, err)
		}
	}
}

func TestRedirectsReachNoMoreInternalScope(t *testing.T) {
	to, count := met(t, func(http.ResponseWriter, *http.Request) {})
	from, _ := met(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
	})
	if err := get(t, &dial.Guard{Host: "127.0.0.1"}, "http://127.0.0.1:"+from+"?to=http://localhost:"+to); err != nil {
		t.Errorf("on this machine: %v", err)
	}
	before := count.Load()
	if err := get(t, &dial.Guard{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}, "http://127.0.0.1:"+from+"?to=http://127.0.0.2:"+to); !refused(err) {
		t.Errorf("out of a permitted network: %v", err)
	}
	// Link-local addresses are never allowed.
	if err := get(t, &dial.Guard{Host: "127.0.0.1"}, "http://127.0.0.1:"+from+"?to=http://169.254.169.254/"); !refused(err) {
		t.Errorf("to a link-local address: %v", err)
	}
	if count.Load() != before {
		t.Error("it was connected to")
	}
}

// TestChangedAddressOfANameIsChecked checks that the guard checks the dialed address and not
// one that was resolved earlier.
func TestChangedAddressOfANameIsChecked(t *testing.T) {
	g := &dial.Guard{Host: "rules.example.com"}
	conn, err := g.DialContext(context.Background(), "tcp", "localhost:1")
	if conn != nil || !refused(err) {
		t.Errorf("got %v", err)
	}
	// The same holds for the address of Guard.Host.
	moves := func(from, to string) error {
		g := &dial.Guard{Host: "rules.example.com"}
		first, then := netip.MustParseAddr(from), netip.MustParseAddr(to)
		if err := g.Check(g.Host, first); err != nil {
			return err
		}
		g.Reached(&net.TCPAddr{IP: first.AsSlice()})
		return g.Check(g.Host, then)
	}
	for _, test := range []struct {
		from, to string
		allowed  bool
	}{
		{"1.1.1.1", "1.0.0.1", true}, {"1.1.1.1", "10.0.0.1", false}, {"1.1.1.1", "127.0.0.1", false}, {"10.0.0.1", "10.0.0.2", true},
		{"10.0.0.1", "1.1.1.1", true}, {"10.0.0.1", "::1", false}, {"::1", "127.0.0.1", true}, {"169.254.1.1", "169.254.1.1", true}, {"1.1.1.1", "169.254.169.254", false},
	} {
		if err := moves(test.from, test.to); (err == nil) != test.allowed {
			t.Errorf("from %s to %s: %v", test.from, test.to, err)
		}
	}
}

// TestOtherNetworksDoNotMakeAHostMoreInternal checks a guard whose networks a reload has changed.
func TestOtherNetworksDoNotMakeAHostMoreInternal(t *testing.T) {
	g := &dial.Guard{Host: "rules.example.com", Networks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
	g.Reached(&net.TCPAddr{IP: net.IPv4(1, 1, 1, 1)})
	g = g.With([]netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")})
	for address, allowed := range map[string]bool{"1.0.0.1": true, "10.2.0.1": true, "10.1.0.1": false, "127.0.0.1": false} {
		if err := g.Check(g.Host, netip.MustParseAddr(address)); (err == nil) != allowed {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestProxyIsUsedForHostOnly(t *testing.T) {
	if (&dial.Guard{}).Transport().Proxy != nil {
		t.Error("a tenant's address goes through a proxy")
	}
	if (&dial.Guard{Host: "rules.example.com"}).Transport().Proxy == nil {
		t.Error("an operator's address goes past the proxy")
	}
}
