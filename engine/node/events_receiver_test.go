//go:build chaos

package node

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/mootchat/moot/engine/cluster/redis/redistest"
	"github.com/mootchat/moot/engine/events/eventstest"
)

// mode is what a receiver does with requests.
type mode int

const (
	modeOK mode = iota
	modeSlow
	modeError
	modeBusy // 429 with Retry-After
	modeRedirect
	modeHalf     // the answer breaks off, after the events are stored
	modeClosed   // the connection breaks off before the events are stored
	modeWrongTLS // another certificate
	modeDown     // connections are closed at once
	modes
)

var modeNames = [modes]string{"works", "is slow", "answers 500", "answers 429", "redirects", "answers by half", "closes connections", "has another certificate", "is down"}

// badReceiver is a receiver of events that fails in every way.
type badReceiver struct {
	*httptest.Server
	name     string
	secret   string
	verifier *standardwebhooks.Webhook
	schema   *eventstest.Schema
	trap     *httptest.Server // to which it redirects
	wrong    tls.Certificate

	mu                        sync.Mutex
	mode                      mode
	ids                       map[string]bool
	keys                      map[string]bool
	sequences                 map[string]map[string]string // ids by room and sequence
	first                     map[string][]string          // sequences by room, in the order of the first arrivals
	received, repeats, failed int
	bad                       []string
}

// newBadReceiver returns a receiver, with TLS if it is to fail.
func newBadReceiver(t *testing.T, secure bool) *badReceiver {
	b := &badReceiver{name: "the steady receiver", secret: "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32))),
		ids: map[string]bool{}, keys: map[string]bool{}, sequences: map[string]map[string]string{}, first: map[string][]string{}}
	var err error
	if b.verifier, err = standardwebhooks.NewWebhook(b.secret); err == nil {
		b.schema, err = eventstest.ReadSchema()
	}
	if err != nil {
		t.Fatal(err)
	}
	b.trap = httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { b.fail("a redirect was followed") }))
	t.Cleanup(b.trap.Close)
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(b.serve))
	b.Config.ErrorLog = log.New(io.Discard, "", 0)
	b.Config.ConnState = func(c net.Conn, s http.ConnState) {
		if s == http.StateNew && b.is() == modeDown {
			_ = c.Close()
		}
	}
	if secure {
		b.name = "the failing receiver"
		b.wrong = otherCertificate(t)
		b.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			if b.is() != modeWrongTLS {
				return nil, nil
			}
			return &tls.Config{Certificates: []tls.Certificate{b.wrong}}, nil
		}}
		b.StartTLS()
	} else {
		b.Start()
	}
	t.Cleanup(func() { b.CloseClientConnections(); b.Close() })
	return b
}

// otherCertificate returns a certificate that no node trusts.
func otherCertificate(t *testing.T) tls.Certificate {
	cert, key := redistest.Certificate(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// sink returns the receiver's configuration of a sink.
func (b *badReceiver) sink() string {
	name, batch := "steady", 1
	if b.TLS != nil {
		name, batch = "failing", 100
	}
	return fmt.Sprintf("{ name: %s, url: '%s', secrets: [%s], timeout: 1s, batch: %d, kinds: [member.joined, member.left, room.created, sanction.set, message.published] }", name, b.URL, b.secret, batch)
}

func (b *badReceiver) is() mode {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mode
}

func (b *badReceiver) set(m mode) {
	b.mu.Lock()
	b.mode = m
	b.mu.Unlock()
	if m == modeDown || m == modeWrongTLS {
		b.CloseClientConnections()
	}
}

// disturb changes what the receiver does, until the round is over. Every fourth time or so it works.
func (b *badReceiver) disturb(r *eventRound, rng *rand.Rand) {
	for !r.over.Load() {
		m := mode(rng.IntN(int(modes) + 2))
		if m >= modes {
			m = modeOK
		}
		r.note("the receiver " + modeNames[m])
		b.set(m)
		most := 3 * time.Second
		if m == modeDown && rng.IntN(3) == 0 {
			most = time.Minute
		}
		for until := time.Now().Add(time.Duration(rng.Int64N(int64(most)))); time.Now().Before(until) && !r.over.Load(); {
			r.sleep(rng, 10*time.Millisecond, 100*time.Millisecond)
		}
	}
	b.set(modeOK)
}

func (b *badReceiver) fail(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bad = append(b.bad, what)
}

func (b *badReceiver) serve(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // the node was killed
	}
	if err := b.verifier.Verify(body, q.Header); err != nil {
		b.fail(err.Error())
	}
	m := b.is()
	switch m {
	case modeSlow:
		time.Sleep(700 * time.Millisecond)
	case modeError:
		w.WriteHeader(http.StatusInternalServerError)
	case modeBusy:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	case modeRedirect:
		http.Redirect(w, q, b.trap.URL, http.StatusTemporaryRedirect)
	case modeHalf:
		b.take(body)
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
	case modeClosed, modeDown, modeWrongTLS:
		panic(http.ErrAbortHandler)
	}
	if m == modeOK || m == modeSlow {
		b.take(body)
		return
	}
	b.mu.Lock()
	b.failed++
	b.mu.Unlock()
}

// take records the events of a request.
func (b *badReceiver) take(body []byte) {
	if body[0] != '[' {
		body = slices.Concat([]byte("["), body, []byte("]"))
	}
	var all []json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil {
		b.fail(err.Error())
	}
	for _, text := range all {
		var e struct {
			ID, Type, Sequence, Subject, Dropped string
			Data                                 struct{ Room, User, Message string }
		}
		err := json.Unmarshal(text, &e)
		if err == nil {
			err = b.schema.Check(text)
		}
		if err != nil {
			b.fail(err.Error())
			continue
		}
		key := map[string]string{"moot.sanction.set": e.Data.User, "moot.message.published": e.Data.Message}[e.Type]
		if key == "" {
			key = e.Data.Room
		}
		b.mu.Lock()
		b.received++
		if e.Dropped != "" {
			b.bad = append(b.bad, "events were dropped: "+string(text))
		}
		if b.ids[e.ID] {
			b.repeats++
		} else {
			b.first[e.Subject] = append(b.first[e.Subject], e.Sequence)
		}
		b.ids[e.ID], b.keys[e.Type+" "+key] = true, true
		if b.sequences[e.Subject] == nil {
			b.sequences[e.Subject] = map[string]string{}
		}
		if other := b.sequences[e.Subject][e.Sequence]; other != "" && other != e.ID {
			b.bad = append(b.bad, fmt.Sprintf("two events of %q have the sequence %s: %s and %s", e.Subject, e.Sequence, other, e.ID))
		}
		b.sequences[e.Subject][e.Sequence] = e.ID
		b.mu.Unlock()
	}
}

func (b *badReceiver) has(key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.keys[key]
}

// check checks that all requests were valid and, unless a failover may have changed them, that the sequences of each room have no gap, belong to one event
// each, and grow with the first arrivals.
func (b *badReceiver) check(r *eventRound) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, what := range b.bad {
		if !r.lossy || !strings.HasPrefix(what, "two events") {
			r.Errorf("%s: %s", b.name, what)
		}
	}
	if r.lossy {
		return
	}
	for room, all := range b.sequences {
		if last := fmt.Sprintf("%016d", len(all)); all[last] == "" {
			r.Errorf("%s: the sequences of %q have gaps: %d of them", b.name, room, len(all))
		}
		if !slices.IsSorted(b.first[room]) {
			r.Errorf("%s: the events of %q arrived in the order %q", b.name, room, b.first[room])
		}
	}
}
