package webhook

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"github.com/mootchat/moot/engine/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	secret = "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	old    = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("o", 24)))
)

// serve starts a receiver of events with TLS.
func serve(t *testing.T, h http.HandlerFunc) (address string, roots *x509.CertPool) {
	s := httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	roots = x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s.URL, roots
}

func sender(t *testing.T, cfg Config) *Sender {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func record(room string) events.Record {
	r := events.Record{Sink: events.Sink{Tenant: "acme", Name: "hooks"}, Event: events.NewEvent(events.NewID(), events.RoomCreated, room, "", events.Room{Room: room}), Sequence: 7}
	r.At = 1_700_000_000_123
	return r
}

// TestRequestsAreSignedCloudEvents checks the body and the headers of a request, and that a receiver with either secret verifies them.
func TestRequestsAreSignedCloudEvents(t *testing.T) {
	var body []byte
	var header http.Header
	address, roots := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		header = r.Header
	})
	for _, batch := range []bool{false, true} {
		s := sender(t, Config{URL: address, Roots: roots, Secrets: []string{secret, old}, Headers: map[string]string{"Authorization": "Bearer x"}, Batch: batch})
		sent := []events.Record{record("hall é/1")}
		if batch {
			sent = append(sent, record("y"))
		}
		if got := s.Send(t.Context(), sent, 3); got.Err != nil {
			t.Fatal(got.Err)
		}
		for _, one := range []string{secret, old} {
			receiver, err := standardwebhooks.NewWebhook(one)
			if err != nil {
				t.Fatal(err)
			}
			if err := receiver.Verify(body, header); err != nil {
				t.Errorf("the signature: %v", err)
			}
		}
		if header.Get("Authorization") != "Bearer x" || header.Get("User-Agent") != "moot" {
			t.Errorf("the headers are %v", header)
		}
		first := body
		kind := ContentType
		if batch {
			var all []json.RawMessage
			if err := json.Unmarshal(body, &all); err != nil || len(all) != 2 {
				t.Fatalf("the body is %s, %v", body, err)
			}
			first, kind = all[0], ContentTypeBatch
		}
		if header.Get("Content-Type") != kind {
			t.Errorf("the content type is %s", header.Get("Content-Type"))
		}
		want := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/tenants/acme","type":"moot.room.created","subject":"rooms/hall%%20%%C3%%A9%%2F1","time":"2023-11-14T22:13:20.123Z",`+
			`"datacontenttype":"application/json","sequence":"0000000000000007","dropped":"3","data":{"room":"hall é/1"}}`, sent[0].ID)
		if string(first) != want {
			t.Errorf("the event is\n%s, want\n%s", first, want)
		}
	}
}

// TestARepeatHasTheSameID checks that the same events have the same webhook-id.
func TestARepeatHasTheSameID(t *testing.T) {
	var ids []string
	address, roots := serve(t, func(w http.ResponseWriter, r *http.Request) {
		ids = append(ids, r.Header.Get("webhook-id"))
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	s := sender(t, Config{URL: address, Roots: roots, Batch: true})
	one, two := record("x"), record("y")
	for range 2 {
		s.Send(t.Context(), []events.Record{one}, 0)
		s.Send(t.Context(), []events.Record{one, two}, 0)
	}
	if len(ids) != 4 || ids[0] != ids[2] || ids[1] != ids[3] || ids[0] == ids[1] {
		t.Errorf("the ids are %q", ids)
	}
}

// TestAnswers checks what each answer means for the events.
func TestAnswers(t *testing.T) {
	header := func(code int, name, value string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(name, value)
			w.WriteHeader(code)
		}
	}
	for name, test := range map[string]struct {
		answer   http.HandlerFunc
		err      string // "": none
		rejected bool
		wait     time.Duration
	}{
		"200":      {answer: header(200, "X", "")},
		"204":      {answer: header(204, "X", "")},
		"400":      {answer: header(400, "X", ""), err: "the server answered 400 Bad Request", rejected: true},
		"401":      {answer: header(401, "X", ""), err: "the server answered 401 Unauthorized"},
		"413":      {answer: header(413, "X", ""), err: "413", rejected: true},
		"429":      {answer: header(429, "Retry-After", "90"), err: "429", wait: 90 * time.Second},
		"500":      {answer: header(500, "Retry-After", "nonsense"), err: "500"},
		"503":      {answer: header(503, "Retry-After", "99999999999"), err: "503", wait: 24 * time.Hour},
		"redirect": {answer: header(302, "Location", "http://169.254.169.254/"), err: "302 Found: redirects are not followed"},
		"upgrade":  {answer: header(308, "Location", "https://127.0.0.1:1/"), err: "308"},
		"half an answer": {answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("half"))
		}, err: "broke off"},
		"closed": {answer: func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			_ = conn.Close()
		}, err: "EOF"},
		"a bomb": {answer: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, 1<<20))
		}},
		"endless": {answer: func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}},
		"endless before the answer": {answer: func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			defer conn.Close()
			for {
				if _, err := io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nlink: "+strings.Repeat("a", 4<<10)+"\r\n\r\n"); err != nil {
					return
				}
			}
		}, err: "header"},
		"not HTTP": {answer: func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			_, _ = io.WriteString(conn, "SMTP ready\r\n")
			_ = conn.Close()
		}, err: "malformed"},
		"a text of its own": {answer: func(w http.ResponseWriter, r *http.Request) {
			conn, _, _ := http.NewResponseController(w).Hijack()
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 500 %s\r\ncontent-length: 0\r\n\r\n", r.Header.Get("Authorization"))
			_ = conn.Close()
		}, err: "the server answered 500 Internal Server Error"},
		"large header": {answer: header(200, "X", strings.Repeat("a", 128<<10)), err: "header"},
	} {
		t.Run(name, func(t *testing.T) {
			address, roots := serve(t, test.answer)
			s := sender(t, Config{URL: address, Roots: roots, Headers: map[string]string{"Authorization": "Bearer top-secret"}})
			got := s.Send(t.Context(), []events.Record{record("x")}, 0)
			switch {
			case got.Err != nil && strings.Contains(got.Err.Error(), "top-secret"):
				t.Errorf("the error has a secret: %v", got.Err)
			case test.err == "" && got.Err != nil, test.err != "" && (got.Err == nil || !strings.Contains(got.Err.Error(), test.err)):
				t.Errorf("the error is %v, want %q", got.Err, test.err)
			case got.Rejected != test.rejected || got.Wait != test.wait:
				t.Errorf("the result is %+v", got)
			}
			if got.Err != nil && strings.Contains(got.Err.Error(), address) {
				t.Errorf("the error names the address: %v", got.Err)
			}
		})
	}
}

// TestNoAnswerEndsInTime checks that a server that answers nothing, or slowly, does not hold up longer than ctx.
func TestNoAnswerEndsInTime(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
					return
				}
				for i := 0; i < 1000; i++ {
					if _, err := conn.Write([]byte("HTTP/1.1 200 OK\r\nX: "[i%20:][:1])); err != nil {
						return
					}
					time.Sleep(10 * time.Millisecond)
				}
			}()
		}
	}()
	s := sender(t, Config{URL: "http://" + listener.Addr().String()})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if got := s.Send(ctx, []events.Record{record("x")}, 0); got.Err == nil || !strings.Contains(got.Err.Error(), "no answer within") {
		t.Errorf("the error is %v", got.Err)
	}
}

// TestWrongTLS checks that a server that cannot prove that it is the configured one receives nothing.
func TestWrongTLS(t *testing.T) {
	received := 0
	address, roots := serve(t, func(http.ResponseWriter, *http.Request) { received++ })
	old := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { received++ }))
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.StartTLS()
	t.Cleanup(old.Close)
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { received++ }))
	t.Cleanup(plain.Close)
	for name, test := range map[string]struct {
		cfg Config
		err string
	}{
		"an unknown authority": {Config{URL: address}, "unknown authority"},
		"another name":         {Config{URL: strings.Replace(address, "127.0.0.1", "localhost", 1), Roots: roots}, "certificate is valid for"},
		"an old version":       {Config{URL: old.URL, Roots: roots}, "protocol version"},
		"no TLS":               {Config{URL: strings.Replace(plain.URL, "http:", "https:", 1), Roots: roots}, "HTTP response to HTTPS client"},
	} {
		got := sender(t, test.cfg).Send(t.Context(), []events.Record{record("x")}, 0)
		if got.Err == nil || got.Rejected || !strings.Contains(got.Err.Error(), test.err) {
			t.Errorf("%s: the result is %+v, want %q", name, got, test.err)
		}
	}
	if received > 0 {
		t.Errorf("%d requests arrived", received)
	}
}

// TestAnAnswerShowsNoSecret checks that the answer of a server that returns what it has received has no header value and no secret of the sink.
func TestAnAnswerShowsNoSecret(t *testing.T) {
	address, roots := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s %s", r.Header.Get("Authorization"), r.Header.Get("X-Short"), secret)
	})
	s := sender(t, Config{URL: address, Roots: roots, Secrets: []string{secret}, Headers: map[string]string{"Authorization": "Bearer top-secret-token", "X-Short": "eu"}})
	answer, got := s.Post(t.Context(), []events.Record{record("x")}, 0)
	if got.Err != nil || answer.Body != "Bearer [hidden] eu whsec_[hidden]" {
		t.Errorf("the answer is %q, %v", answer.Body, got.Err)
	}
}

// TestAnAnswerShowsNoSecretBehindEscapes checks answers in JSON, whose writers escape different characters.
func TestAnAnswerShowsNoSecretBehindEscapes(t *testing.T) {
	const token = "ab/cd+ef==gh<12>"
	var text string
	address, roots := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) })
	s := sender(t, Config{URL: address, Roots: roots, Headers: map[string]string{"Authorization": "Bearer " + token}})
	for _, text = range []string{`{"a":"Bearer ab/cd+ef==gh<12>"}`, `{"a":"Bearer ab\/cd+ef==gh<12>"}`, `{"a":"Bearer ab/cd\u002Bef==gh\u003c12\u003E"}`} {
		if answer, got := s.Post(t.Context(), []events.Record{record("x")}, 0); got.Err != nil || answer.Body != `{"a":"Bearer [hidden]"}` {
			t.Errorf("the answer is %q, %v", answer.Body, got.Err)
		}
	}
	text = `{"a":"\u0061b"}`
	if answer, _ := s.Post(t.Context(), []events.Record{record("x")}, 0); answer.Body != text {
		t.Errorf("the answer is %q, want %q", answer.Body, text)
	}
}

// TestAddressesAreGuarded checks that an address that a tenant chose reaches no internal network, in any form, and that the operator
// can permit one.
func TestAddressesAreGuarded(t *testing.T) {
	address, roots := serve(t, func(http.ResponseWriter, *http.Request) {})
	port := address[strings.LastIndex(address, ":"):]
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "0.0.0.0", "10.0.0.1", "169.254.169.254", "[fe80::1]", "[fd00::1]", "100.64.0.1"} {
		s := sender(t, Config{URL: "https://" + host + port, Roots: roots, Restricted: true})
		if got := s.Send(t.Context(), []events.Record{record("x")}, 0); got.Err == nil || !strings.Contains(got.Err.Error(), "is not public") {
			t.Errorf("%s: the error is %v", host, got.Err)
		}
	}
	s := sender(t, Config{URL: address, Roots: roots, Restricted: true, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	if got := s.Send(t.Context(), []events.Record{record("x")}, 0); got.Err != nil {
		t.Errorf("a permitted network: %v", got.Err)
	}
}

// TestConfigIsChecked checks the errors of addresses and secrets, which show no secret.
func TestConfigIsChecked(t *testing.T) {
	for _, test := range []struct {
		cfg Config
		err string
	}{
		{Config{URL: "https://example.com/x?a=b"}, ""},
		{Config{URL: "http://example.com/"}, ""},
		{Config{URL: "ftp://example.com/"}, "https"},
		{Config{URL: "https:///x"}, "use one such as"},
		{Config{URL: "https://user:pass@example.com/"}, "header authorization"},
		{Config{URL: "https://example.com/#x"}, "#"},
		{Config{URL: "https://example.com/", Secrets: []string{secret, old}}, ""},
		{Config{URL: "https://example.com/", Secrets: []string{"whsec_c2hvcnQ="}}, "24 to 64"},
		{Config{URL: "https://example.com/", Secrets: []string{"not base64 not base64 not base64 not base64"}}, "24 to 64"},
	} {
		_, err := New(test.cfg)
		switch {
		case test.err == "" && err != nil, test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
			t.Errorf("%+v: %v, want %q", test.cfg, err, test.err)
		case err != nil && (strings.Contains(err.Error(), "c2hvcnQ") || strings.Contains(err.Error(), "pass@")):
			t.Errorf("the error shows a secret: %v", err)
		}
	}
}
