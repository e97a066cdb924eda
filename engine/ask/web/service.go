package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/time/rate"

	"github.com/mootchat/moot/engine/ask"
	"github.com/mootchat/moot/engine/dial"
)

// service implements [ask.Service].
type service struct {
	key      key
	tenant   *tenant
	spec     Spec // without Headers
	headers  []headerField
	counters *counters
	used     atomic.Bool             // false: it was forgotten, and its answers are not kept
	requests atomic.Int64            // under way
	rate     *rate.Limiter           // nil: only the limit of the tenant
	common   atomic.Pointer[common]  // nil: no request was sent
	breaker  atomic.Pointer[breaker] // nil: no question was put

	mu      sync.Mutex
	guard   *dial.Guard // nil: no connection was made
	flights map[question]*flight
}

// headerField is a header of the configuration.
type headerField struct{ name, value string }

// common is what all requests to a service have in common. They do not change it.
type common struct {
	url     *url.URL
	header  http.Header
	secrets [][]byte // values of headers that no answer may contain
}

func newService(k key, t *tenant, spec Spec, c *counters) *service {
	s := &service{key: k, tenant: t, spec: spec, counters: c}
	s.used.Store(true)
	s.spec.Headers = nil
	for name, value := range spec.Headers {
		s.headers = append(s.headers, headerField{name, value})
	}
	if spec.Rate > 0 {
		s.rate = limiter(spec.Rate)
	}
	return s
}

// inCommon returns what requests have in common, which the first request makes.
func (s *service) inCommon() *common {
	if c := s.common.Load(); c != nil {
		return c
	}
	u, err := url.Parse(s.spec.URL)
	if err != nil { // spec.key has checked it
		u = new(url.URL)
	}
	c := &common{url: u, header: headerOf(s.spec.Method, s.headers)}
	for _, h := range s.headers {
		c.secrets = append(c.secrets, partsOf(h.value)...)
	}
	s.common.CompareAndSwap(nil, c)
	return s.common.Load()
}

// Ask implements [ask.Service].
func (s *service) Ask(ctx context.Context, body []byte) (ask.Answer, error) {
	s.counters.waiting.Add(1)
	defer s.counters.waiting.Add(-1)
	answer, err := s.answer(ctx, body)
	if err == nil {
		if answer.Cached {
			s.counters.cached.Add(1)
		}
		return answer, nil
	}
	if failure, ok := errors.AsType[*ask.Failure](err); ok {
		s.counters.failed[slices.Index(ask.Kinds(), failure.Kind)].Add(1)
	} else if _, busy := errors.AsType[*ask.BusyError](err); busy {
		s.counters.refused.Add(1)
	}
	return ask.Answer{}, err
}

func (s *service) answer(ctx context.Context, body []byte) (ask.Answer, error) {
	if len(body) > ask.MaxBody {
		return ask.Answer{}, &ask.Failure{Kind: ask.BadAnswer, Err: fmt.Errorf("the question has %d bytes, more than %d", len(body), ask.MaxBody)}
	}
	if s.spec.Cache == 0 {
		done, err := s.begin()
		if err != nil {
			return ask.Answer{}, err
		}
		return s.request(ctx, body, done)
	}
	q := question{s, sha256.Sum256(body)}
	if answer, ok := s.tenant.cache.get(q); ok {
		answer.Cached = true
		return answer, nil
	}
	return s.join(ctx, q, body)
}

// begin admits a request. The caller calls done with its error. A question that the open breaker refuses does not count in the limits.
func (s *service) begin() (done func(error), err error) {
	b := s.breakerOf()
	if b.State() == gobreaker.StateOpen {
		return nil, errOpen
	}
	if busy := s.tenant.admit(s); busy != nil {
		return nil, busy
	}
	if done, err = b.Allow(); err != nil {
		s.tenant.leave(s)
		return nil, errOpen
	}
	return done, nil
}

// request sends an admitted request.
func (s *service) request(ctx context.Context, body []byte, done func(error)) (answer ask.Answer, err error) {
	defer s.tenant.leave(s)
	timed, cancel := context.WithTimeoutCause(ctx, s.spec.Timeout, errTimeout)
	defer cancel()
	began := time.Now()
	answer, err = s.send(timed, body)
	s.counters.requests.Add(1)
	s.tenant.client.took.Observe(time.Since(began))
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	} else if err != nil && timed.Err() != nil {
		err = &ask.Failure{Kind: ask.Timeout, Err: fmt.Errorf("no answer within %v", s.spec.Timeout)}
	}
	done(err)
	return answer, err
}

// flight is a request that several askers wait for.
type flight struct {
	done   chan struct{} // closed when answer and err are set
	answer ask.Answer
	err    error
	cancel context.CancelFunc
	askers int // guarded by service.mu
}

// join waits for the request of a question that is under way, or starts it. The request ends when no asker waits for it.
func (s *service) join(ctx context.Context, q question, body []byte) (ask.Answer, error) {
	s.mu.Lock()
	f, first := s.flights[q], false
	if f != nil {
		if !s.tenant.share() {
			s.mu.Unlock()
			return ask.Answer{}, &ask.BusyError{Wait: busyTime(s.spec.Timeout)}
		}
		defer s.tenant.unshare()
	} else {
		done, err := s.begin()
		if err != nil {
			s.mu.Unlock()
			return ask.Answer{}, err
		}
		f, first = s.fly(ctx, q, bytes.Clone(body), done), true
	}
	f.askers++
	s.mu.Unlock()
	select {
	case <-f.done:
		answer := f.answer
		answer.Cached = !first
		return answer, f.err
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.askers--; f.askers == 0 {
		f.cancel()
		if s.flights[q] == f {
			delete(s.flights, q)
		}
	}
	return ask.Answer{}, ctx.Err()
}

// fly starts a request. The caller holds s.mu.
func (s *service) fly(ctx context.Context, q question, body []byte, done func(error)) *flight {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{done: make(chan struct{}), cancel: cancel}
	if s.flights == nil {
		s.flights = map[question]*flight{}
	}
	s.flights[q] = f
	s.tenant.client.work.Go(func() {
		defer cancel()
		f.answer, f.err = s.request(ctx, body, done)
		if f.err == nil {
			s.tenant.cache.put(q, f.answer, s.spec.Cache)
		}
		s.mu.Lock()
		if s.flights[q] == f {
			delete(s.flights, q)
		}
		s.mu.Unlock()
		close(f.done)
	})
	return f
}
