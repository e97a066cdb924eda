// Package webhook delivers events to HTTPS addresses: as CloudEvents 1.0 in JSON, signed as Standard Webhooks describe.
package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/mootchat/moot/engine/dial"
	"github.com/mootchat/moot/engine/events"
)

// Content types of a request: one event, or an array of events.
const (
	ContentType      = "application/cloudevents+json; charset=utf-8"
	ContentTypeBatch = "application/cloudevents-batch+json; charset=utf-8"
)

const (
	agent     = "moot"
	maxHeader = 64 << 10         // bytes of the header of an answer
	idleTime  = 30 * time.Second // after which an unused connection is closed
	maxIdle   = 2                // unused connections to an address
	maxAnswer = 4 << 10          // bytes of an answer that are read
)

// Config is the configuration of an address.
type Config struct {
	URL     string
	Secrets []string          // each makes a signature: two during a rotation, the new one and the old one. See events.CheckSecret
	Headers map[string]string // sent with each request
	Batch   bool              // the body of a request is an array of events, even of one

	// Restricted is for an address that the operator did not choose: only public addresses and Networks may be reached.
	Restricted bool
	Networks   []netip.Prefix // internal networks that the operator permits
	Roots      *x509.CertPool // authorities of the server's certificate; nil: the system's
}

// Sender delivers events to an address. Its methods may be called concurrently. It makes connections when it needs them, and
// closes those that are unused for 30 s.
type Sender struct {
	cfg    Config
	signer []*standardwebhooks.Webhook
	client func() *http.Client
}

// New returns a sender. It makes no connection. It fails if the URL or a secret is not valid.
func New(cfg Config) (*Sender, error) {
	if err := events.CheckURL(cfg.URL); err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	s := &Sender{cfg: cfg}
	for _, secret := range cfg.Secrets {
		if err := events.CheckSecret(secret); err != nil {
			return nil, fmt.Errorf("secrets: %w", err)
		}
		one, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return nil, fmt.Errorf("secrets: %w", err)
		}
		s.signer = append(s.signer, one)
	}
	s.client = sync.OnceValue(s.newClient)
	return s, nil
}

func (s *Sender) newClient() *http.Client {
	guard := &dial.Guard{Networks: s.cfg.Networks}
	if u, err := url.Parse(s.cfg.URL); err == nil && !s.cfg.Restricted {
		guard.Host = u.Hostname()
	}
	t := guard.Transport()
	t.Proxy = nil
	t.MaxResponseHeaderBytes, t.IdleConnTimeout, t.MaxIdleConnsPerHost = maxHeader, idleTime, maxIdle
	t.DisableCompression = true
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.cfg.Roots}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Answer is the answer of the server.
type Answer struct {
	Status  int // of HTTP
	Body    string
	Elapsed time.Duration
}

// Send delivers events; see [events.Config].
func (s *Sender) Send(ctx context.Context, records []events.Record, dropped uint64) events.Delivery {
	_, got := s.post(ctx, records, dropped)
	return got
}

// Post delivers events like Send, and returns the answer, whose body is cut at 4 KiB.
func (s *Sender) Post(ctx context.Context, records []events.Record, dropped uint64) (Answer, events.Delivery) {
	answer, got := s.post(ctx, records, dropped)
	answer.Body = s.secretsHidden(answer.Body)
	return answer, got
}

func (s *Sender) post(ctx context.Context, records []events.Record, dropped uint64) (Answer, events.Delivery) {
	request, err := s.request(ctx, records, dropped)
	if err != nil {
		return Answer{}, events.Delivery{Err: err, Rejected: true}
	}
	began := time.Now()
	response, err := s.client().Do(request)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer within %v", time.Since(began).Round(time.Millisecond))
		}
		return Answer{}, events.Delivery{Err: plain(err)}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer)) // with all of the body, the connection can be used again
	answer := Answer{response.StatusCode, strings.ToValidUTF8(string(body), "\uFFFD"), time.Since(began)}
	got := events.Delivery{Wait: retryAfter(response.Header.Get("Retry-After"))}
	status := strings.TrimSpace(fmt.Sprint(response.StatusCode, " ", http.StatusText(response.StatusCode))) // the server's own text may be anything
	switch code := response.StatusCode; {
	case code >= 200 && code < 300 && err != nil:
		got.Err = fmt.Errorf("the answer %s broke off: %w", status, err)
	case code >= 200 && code < 300:
		return answer, events.Delivery{}
	case code >= 300 && code < 400:
		got.Err = fmt.Errorf("the server answered %s: redirects are not followed, set the address that it leads to", status)
	default:
		got.Err = fmt.Errorf("the server answered %s", status)
		got.Rejected = slices.Contains([]int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity}, code)
	}
	return answer, got
}

// minHidden is the length of the shortest word that secretsHidden replaces.
const minHidden = 8

// secretsHidden returns the text of an answer without the secrets and the words of the headers: a server may return what it has received.
func (s *Sender) secretsHidden(text string) string {
	hide := func(word string) {
		if len(word) >= minHidden {
			text = strings.ReplaceAll(text, word, "[hidden]")
			if strings.Contains(text, `\`) {
				text = escaped(word).ReplaceAllLiteralString(text, "[hidden]")
			}
		}
	}
	for _, secret := range s.cfg.Secrets {
		hide(strings.TrimPrefix(secret, "whsec_"))
	}
	for _, value := range s.cfg.Headers {
		for word := range strings.FieldsSeq(value) {
			hide(word)
		}
	}
	return text
}

// escaped matches a word in JSON, which may have any character as an escape.
func escaped(word string) *regexp.Regexp {
	var p strings.Builder
	for _, c := range word {
		fmt.Fprintf(&p, `(?:\\?%s|\\u(?i:%04x))`, regexp.QuoteMeta(string(c)), c)
	}
	return regexp.MustCompile(p.String())
}

func (s *Sender) request(ctx context.Context, records []events.Record, dropped uint64) (*http.Request, error) {
	body, err := s.body(records, dropped)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	h := request.Header
	for name, value := range s.cfg.Headers {
		h.Set(name, value)
	}
	h.Set("User-Agent", agent)
	h.Set("Content-Type", ContentType)
	if s.cfg.Batch {
		h.Set("Content-Type", ContentTypeBatch)
	}
	id, now := records[0].ID, time.Now()
	if n := len(records); n > 1 {
		id = fmt.Sprintf("%s_%d", id, n)
	}
	h.Set(standardwebhooks.HeaderWebhookID, id)
	h.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	var signatures []string
	for _, one := range s.signer {
		signature, err := one.Sign(id, now, body)
		if err != nil {
			return nil, err
		}
		signatures = append(signatures, signature)
	}
	if len(signatures) > 0 {
		h.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	}
	return request, nil
}

func (s *Sender) body(records []events.Record, dropped uint64) (body []byte, err error) {
	if !s.cfg.Batch {
		return records[0].AppendJSON(nil, dropped)
	}
	body = append(body, '[')
	for i := range records {
		if i > 0 {
			body, dropped = append(body, ','), 0
		}
		if body, err = records[i].AppendJSON(body, dropped); err != nil {
			return nil, err
		}
	}
	return append(body, ']'), nil
}

// Close closes unused connections.
func (s *Sender) Close() { s.client().CloseIdleConnections() }

// plain returns an error without the address, whose query may contain a secret.
func plain(err error) error {
	if of, ok := errors.AsType[*url.Error](err); ok {
		return of.Err
	}
	return err
}

// retryAfter parses a header Retry-After: seconds, or a time. It returns 0 for any other text.
func retryAfter(text string) time.Duration {
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		return time.Duration(min(n, 86400)) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return max(0, time.Until(at))
}
