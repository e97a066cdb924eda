package listen_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine/listen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// files are the files of a certificate.
type files struct {
	*testing.T
	cert, key string
}

func newFiles(t *testing.T) files {
	dir := t.TempDir()
	return files{t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
}

// put writes a new certificate with that name. It replaces the files by renaming, like
// programs that renew certificates.
func (f files) put(name string, age time.Duration) {
	f.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour - age)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		f.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.Fatal(err)
	}
	f.replace(f.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
	f.replace(f.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
}

func (f files) replace(name string, text []byte) {
	f.Helper()
	if err := os.WriteFile(name+".new", text, 0o600); err != nil {
		f.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		f.Fatal(err)
	}
}

// port is a listener that echoes what clients send.
type port struct {
	*testing.T
	net.Listener
	log   *bytes.Buffer
	peers chan string // addresses of clients
}

func open(t *testing.T, c listen.Config) *port {
	t.Helper()
	p := &port{T: t, log: &bytes.Buffer{}, peers: make(chan string, 10)}
	c.Address, c.Log = "127.0.0.1:0", slog.New(slog.NewTextHandler(p.log, nil))
	var err error
	if p.Listener, err = listen.Open(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := p.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				p.peers <- c.RemoteAddr().String()
				io.Copy(c, c)
				c.Close()
			})
		}
	})
	t.Cleanup(func() { p.Close(); serving.Wait() })
	return p
}

func (p *port) dial() net.Conn {
	p.Helper()
	c, err := net.Dial("tcp", p.Addr().String())
	if err != nil {
		p.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(10 * time.Second))
	p.Cleanup(func() { c.Close() })
	return c
}

// handshake connects and returns the name in the certificate.
func (p *port) handshake(change ...func(*tls.Config)) (*tls.Conn, string, error) {
	p.Helper()
	cfg := &tls.Config{InsecureSkipVerify: true}
	for _, f := range change {
		f(cfg)
	}
	c := tls.Client(p.dial(), cfg)
	if err := c.Handshake(); err != nil {
		return nil, "", err
	}
	return c, c.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func echoed(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(text))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != text {
		t.Errorf("received %q, %v; want %q", b, err, text)
	}
}

func TestTLS(t *testing.T) {
	f := newFiles(t)
	f.put("one", 0)
	p := open(t, listen.Config{Cert: f.cert, Key: f.key, ALPN: []string{"http/1.1"}})
	c, name, err := p.handshake(func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} })
	if err != nil || name != "one" || c.ConnectionState().NegotiatedProtocol != "http/1.1" {
		t.Fatalf("%s, %v", name, err)
	}
	echoed(t, c, "hello")
	if _, _, err := p.handshake(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11 }); err == nil {
		t.Error("TLS 1.1 is accepted")
	}
	if _, _, err := p.handshake(func(c *tls.Config) { c.NextProtos = []string{"h2"} }); err == nil {
		t.Error("HTTP/2 is accepted")
	}
}

func TestCertificatesThatCannotBeUsed(t *testing.T) {
	f, other := newFiles(t), newFiles(t)
	f.put("one", 0)
	other.put("two", 0)
	for name, c := range map[string]listen.Config{
		"no files": {Cert: "nowhere", Key: "nowhere"}, "no key": {Cert: f.cert}, "another key": {Cert: f.cert, Key: other.key}, "the wrong way round": {Cert: f.key, Key: f.cert},
	} {
		c.Address = "127.0.0.1:0"
		if l, err := listen.Open(t.Context(), c); err == nil {
			l.Close()
			t.Errorf("%s: Open succeeded", name)
		}
		if listen.Check(t.Context(), c) == nil {
			t.Errorf("%s: Check succeeded", name)
		}
	}
	if err := listen.Check(t.Context(), listen.Config{Cert: f.cert, Key: f.key}); err != nil {
		t.Error(err)
	}
}

// TestAChangedCertificateIsServed uses virtual time, which makes the certificate check
// its files.
func TestAChangedCertificateIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFiles(t)
		f.put("one", 0)
		var log bytes.Buffer
		cert, err := listen.NewCertificate(f.cert, f.key, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		is := func(want string) {
			t.Helper()
			c, err := cert.Get(nil)
			if err != nil || c.Leaf.Subject.CommonName != want {
				t.Errorf("%v, %v; want %s", c.Leaf.Subject, err, want)
			}
		}
		f.put("two", 0)
		is("one")
		time.Sleep(5 * time.Second)
		is("two")
		for _, bad := range []func(){
			func() { f.replace(f.cert, []byte("nonsense")) },
			func() { os.Remove(f.key) },
			func() { f.put("three", 0); f.replace(f.key, []byte("")) },
		} {
			bad()
			log.Reset()
			for range 3 {
				time.Sleep(5 * time.Second)
				is("two")
			}
			if got := strings.Count(log.String(), "new certificate is not valid, keeping the old one"); got != 1 {
				t.Errorf("%d lines:\n%s", got, log.String())
			}
		}
		f.put("four", 2*time.Hour)
		time.Sleep(5 * time.Second)
		is("four")
		if !strings.Contains(log.String(), "certificate has expired") {
			t.Errorf("the log:\n%s", log.String())
		}
	})
}

func TestProxyHeaders(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	const v2 = "\r\n\r\n\x00\r\nQUIT\n"
	p := open(t, listen.Config{Proxies: trusted})
	for name, test := range map[string]struct{ header, peer string }{
		"version 1":           {"PROXY TCP4 1.2.3.4 10.0.0.1 5678 443\r\n", "1.2.3.4:5678"},
		"version 1, IPv6":     {"PROXY TCP6 2001:db8::1 2001:db8::2 5678 443\r\n", "[2001:db8::1]:5678"},
		"version 1, unknown":  {"PROXY UNKNOWN\r\n", "SELF"},
		"version 2":           {v2 + "\x21\x11\x00\x0c\x01\x02\x03\x04\x0a\x00\x00\x01\x16\x2e\x01\xbb", "1.2.3.4:5678"},
		"version 2, extended": {v2 + "\x21\x11\x00\x10\x01\x02\x03\x04\x0a\x00\x00\x01\x16\x2e\x01\xbb\x04\x00\x01x", "1.2.3.4:5678"},
		"version 2, local":    {v2 + "\x20\x00\x00\x00", "SELF"},
	} {
		t.Run(name, func(t *testing.T) {
			c := p.dial()
			echoed(t, prefixed{c, &test.header}, "hello")
			if got, want := <-p.peers, strings.Replace(test.peer, "SELF", c.LocalAddr().String(), 1); got != want {
				t.Errorf("%s connected, want %s", got, want)
			}
		})
	}
	for name, header := range map[string]string{
		"none": "GET / HTTP/1.1\r\n\r\n", "half": "PROXY TCP4 1.2.3.4\r\n", "too long": "PROXY TCP4 " + strings.Repeat("1", 200) + "\r\n", "nonsense": v2 + "\xff\xff\xff\xff",
	} {
		t.Run(name, func(t *testing.T) {
			c := p.dial()
			io.WriteString(c, header)
			if b, _ := io.ReadAll(c); len(b) > 0 {
				t.Errorf("received %q", b)
			}
			if got := <-p.peers; got != c.LocalAddr().String() {
				t.Errorf("%s connected", got)
			}
		})
	}
}

// prefixed sends a header in the same segment as its first write.
type prefixed struct {
	net.Conn
	header *string
}

func (p prefixed) Write(b []byte) (int, error) {
	n, err := p.Conn.Write(append([]byte(*p.header), b...))
	n -= len(*p.header)
	*p.header = ""
	return n, err
}

// TestPROXYHeadersOfOthersAreData checks that a PROXY header is data if the client is
// not a trusted proxy.
func TestPROXYHeadersOfOthersAreData(t *testing.T) {
	p := open(t, listen.Config{Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	c := p.dial()
	const header = "PROXY TCP4 1.2.3.4 10.0.0.1 5678 443\r\n"
	echoed(t, c, header)
	if got := <-p.peers; got != c.LocalAddr().String() {
		t.Errorf("%s connected", got)
	}
}

func TestTLSBehindAProxy(t *testing.T) {
	f := newFiles(t)
	f.put("one", 0)
	p := open(t, listen.Config{Cert: f.cert, Key: f.key, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	c := p.dial()
	fmt.Fprint(c, "PROXY TCP4 1.2.3.4 10.0.0.1 5678 443\r\n")
	secure := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	echoed(t, secure, "hello")
	if got := <-p.peers; got != "1.2.3.4:5678" {
		t.Errorf("%s connected", got)
	}
	secure.Close()
}

// TestCertificatesChangeUnderLoad checks that no handshake fails while the certificate
// is replaced repeatedly.
func TestCertificatesChangeUnderLoad(t *testing.T) {
	f := newFiles(t)
	f.put("0", 0)
	cert, err := listen.NewCertificate(f.cert, f.key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secure := tls.NewListener(l, &tls.Config{GetCertificate: cert.Get})
	stop := make(chan struct{})
	var all, clients sync.WaitGroup
	all.Go(func() {
		for {
			c, err := secure.Accept()
			if err != nil {
				return
			}
			all.Go(func() { io.Copy(c, c); c.Close() })
		}
	})
	names := make(chan string, 1000)
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
				if err != nil {
					t.Errorf("a handshake failed: %v", err)
					return
				}
				select {
				case names <- c.ConnectionState().PeerCertificates[0].Subject.CommonName:
				default:
				}
				c.Close()
			}
		})
	}
	for i := range 20 {
		want := fmt.Sprint(i + 1)
		f.put(want, 0)
		cert.Check()
		for name := range names {
			if name == want {
				break
			}
		}
	}
	close(stop)
	clients.Wait()
	l.Close()
	all.Wait()
}
