package web

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine/ask"
)

// TestInternalAddressesAreNotAsked checks that a service of an included file is never on an internal address, in whatever notation, and also by
// a name that leads there when it is dialed.
func TestInternalAddressesAreNotAsked(t *testing.T) {
	address, roots, count := serve(t, func(http.ResponseWriter, *http.Request) {})
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(address, "https://"))
	c := client(t, Limits{})
	for _, host := range []string{
		"127.0.0.1", "localhost", "LOCALHOST.", "127.0.0.1.", "0.0.0.0", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "[::1]", "[::]", "[::ffff:127.0.0.1]",
		"[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::1]", "[2001:0:7f00:1::]", "[fe80::1%25lo]", "[::1%25lo]",
		"[fc00::1]", "[fd00:ec2::254]", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "[::ffff:169.254.169.254]", "224.0.0.1", "255.255.255.255",
	} {
		s, err := c.Service("acme", "m", "score", Spec{URL: "https://" + host + ":" + port + "/", Timeout: 300 * time.Millisecond, Restricted: true, Roots: roots})
		if err != nil {
			continue // refused at the load
		}
		if answer, err := s.Ask(t.Context(), nil); err == nil || kindOf(err) != ask.Unreachable && kindOf(err) != ask.Timeout {
			t.Errorf("%s: %+v, %v", host, answer, err)
		}
	}
	if count.Load() != 0 {
		t.Errorf("%d connections", count.Load())
	}
}

// TestPermittedNetworks checks that limits.privateNetworks permits addresses, and that a reload which removes a network ends its connections.
func TestPermittedNetworks(t *testing.T) {
	address, roots, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") })
	permitted := Limits{Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	c := client(t, permitted)
	s := c.must(t, "acme", "score", Spec{URL: address, Restricted: true, Roots: roots})
	if _, err := s.Ask(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	before := s.tenant.restricted
	c.Configure(permitted, map[string]Use{"acme": {Services: []ask.Service{s}}})
	if _, err := s.Ask(t.Context(), nil); err != nil || s.tenant.restricted != before {
		t.Errorf("after a reload that changes nothing: %v, other connections: %v", err, s.tenant.restricted != before)
	}
	c.Configure(Limits{}, map[string]Use{"acme": {Services: []ask.Service{s}}})
	if _, err := s.Ask(t.Context(), nil); kindOf(err) != ask.Unreachable || !strings.Contains(err.Error(), "limits.privateNetworks") {
		t.Errorf("without the network: %v", err)
	}
}

// TestAHostOfTheOperatorDoesNotBecomeMoreInternal checks that a name of the operator's file that led to a public address leads to no internal one
// later.
func TestAHostOfTheOperatorDoesNotBecomeMoreInternal(t *testing.T) {
	address, roots, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") })
	c := client(t, Limits{})
	s := c.must(t, "acme", "score", Spec{URL: address, Roots: roots})
	if _, err := s.Ask(t.Context(), nil); err != nil {
		t.Errorf("an address of the operator: %v", err)
	}
	g := s.guardOf("127.0.0.1", nil)
	if g != s.guardOf("127.0.0.1", nil) || g.Host != "127.0.0.1" {
		t.Error("each connection has another guard: it does not remember the first address")
	}
	g = s.guardOf("127.0.0.1", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	if !reflect.ValueOf(g).Elem().FieldByName("reached").Bool() || len(g.Networks) != 1 {
		t.Error("after a reload that permits other networks the guard does not remember the first address")
	}
}

// TestARestrictedServiceUsesNoConnectionOfAnother checks that a service of an included file does not reach an internal address by a connection
// that was made for the same address in the operator's file, such as before a tenant has moved to an included file.
func TestARestrictedServiceUsesNoConnectionOfAnother(t *testing.T) {
	address, roots, count := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") })
	c := client(t, Limits{})
	if _, err := c.must(t, "acme", "score", Spec{URL: address, Roots: roots}).Ask(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	answer, err := c.must(t, "acme", "score", Spec{URL: address, Roots: roots, Restricted: true}).Ask(t.Context(), nil)
	if kindOf(err) != ask.Unreachable {
		t.Errorf("%+v, %v", answer, err)
	}
	if count.Load() != 1 {
		t.Errorf("%d connections", count.Load())
	}
}

// TestNoProxyAndNoRedirect checks that a request goes nowhere but to its address.
func TestNoProxyAndNoRedirect(t *testing.T) {
	proxy, _, proxied := serve(t, func(http.ResponseWriter, *http.Request) {})
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		t.Setenv(name, proxy)
	}
	elsewhere, _, visited := serve(t, func(http.ResponseWriter, *http.Request) {})
	for _, code := range []int{301, 302, 303, 307, 308} {
		address, roots, count := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, code) })
		c := client(t, Limits{})
		if _, err := c.must(t, "acme", "score", Spec{URL: address, Roots: roots}).Ask(t.Context(), nil); kindOf(err) != ask.Status {
			t.Errorf("%d: %v", code, err)
		}
		if count.Load() != 1 {
			t.Errorf("%d: %d connections", code, count.Load())
		}
	}
	if proxied.Load() != 0 || visited.Load() != 0 {
		t.Errorf("%d connections to the proxy, %d to the place of the redirect", proxied.Load(), visited.Load())
	}
}

// TestSpecsAreChecked checks what a configuration cannot contain, and that errors show no part of it.
func TestSpecsAreChecked(t *testing.T) {
	c := client(t, Limits{})
	const secret = "hunter2hunter2"
	for name, spec := range map[string]Spec{
		"no address":         {},
		"no host":            {URL: "https:///" + secret},
		"opaque":             {URL: "https:" + secret},
		"another scheme":     {URL: "gopher://" + secret + ":70/"},
		"a file":             {URL: "file:///etc/" + secret},
		"a user":             {URL: "https://" + secret + "@example.com/"},
		"a password":         {URL: "https://a:" + secret + "@example.com/"},
		"a confusing user":   {URL: `https://example.com\@` + secret},
		"a fragment":         {URL: "https://example.com/#" + secret},
		"a line break":       {URL: "https://example.com/\r\nX: " + secret},
		"a space":            {URL: "https://exam ple.com/" + secret},
		"a bad port":         {URL: "https://example.com:" + secret},
		"http, restricted":   {URL: "http://example.com/" + secret, Restricted: true},
		"a method":           {URL: "https://example.com/", Method: "CONNECT"},
		"a method of lines":  {URL: "https://example.com/", Method: "GET / HTTP/1.1\r\nX:"},
		"a header's lines":   {URL: "https://example.com/", Headers: map[string]string{"x": "a\r\nX-Other: " + secret}},
		"a header's line":    {URL: "https://example.com/", Headers: map[string]string{"x": secret + "\n"}},
		"a header's zero":    {URL: "https://example.com/", Headers: map[string]string{"x": secret + "\x00"}},
		"a name's lines":     {URL: "https://example.com/", Headers: map[string]string{"x\r\ny": secret}},
		"a name's colon":     {URL: "https://example.com/", Headers: map[string]string{"x: y": secret}},
		"an empty name":      {URL: "https://example.com/", Headers: map[string]string{"": secret}},
		"Host":               {URL: "https://example.com/", Headers: map[string]string{"host": secret}},
		"Content-Length":     {URL: "https://example.com/", Headers: map[string]string{"content-length": secret}},
		"Transfer-Encoding":  {URL: "https://example.com/", Headers: map[string]string{"TRANSFER-ENCODING": secret}},
		"Upgrade":            {URL: "https://example.com/", Headers: map[string]string{"upgrade": "h2c"}},
		"Connection":         {URL: "https://example.com/", Headers: map[string]string{"connection": secret}},
		"Proxy-Authenticate": {URL: "https://example.com/", Headers: map[string]string{"proxy-authorization": secret}},
		"a long value":       {URL: "https://example.com/", Headers: map[string]string{"x": strings.Repeat(secret, 1000)}},
	} {
		if _, err := c.Service("acme", "m", "score", spec); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTLSIsChecked checks that a service must prove its name, with a current version of TLS.
func TestTLSIsChecked(t *testing.T) {
	address, roots, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") })
	u, _ := url.Parse(address)
	c := client(t, Limits{})
	for name, test := range map[string]struct {
		spec Spec
		text string
	}{
		"an unknown authority": {Spec{URL: address}, "unknown authority"},
		"another host":         {Spec{URL: "https://localhost:" + u.Port(), Roots: roots}, "not for its host"},
		"no TLS":               {Spec{URL: strings.Replace(plainServer(t), "http:", "https:", 1), Roots: roots}, "TLS handshake failed"},
	} {
		if _, err := c.must(t, "acme", name[:2], test.spec).Ask(t.Context(), nil); kindOf(err) != ask.Unreachable || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	old, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if conn, err := old.Accept(); err == nil {
			_ = conn.(*tls.Conn).Handshake()
			_ = conn.Close()
		}
	}()
	if _, err := c.must(t, "acme", "old", Spec{URL: "https://" + old.Addr().String(), Roots: roots}).Ask(t.Context(), nil); kindOf(err) != ask.Unreachable {
		t.Errorf("TLS 1.1: %v", err)
	}
	<-done
}

// plainServer starts a server without TLS.
func plainServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return "http://" + l.Addr().String()
}

// TestSecretsAreInNoErrorAndNoAnswer asks services that repeat the request in every part of their answer.
func TestSecretsAreInNoErrorAndNoAnswer(t *testing.T) {
	const token, query = "5e9b1c0f77d24a3c", "0a1b2c3d4e5f6071"
	for name, answer := range map[string]string{
		"body":                 "HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n\"SECRET\"        ",
		"body of a 404":        "HTTP/1.1 404 No\r\nConnection: close\r\n\r\n{\"a\":\"SECRET\"}",
		"body that is no JSON": "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nSECRET",
		"status":               "HTTP/1.1 500 SECRET\r\nContent-Length: 0\r\n\r\n",
		"status of a redirect": "HTTP/1.1 302 SECRET\r\nLocation: https://SECRET/\r\nContent-Length: 0\r\n\r\n",
		"code":                 "HTTP/1.1 SECRET\r\n\r\n",
		"version":              "HTTP/SECRET 200 OK\r\n\r\n",
		"first line":           "SECRET\r\n\r\n",
		"header name":          "HTTP/1.1 200 OK\r\nSECRET: \x00\r\n\r\n",
		"header":               "HTTP/1.1 200 OK\r\n SECRET\r\n\r\n",
		"length":               "HTTP/1.1 200 OK\r\nContent-Length: SECRET\r\n\r\n",
		"two lengths":          "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: SECRET\r\n\r\n",
		"transfer encoding":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: SECRET\r\n\r\n",
		"content encoding":     "HTTP/1.1 200 OK\r\nContent-Encoding: SECRET\r\nContent-Length: 0\r\n\r\n",
		"chunk":                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nSECRET\r\n",
		"trailer":              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n0\r\nSECRET\r\n\r\n",
		"upgrade":              "HTTP/1.1 101 SECRET\r\nConnection: upgrade\r\nUpgrade: SECRET\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p := connected(t, Limits{}, nil)
				p.handle = func(conn net.Conn) {
					r, err := http.ReadRequest(bufio.NewReader(conn))
					if err != nil || r.Header.Get("Authorization") != "Bearer "+token || r.URL.Query().Get("key") != query {
						t.Errorf("the request is %+v, %v", r, err)
						return
					}
					_, _ = io.WriteString(conn, strings.ReplaceAll(answer, "SECRET", token))
				}
				s := c.must(t, "acme", "score", Spec{URL: "http://service.example.com/?key=" + query, Headers: map[string]string{"Authorization": "Bearer " + token}})
				got, err := s.Ask(t.Context(), nil)
				if shown := fmt.Sprintf("%s %v %+v", got.Body, err, c.Stats()); strings.Contains(shown, token) || strings.Contains(shown, query) || err == nil && got.Body != nil {
					t.Errorf("it shows %s", shown)
				}
				p.end(c)
			})
		})
	}
	t.Run("no connection", func(t *testing.T) {
		c := client(t, Limits{})
		for _, address := range []string{"https://127.0.0.1:1/", "https://does-not-exist.invalid/", "https://10.0.0.1/"} {
			s := c.must(t, "acme", "score", Spec{URL: address + query + "?key=" + query, Timeout: 100 * time.Millisecond, Restricted: true, Headers: map[string]string{"Authorization": token}})
			if _, err := s.Ask(t.Context(), nil); err == nil || strings.Contains(err.Error(), token) || strings.Contains(err.Error(), query) {
				t.Errorf("%s: %v", address, err)
			}
		}
	})
}

// TestSecretsAreFoundBehindEscapes checks answers that repeat a header's value with escapes of JSON.
func TestSecretsAreFoundBehindEscapes(t *testing.T) {
	const token = "ab/cd+ef==gh<12>"
	for answer, revealed := range map[string]bool{
		`"ab/cd+ef==gh<12>"`: true,
		`{"headers":{"authorization":"Bearer ab\/cd+ef==gh<12>"}}`: true,
		`["\u0061b/cd+ef==gh\u003c12\u003e"]`:                      true,
		`{"ab/cd\u002Bef==gh<12>":1e999}`:                          true,
		`[1e999,"ab\/cd+ef==gh<12>"]`:                              true,
		`{"a":"\"ab/cd","b":"+ef==gh<12>\\"}`:                      false,
	} {
		synctest.Test(t, func(t *testing.T) {
			c, p := connected(t, Limits{}, nil)
			p.handle = p.answering(0, func(*http.Request, []byte) string { return plainAnswer("200 OK", answer) })
			s := c.must(t, "acme", "score", Spec{URL: "http://service.example.com/", Headers: map[string]string{"Authorization": "Bearer " + token}})
			if got, err := s.Ask(t.Context(), nil); revealed != (kindOf(err) == ask.BadAnswer) || !revealed && err != nil {
				t.Errorf("%s: the rule receives %s, %v", answer, got.Body, err)
			}
			p.end(c)
		})
	}
}

// TestATenantLeavesConnectionsForOthers checks that a tenant whose askers leave while its connections are made does not use up those of the node.
func TestATenantLeavesConnectionsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := Limits{Requests: 16}
		c, p := connected(t, limits, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		use := map[string]Use{}
		for _, tenant := range []string{"hostile", "other"} {
			s := c.must(t, tenant, "score", Spec{URL: "https://service.example.com/", Timeout: 10 * time.Second})
			use[tenant] = Use{TenantLimits{Requests: 100, Rate: 1e6}, []ask.Service{s}}
		}
		c.Configure(limits, use)
		made := map[string]int64{}
		for _, tenant := range []string{"hostile", "other"} {
			before := c.conns.Load()
			for range 100 {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(10*time.Millisecond, cancel)
				_, _ = use[tenant].Services[0].Ask(ctx, nil)
			}
			made[tenant] = c.conns.Load() - before
		}
		if made["hostile"] != 16 || made["other"] != 8 { // half of 32, and half of the rest
			t.Errorf("the connections are %v", made)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		p.end(c)
	})
}

// TestConnectionsAreBounded checks that askers that leave while their connections are made do not make more of them than twice the limit of
// requests.
func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := connected(t, Limits{}, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
		s := c.must(t, "acme", "score", Spec{URL: "https://service.example.com/", Timeout: 10 * time.Second})
		c.Configure(Limits{}, map[string]Use{"acme": {TenantLimits{Requests: 16, Rate: 1e6}, []ask.Service{s}}})
		var busies atomic.Int32
		for range 200 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(10*time.Millisecond, cancel)
			if _, err := s.Ask(ctx, nil); busy(err) > 0 {
				busies.Add(1)
			}
		}
		synctest.Wait()
		if n := c.conns.Load(); n != 32 || busies.Load() != 200-32 {
			t.Errorf("%d connections, %d refused", n, busies.Load())
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := c.conns.Load(); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		p.end(c)
	})
}
