package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/mootchat/moot/engine/ask"
)

const agent = "moot"

// headerOf returns the header of all requests. net/http does not send the header Idempotency-Key without a value, but it repeats a request
// that has it if a kept connection has ended meanwhile.
func headerOf(method string, fields []headerField) http.Header {
	h := http.Header{"Accept": {"application/json"}, "Content-Type": {"application/json"}, "Idempotency-Key": nil}
	if method == http.MethodGet {
		h.Del("Content-Type")
	}
	for _, f := range fields {
		h.Set(f.name, f.value)
	}
	h.Set("User-Agent", agent)
	h.Set("Accept-Encoding", "identity")
	return h
}

// send sends a request, and reads the answer. The error is an *ask.Failure or *ask.BusyError.
func (s *service) send(ctx context.Context, body []byte) (ask.Answer, error) {
	common := s.inCommon()
	request := (&http.Request{Method: s.spec.Method, URL: common.url, Host: common.url.Host, Header: common.header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Close: s.tenant.crowded()}).WithContext(dialing(ctx, s))
	if s.spec.Method != http.MethodGet && len(body) > 0 {
		body = bytes.Clone(body) // net/http may read it after RoundTrip has returned
		request.ContentLength = int64(len(body))
		request.Body = io.NopCloser(bytes.NewReader(body))
		request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	response, err := s.tenant.roundTripper(s.spec.Restricted).RoundTrip(request)
	if err != nil {
		return ask.Answer{}, failure(err)
	}
	defer response.Body.Close()
	return s.read(response)
}

// read reads an answer.
func (s *service) read(r *http.Response) (ask.Answer, error) {
	switch code := r.StatusCode; {
	case code >= 300 && code < 400:
		return ask.Answer{}, &ask.Failure{Kind: ask.Status, Err: fmt.Errorf("the service answered %d: redirects are not followed, set the address that it leads to", code)}
	case code < 200 || code >= 500 || code == http.StatusRequestTimeout || code == http.StatusTooEarly || code == http.StatusTooManyRequests:
		return ask.Answer{}, &ask.Failure{Kind: ask.Status, Err: fmt.Errorf("the service answered %d", code)}
	case r.Header.Get("Content-Encoding") != "" && !strings.EqualFold(r.Header.Get("Content-Encoding"), "identity"):
		return ask.Answer{}, bad("the answer is compressed, although the request did not ask for it")
	case r.ContentLength > ask.MaxAnswer:
		return ask.Answer{}, bad("the answer has %d bytes, more than %d", r.ContentLength, ask.MaxAnswer)
	}
	text, err := readAll(r)
	if err != nil {
		return ask.Answer{}, failure(err)
	}
	if len(text) > ask.MaxAnswer {
		return ask.Answer{}, bad("the answer has more than %d bytes", ask.MaxAnswer)
	}
	if reveals(text, s.inCommon().secrets) {
		return ask.Answer{}, bad("the answer contains a value of the headers of the ask, which the rule must not see")
	}
	answer := ask.Answer{Status: r.StatusCode}
	switch text = bytes.TrimSpace(text); {
	case json.Valid(text):
		answer.Body = text
	case len(text) > 0 && r.StatusCode < 300:
		return ask.Answer{}, bad("the answer is not JSON")
	}
	return answer, nil
}

// reveals reports whether a text contains one of the secrets, or is JSON with a string that does: JSON may have any character as an escape.
func reveals(text []byte, secrets [][]byte) bool {
	in := func(text []byte) bool {
		return slices.ContainsFunc(secrets, func(secret []byte) bool { return bytes.Contains(text, secret) })
	}
	if in(text) {
		return true
	}
	if len(secrets) == 0 || !bytes.Contains(text, []byte(`\`)) {
		return false
	}
	tokens := json.NewDecoder(bytes.NewReader(text))
	tokens.UseNumber() // a number that is too large would end the tokens
	for {
		token, err := tokens.Token()
		if err != nil {
			return false
		}
		if s, ok := token.(string); ok && in([]byte(s)) {
			return true
		}
	}
}

// readAll reads an answer up to one byte more than the limit.
func readAll(r *http.Response) ([]byte, error) {
	if n := r.ContentLength; n >= 0 {
		text := make([]byte, n)
		_, err := io.ReadFull(r.Body, text)
		return text, err
	}
	return io.ReadAll(io.LimitReader(r.Body, ask.MaxAnswer+1))
}

func bad(format string, args ...any) *ask.Failure {
	return &ask.Failure{Kind: ask.BadAnswer, Err: fmt.Errorf(format, args...)}
}

// partsOf returns the parts of the value of a header that must stay secret.
func partsOf(value string) (parts [][]byte) {
	for _, part := range append(strings.Fields(value), value) {
		if len(part) >= minSecret {
			parts = append(parts, []byte(part))
		}
	}
	return parts
}

// minSecret is the length from which on the value of a header counts as a secret, in bytes. Shorter ones occur in ordinary answers.
const minSecret = 12
