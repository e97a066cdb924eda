package web

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine/ask"
)

// TestABreakerOpensWithinASecond asks a service that is down a hundred times a second. Its breaker opens within a second, nothing grows while it
// is open, and it closes after the service has come back.
func TestABreakerOpensWithinASecond(t *testing.T) {
	for name, hangs := range map[string]bool{"no connection": false, "no answer": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var down atomic.Bool
				down.Store(true)
				c, p := connected(t, Limits{}, nil)
				p.handle = func(conn net.Conn) {
					if down.Load() {
						_, _ = io.Copy(io.Discard, conn)
						return
					}
					p.answering(time.Millisecond, ok)(conn)
				}
				p.refuse.Store(!hangs)
				s := c.must(t, "acme", "score", Spec{URL: "http://service.example.com/", Timeout: 500 * time.Millisecond})
				var all sync.WaitGroup
				say := func(n int, check func(error)) {
					for i := range n {
						all.Go(func() {
							_, err := s.Ask(t.Context(), fmt.Appendf(nil, "%d", i))
							check(err)
						})
						time.Sleep(10 * time.Millisecond)
					}
				}
				say(100, func(error) {})
				all.Wait()
				if !s.open() {
					t.Fatal("the breaker is not open after a second")
				}
				dialed, goroutines := p.dialed.Load(), runtime.NumGoroutine()
				say(200, func(err error) {
					if kindOf(err) != ask.Open {
						t.Errorf("got %v", err)
					}
				})
				all.Wait()
				synctest.Wait()
				if p.dialed.Load() != dialed || runtime.NumGoroutine() > goroutines || c.requests.Load() != 0 || len(s.flights) != 0 {
					t.Errorf("%d connections more, %d goroutines instead of %d, %d requests", p.dialed.Load()-dialed, runtime.NumGoroutine(), goroutines, c.requests.Load())
				}
				down.Store(false)
				p.refuse.Store(false)
				time.Sleep(breakerCooldown)
				for i := range breakerProbes {
					if _, err := s.Ask(t.Context(), nil); err != nil {
						t.Errorf("probe %d: %v", i, err)
					}
				}
				if s.open() {
					t.Error("the breaker is open although the probes succeeded")
				}
				p.end(c)
			})
		})
	}
}

// TestAskersThatLeaveDoNotOpenTheBreaker checks that a client that disconnects again and again cannot make a service count as failing.
func TestAskersThatLeaveDoNotOpenTheBreaker(t *testing.T) {
	for _, cache := range []time.Duration{0, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			c, p := connected(t, Limits{}, nil)
			p.handle = p.answering(100*time.Millisecond, ok)
			s := c.must(t, "acme", "score", Spec{URL: "http://service.example.com/", Cache: cache})
			for i := range 40 {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				if i%2 == 0 {
					time.AfterFunc(10*time.Millisecond, cancel)
				}
				_, err := s.Ask(ctx, fmt.Appendf(nil, "%d", i))
				if err != ctx.Err() || err == nil { //nolint:errorlint // as it is
					t.Errorf("got %v", err)
				}
				cancel()
			}
			synctest.Wait()
			if s.open() || c.requests.Load() != 0 {
				t.Errorf("open %v, %d requests", s.open(), c.requests.Load())
			}
			if _, err := s.Ask(t.Context(), nil); err != nil {
				t.Error(err)
			}
			p.end(c)
		})
	}
}

// TestQuestionsThatAServiceRejectsDoNotOpenTheBreaker checks that nobody can open the breaker with messages that a service answers with 4xx.
func TestQuestionsThatAServiceRejectsDoNotOpenTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := connected(t, Limits{}, nil)
		p.handle = p.answering(0, func(*http.Request, []byte) string { return plainAnswer("422 No", "{}") })
		s := c.must(t, "acme", "score", Spec{URL: "http://service.example.com/"})
		for range 50 {
			if answer, err := s.Ask(t.Context(), nil); err != nil || answer.Status != 422 {
				t.Fatalf("got %+v, %v", answer, err)
			}
		}
		p.end(c)
	})
}

// TestAFloodIsRefused checks each bound: a question over it is refused with a time, and is not a failure, so that onError does not apply.
func TestAFloodIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		node   Limits
		tenant TenantLimits
		spec   Spec
		want   int // questions that are asked, of 40 at once
	}{
		"requests of the service": {spec: Spec{Requests: 8}, want: 8},
		"requests of the tenant":  {spec: Spec{Requests: 100}, tenant: TenantLimits{Requests: 10}, want: 10},
		"requests of the node":    {spec: Spec{Requests: 100}, node: Limits{Requests: 24}, want: 12},
		"rate of the service":     {spec: Spec{Requests: 100, Rate: 3}, want: 6},
		"rate of the tenant":      {spec: Spec{Requests: 100}, tenant: TenantLimits{Rate: 5}, want: 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p := connected(t, test.node, nil)
				p.handle = p.answering(time.Second/2, ok)
				test.spec.URL, test.spec.Timeout = "http://service.example.com/", 2*time.Second
				s := c.must(t, "acme", "score", test.spec)
				other := c.must(t, "other", "score", Spec{URL: "http://service.example.com/"})
				c.Configure(test.node, map[string]Use{"acme": {test.tenant, []ask.Service{s}}, "other": {TenantLimits{}, []ask.Service{other}}})
				var answered, refused atomic.Int32
				var all sync.WaitGroup
				for range 40 {
					all.Go(func() {
						switch _, err := s.Ask(t.Context(), nil); {
						case err == nil:
							answered.Add(1)
						case busy(err) > 0 && kindOf(err) == "":
							refused.Add(1)
						default:
							t.Errorf("got %v", err)
						}
					})
				}
				synctest.Wait()
				if _, err := other.Ask(t.Context(), nil); err != nil {
					t.Errorf("another tenant: %v", err)
				}
				all.Wait()
				if int(answered.Load()) != test.want || int(answered.Load()+refused.Load()) != 40 {
					t.Errorf("%d questions were answered and %d refused, want %d", answered.Load(), refused.Load(), test.want)
				}
				time.Sleep(10 * time.Second)
				if _, err := s.Ask(t.Context(), nil); err != nil {
					t.Errorf("after the flood: %v", err)
				}
				p.end(c)
			})
		})
	}
}

// TestATenantThatAsksAllDay floods a slow service from some tenants, for twenty minutes. Another tenant is answered all the time.
func TestATenantThatAsksAllDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := connected(t, Limits{Requests: 64}, nil)
		p.handle = p.answering(9*time.Second, ok)
		quiet := &pipes{ctx: p.ctx}
		quiet.handle = quiet.answering(time.Millisecond, ok)
		c.connect = func(ctx context.Context, network, address string) (net.Conn, error) {
			if strings.HasPrefix(address, "quiet.") {
				return quiet.dial(ctx, network, address)
			}
			return p.dial(ctx, network, address)
		}
		var stop atomic.Bool
		var all sync.WaitGroup
		for tenant := range 3 {
			s := c.must(t, fmt.Sprint("hostile", tenant), "score", Spec{URL: "http://slow.example.com/", Timeout: 10 * time.Second, Requests: 1000, Cache: time.Hour})
			for i := range 100 {
				all.Go(func() {
					for n := 0; !stop.Load(); n++ {
						if _, err := s.Ask(t.Context(), fmt.Appendf(nil, "%d %d", i, n)); err != nil {
							time.Sleep(max(busy(err), 10*time.Millisecond))
						}
					}
				})
			}
		}
		s := c.must(t, "quiet", "score", Spec{URL: "http://quiet.example.com/"})
		for range 1200 {
			time.Sleep(time.Second)
			if _, err := s.Ask(t.Context(), nil); err != nil {
				t.Fatalf("the quiet tenant: %v", err)
			}
		}
		synctest.Wait()
		if n, bytes := c.conns.Load(), c.cached.Load(); n > connsOf(64) || bytes > 64<<20 {
			t.Errorf("%d connections, %d bytes in caches", n, bytes)
		}
		stop.Store(true)
		all.Wait()
		p.end(c)
	})
}

// TestAnEndedConnectionIsReplaced checks that a question is put again if the service closes a connection that was used before.
func TestAnEndedConnectionIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := connected(t, Limits{}, func(conn net.Conn) {
			in := bufio.NewReader(conn)
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.ReadAll(r.Body)
			_, _ = io.WriteString(conn, ok(r, nil))
			_, _ = http.ReadRequest(in) // the next one is not answered
		})
		s := c.must(t, "acme", "score", Spec{URL: "http://service.example.com/"})
		for range 5 {
			if _, err := s.Ask(t.Context(), []byte("{}")); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		if p.dialed.Load() != 5 {
			t.Errorf("%d connections", p.dialed.Load())
		}
		p.end(c)
	})
}

func TestAQuestionIsBounded(t *testing.T) {
	c := client(t, Limits{})
	s := c.must(t, "acme", "score", Spec{URL: "http://127.0.0.1:1/"})
	if _, err := s.Ask(t.Context(), make([]byte, ask.MaxBody+1)); kindOf(err) != ask.BadAnswer {
		t.Errorf("got %v", err)
	}
	if c.requests.Load() != 0 {
		t.Error("it was sent")
	}
}
