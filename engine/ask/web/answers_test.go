package web

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine/ask"
)

// TestRequests checks what a service receives.
func TestRequests(t *testing.T) {
	var got *http.Request
	var body []byte
	address, roots, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		fmt.Fprint(w, ` {"ok": true} `)
	})
	c := client(t, Limits{})
	for _, method := range methods() {
		s := c.must(t, "acme", "score", Spec{URL: address + "/v1?a=b", Method: method, Roots: roots, Headers: map[string]string{"authorization": "Bearer 0123456789abcdef", "content-type": "application/x+json"}})
		answer, err := s.Ask(t.Context(), []byte(`{"text":"é"}`))
		if err != nil || answer.Status != 200 || string(answer.Body) != `{"ok": true}` || answer.Cached {
			t.Fatalf("%s: %+v, %v", method, answer, err)
		}
		if got.Method != method || got.URL.String() != "/v1?a=b" || got.ProtoMajor != 1 || "https://"+got.Host != address {
			t.Errorf("the request is %s %s by HTTP/%d to %s", got.Method, got.URL, got.ProtoMajor, got.Host)
		}
		want := `{"text":"é"}`
		if method == http.MethodGet {
			want = ""
		}
		if string(body) != want {
			t.Errorf("the body of a %s is %q", method, body)
		}
		for name, value := range map[string]string{"Authorization": "Bearer 0123456789abcdef", "Content-Type": "application/x+json", "Accept": "application/json", "User-Agent": "moot", "Accept-Encoding": "identity"} {
			if got.Header.Get(name) != value {
				t.Errorf("%s is %q", name, got.Header.Get(name))
			}
		}
		if _, sent := got.Header["Idempotency-Key"]; sent {
			t.Error("an Idempotency-Key was sent")
		}
	}
}

func plainAnswer(status, body string) string {
	return fmt.Sprintf("HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
}

// forever writes text until the connection is closed, and returns the number of bytes.
func forever(c net.Conn, begin, text string) (n int) {
	if _, err := io.WriteString(c, begin); err != nil {
		return 0
	}
	for {
		more, err := io.WriteString(c, text)
		if n += more; err != nil {
			return n
		}
	}
}

// TestAnswers checks what each answer of a service means, hostile ones too: at most a bounded part of an answer is read.
func TestAnswers(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 10<<20))
	_ = z.Close()
	large := `"` + strings.Repeat("a", ask.MaxAnswer-2) + `"`
	for name, test := range map[string]struct {
		answer string         // the whole answer
		serve  func(net.Conn) // in place of answer, after the request was read
		status int            // of the answer; 0: a failure
		body   string         // of the answer
		kind   ask.Kind       // of the failure
		text   string         // in the failure
	}{
		"200":                   {answer: plainAnswer("200 OK", ` {"a":1} `), status: 200, body: `{"a":1}`},
		"no body":               {answer: plainAnswer("204 No Content", ""), status: 204},
		"an empty body":         {answer: plainAnswer("200 OK", ""), status: 200},
		"404 with JSON":         {answer: plainAnswer("404 Not Found", `{"user":null}`), status: 404, body: `{"user":null}`},
		"404 without JSON":      {answer: plainAnswer("404 Not Found", `<html>`), status: 404},
		"the largest":           {answer: plainAnswer("200 OK", large), status: 200, body: large},
		"the largest in chunks": {answer: fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(large), large), status: 200, body: large},
		"too large":             {answer: plainAnswer("200 OK", large+" "), kind: ask.BadAnswer, text: "the answer has 65537 bytes, more than 65536"},
		"not JSON":              {answer: plainAnswer("200 OK", "yes!"), kind: ask.BadAnswer, text: "the answer is not JSON"},
		"two values":            {answer: plainAnswer("200 OK", "{} {}"), kind: ask.BadAnswer, text: "not JSON"},
		"408":                   {answer: plainAnswer("408 X", "{}"), kind: ask.Status, text: "the service answered 408"},
		"425":                   {answer: plainAnswer("425 X", "{}"), kind: ask.Status},
		"429":                   {answer: plainAnswer("429 X", "{}"), kind: ask.Status},
		"500":                   {answer: plainAnswer("500 X", "{}"), kind: ask.Status},
		"599":                   {answer: plainAnswer("599 X", "{}"), kind: ask.Status},
		"999":                   {answer: plainAnswer("999 X", "{}"), kind: ask.Status},
		"a redirect":            {answer: "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n", kind: ask.Status, text: "redirects are not followed"},
		"another protocol":      {answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", kind: ask.Status, text: "101"},
		"HTTP/2 at once":        {answer: "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + strings.Repeat("x", 64) + "\r\n\r\n", kind: ask.Unreachable, text: "not valid HTTP"},
		"no HTTP":               {answer: "220 mail.example.com ESMTP\r\n\r\n", kind: ask.Unreachable, text: "not valid HTTP"},
		"a compressed answer":   {answer: fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", bomb.Len(), bomb.String()), kind: ask.BadAnswer, text: "compressed"},
		"a compressed transfer": {answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", kind: ask.Unreachable},
		"two lengths":           {answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", kind: ask.Unreachable},
		"a negative length":     {answer: "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}", kind: ask.Unreachable},
		"a length of exabytes":  {answer: "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n{}", kind: ask.BadAnswer, text: "bytes, more than"},
		"half an answer":        {serve: func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}") }, kind: ask.Unreachable, text: "before the end of its answer"},
		"a closed connection":   {serve: func(net.Conn) {}, kind: ask.Unreachable, text: "closed the connection"},
		"a body without an end": {serve: func(c net.Conn) { forever(c, "HTTP/1.1 200 OK\r\n\r\n", `{"a":1}`) }, kind: ask.BadAnswer, text: "more than 65536"},
		"chunks without an end": {serve: func(c net.Conn) { forever(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n") }, kind: ask.BadAnswer, text: "more than 65536"},
		"a header without end":  {serve: func(c net.Conn) { forever(c, "HTTP/1.1 200 OK\r\n", "X: a\r\n") }, kind: ask.Unreachable, text: "too large"},
		"a line without end":    {serve: func(c net.Conn) { forever(c, "HTTP/1.1 200 OK\r\nX: ", "aaaaaaaa") }, kind: ask.Unreachable, text: "too large"},
		"a status without end":  {serve: func(c net.Conn) { forever(c, "HTTP/1.1 200 ", "aaaaaaaa") }, kind: ask.Unreachable, text: "too large"},
		"1xx without end":       {serve: func(c net.Conn) { forever(c, "", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") }, kind: ask.Unreachable, text: "too large"},
		"trailers without end": {serve: func(c net.Conn) {
			forever(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n0\r\n", "X: a\r\n")
		}, kind: ask.Unreachable},
		"extensions without end": {serve: func(c net.Conn) { forever(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1", ";x=aaaaaaa") }, kind: ask.Unreachable},
		"silence":                {serve: func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }, kind: ask.Timeout, text: "no answer within 1s"},
		"a body byte by byte": {serve: func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
			for _, err := io.WriteString(c, " "); err == nil; _, err = io.WriteString(c, " ") {
				time.Sleep(100 * time.Millisecond)
			}
		}, kind: ask.Timeout, text: "no answer within 1s"},
		"a header byte by byte": {serve: func(c net.Conn) {
			for _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nX: "); err == nil; _, err = io.WriteString(c, "a") {
				time.Sleep(100 * time.Millisecond)
			}
		}, kind: ask.Timeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				written := 0
				c, p := connected(t, Limits{}, nil)
				p.handle = func(conn net.Conn) {
					counted := &counting{Conn: conn}
					defer func() { written = counted.n }()
					in := make([]byte, 4096)
					if _, err := conn.Read(in); err != nil {
						return
					}
					if test.serve != nil {
						test.serve(counted)
						return
					}
					_, _ = io.WriteString(counted, test.answer)
				}
				s := c.must(t, "acme", "score", Spec{URL: "http://service.example.com/"})
				answer, err := s.Ask(t.Context(), []byte("{}"))
				switch {
				case test.status != 0 && (err != nil || answer.Status != test.status || string(answer.Body) != test.body):
					t.Errorf("the answer is %.80q, %v", fmt.Sprint(answer), err)
				case test.status == 0 && (kindOf(err) != test.kind || !strings.Contains(err.Error(), test.text)):
					t.Errorf("the error is %v", err)
				}
				p.end(c)
				synctest.Wait()
				if written > 6*ask.MaxAnswer+maxHeader+16<<10 { // a chunk of one byte takes six
					t.Errorf("%d bytes were read", written)
				}
			})
		})
	}
}

// counting counts the bytes that the other side has read.
type counting struct {
	net.Conn
	n int
}

func (c *counting) Write(b []byte) (n int, err error) {
	n, err = c.Conn.Write(b)
	c.n += n
	return n, err
}

// TestALateConnectionEndsWithItsQuestion checks that a service that does not answer the TLS handshake, or does not read a question, holds nothing
// after the time of the question.
func TestALateConnectionEndsWithItsQuestion(t *testing.T) {
	for address, handle := range map[string]func(*pipes) func(net.Conn){
		"https://service.example.com/": func(*pipes) func(net.Conn) { return func(c net.Conn) { _, _ = io.Copy(io.Discard, c) } },
		"http://service.example.com/":  func(p *pipes) func(net.Conn) { return func(net.Conn) { <-p.ctx.Done() } },
	} {
		synctest.Test(t, func(t *testing.T) {
			c, p := connected(t, Limits{}, nil)
			p.handle = handle(p)
			s := c.must(t, "acme", "score", Spec{URL: address, Timeout: 300 * time.Millisecond})
			if _, err := s.Ask(t.Context(), make([]byte, ask.MaxBody)); kindOf(err) != ask.Timeout {
				t.Errorf("%s: %v", address, err)
			}
			synctest.Wait()
			if n := c.conns.Load(); n != 0 || c.requests.Load() != 0 {
				t.Errorf("%s: %d connections are open", address, n)
			}
			p.end(c)
		})
	}
}
