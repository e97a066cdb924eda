package web

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine/ask"
)

func echo(_ *http.Request, body []byte) string { return plainAnswer("200 OK", string(body)) }

// TestAnswersAreUsedAgain checks the cache: by body, for its time, and not for failures.
func TestAnswersAreUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := connected(t, Limits{}, nil)
		status := "200 OK"
		p.handle = p.answering(time.Millisecond, func(_ *http.Request, body []byte) string { return plainAnswer(status, string(body)) })
		s := c.must(t, "acme", "score", Spec{URL: "http://service.example.com/", Cache: time.Minute})
		put := func(body string, cached bool, asked int32) {
			t.Helper()
			answer, err := s.Ask(t.Context(), []byte(body))
			if err != nil || string(answer.Body) != body || answer.Cached != cached || p.asked.Load() != asked {
				t.Errorf("%s: %+v, %v, %d requests", body, answer, err, p.asked.Load())
			}
		}
		put("1", false, 1)
		put("1", true, 1)
		put("2", false, 2)
		time.Sleep(59 * time.Second)
		put("1", true, 2)
		time.Sleep(2 * time.Second)
		put("1", false, 3)
		status = "503 X"
		for n := range int32(2) {
			if _, err := s.Ask(t.Context(), []byte("3")); kindOf(err) != ask.Status || p.asked.Load() != 4+n {
				t.Errorf("got %v, %d requests", err, p.asked.Load())
			}
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if c.cached.Load() != 0 || s.tenant.cache.known != nil || s.tenant.cache.sweep != nil {
			t.Errorf("%d bytes are in the cache after its time", c.cached.Load())
		}
		p.end(c)
	})
}

// TestAskersOfTheSameQuestionShareARequest checks that a request goes on when the asker that began it leaves, and ends when all have left.
func TestAskersOfTheSameQuestionShareARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := connected(t, Limits{}, nil)
		p.handle = p.answering(100*time.Millisecond, echo)
		s := c.must(t, "acme", "score", Spec{URL: "http://service.example.com/", Cache: time.Minute, Requests: 1})
		var all sync.WaitGroup
		first, leave := context.WithCancel(t.Context())
		all.Go(func() {
			if _, err := s.Ask(first, []byte("1")); err != context.Canceled { //nolint:errorlint // as it is
				t.Errorf("the first: %v", err)
			}
		})
		synctest.Wait()
		body := []byte("1")
		for range 50 {
			all.Go(func() {
				if answer, err := s.Ask(t.Context(), body); err != nil || string(answer.Body) != "1" || !answer.Cached {
					t.Errorf("%+v, %v", answer, err)
				}
			})
		}
		synctest.Wait()
		leave()
		all.Wait()
		if p.asked.Load() != 1 {
			t.Errorf("%d requests", p.asked.Load())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		for range 5 {
			all.Go(func() { _, _ = s.Ask(ctx, []byte("2")) })
		}
		all.Wait()
		synctest.Wait()
		if len(s.flights) != 0 || c.requests.Load() != 0 || c.conns.Load() != 0 {
			t.Errorf("%d requests and %d connections without an asker", c.requests.Load(), c.conns.Load())
		}
		if answer, err := s.Ask(t.Context(), []byte("2")); err != nil || answer.Cached {
			t.Errorf("%+v, %v", answer, err)
		}
		p.end(c)
	})
}

// TestAskersThatShareARequestAreBounded checks how many askers of a tenant, and of all tenants, may wait for one request, and that others can wait
// after it has ended.
func TestAskersThatShareARequestAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := Limits{Requests: 4}
		c, p := connected(t, limits, nil)
		p.handle = p.answering(time.Second, echo)
		services, use := map[string]*service{}, map[string]Use{}
		for _, tenant := range []string{"small", "large", "other"} {
			services[tenant] = c.must(t, tenant, "score", Spec{URL: "http://service.example.com/", Cache: time.Minute, Timeout: 10 * time.Second})
			use[tenant] = Use{TenantLimits{Requests: 100, Rate: 1e6}, []ask.Service{services[tenant]}}
		}
		use["small"] = Use{TenantLimits{Requests: 1, Rate: 1e6}, use["small"].Services}
		c.Configure(limits, use)
		for range 2 {
			var all sync.WaitGroup
			busies := map[string]*atomic.Int32{}
			for _, tenant := range []string{"small", "large", "other"} {
				n := new(atomic.Int32)
				busies[tenant] = n
				for range 101 {
					all.Go(func() {
						if _, err := services[tenant].Ask(t.Context(), []byte("1")); busy(err) > 0 {
							n.Add(1)
						} else if err != nil {
							t.Error(err)
						}
					})
				}
				synctest.Wait()
			}
			all.Wait()
			// 64 of all tenants: 16 of small, half of the rest of large, half of the rest of other.
			for tenant, want := range map[string]int32{"small": 100 - 16, "large": 100 - 24, "other": 100 - 12} {
				if n := busies[tenant].Load(); n != want {
					t.Errorf("%d askers of %s are refused, want %d", n, tenant, want)
				}
			}
			time.Sleep(2 * time.Minute)
		}
		if c.sharing.Load() != 0 {
			t.Errorf("%d askers are left", c.sharing.Load())
		}
		p.end(c)
	})
}

// TestCachesAreBounded checks the bounds of a tenant and of a node, and that one tenant leaves place for others.
func TestCachesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := Limits{CacheBytes: 300_000}
		c, p := connected(t, limits, nil)
		p.handle = p.answering(0, func(*http.Request, []byte) string { return plainAnswer("200 OK", `"`+strings.Repeat("a", 9998)+`"`) })
		services, use := map[string]*service{}, map[string]Use{}
		for tenant, bytes := range map[string]int64{"small": 25_000, "large": 1 << 30, "other": 1 << 30} {
			services[tenant] = c.must(t, tenant, "score", Spec{URL: "http://service.example.com/", Cache: time.Hour})
			use[tenant] = Use{TenantLimits{CacheBytes: bytes, Rate: 1e6}, []ask.Service{services[tenant]}}
		}
		c.Configure(limits, use)
		fill := func(tenant string, n int) {
			for i := range n {
				if _, err := services[tenant].Ask(t.Context(), fmt.Appendf(nil, "%d", i)); err != nil {
					t.Fatal(err)
				}
			}
		}
		fill("small", 10)
		fill("large", 100)
		fill("other", 100)
		for tenant, want := range map[string]int{"small": 2, "large": 13, "other": 7} {
			if n := len(services[tenant].tenant.cache.known); n != want {
				t.Errorf("%s has %d answers, want %d", tenant, n, want)
			}
		}
		asked := p.asked.Load()
		for _, i := range []string{"99", "0"} { // the last is there, the first is not
			_, _ = services["large"].Ask(t.Context(), []byte(i))
		}
		if p.asked.Load() != asked+1 {
			t.Errorf("%d requests", p.asked.Load()-asked)
		}
		p.end(c)
		if c.cached.Load() != 0 {
			t.Errorf("%d bytes are left", c.cached.Load())
		}
	})
}

// TestAReloadKeepsWhatIsUnchanged checks that a service with the same spec keeps its cache and its breaker, that a changed one is new, and that
// a forgotten one still answers.
func TestAReloadKeepsWhatIsUnchanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := connected(t, Limits{}, nil)
		p.handle = p.answering(0, ok)
		spec := func(token string) Spec {
			return Spec{URL: "http://service.example.com/", Cache: time.Hour, Headers: map[string]string{"authorization": token}}
		}
		s := c.must(t, "acme", "score", spec("a"))
		must := func(s *service) {
			t.Helper()
			if _, err := s.Ask(t.Context(), nil); err != nil {
				t.Error(err)
			}
		}
		must(s)
		if c.must(t, "acme", "score", spec("a")) != s {
			t.Error("the same spec makes another service")
		}
		next := c.must(t, "acme", "score", spec("b"))
		if next == s || c.must(t, "other", "score", spec("a")) == s || c.must(t, "acme", "other", spec("a")) == s {
			t.Error("another spec, tenant or name has the same service")
		}
		must(next)
		c.Configure(Limits{}, map[string]Use{"acme": {Services: []ask.Service{next}}})
		if got := len(c.tenants["acme"].services); got != 1 || len(c.tenants) != 1 {
			t.Errorf("%d services, %d tenants", got, len(c.tenants))
		}
		if all := c.Stats(); len(all) != 1 || all[0].Tenant != "acme" || all[0].Name != "score" || all[0].Requests != 2 {
			t.Errorf("the numbers are %+v", all)
		}
		must(s)
		if p.asked.Load() != 3 {
			t.Errorf("%d requests", p.asked.Load())
		}
		if c.must(t, "acme", "score", spec("b")) != next {
			t.Error("the service in use was forgotten")
		}
		c.Configure(Limits{}, nil)
		must(next)
		p.end(c)
	})
}

// TestAForgottenServiceKeepsNoAnswer checks that the answers of services and tenants that a reload has forgotten take no memory, also if the
// requests were under way.
func TestAForgottenServiceKeepsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := connected(t, Limits{}, nil)
		p.handle = p.answering(time.Second, ok)
		spec := Spec{URL: "http://service.example.com/", Cache: 24 * time.Hour, Timeout: 10 * time.Second}
		one, other, gone := c.must(t, "acme", "one", spec), c.must(t, "acme", "other", spec), c.must(t, "gone", "one", spec)
		var asking sync.WaitGroup
		for _, s := range []*service{one, other, gone} {
			asking.Go(func() {
				if _, err := s.Ask(t.Context(), nil); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		c.Configure(Limits{}, map[string]Use{"acme": {Services: []ask.Service{one}}})
		asking.Wait()
		synctest.Wait()
		if n, want := c.cached.Load(), int64(13+overhead); n != want || len(one.tenant.cache.known) != 1 {
			t.Errorf("the caches have %d bytes, want %d", n, want)
		}
		p.end(c)
	})
}

// TestForgottenServicesAreUsedAgain rolls back to a configuration whose services were forgotten: their numbers are shown, their answers are kept
// and the limits of the tenant apply.
func TestForgottenServicesAreUsedAgain(t *testing.T) {
	for name, next := range map[string]func(c *Client) map[string]Use{
		"after another spec": func(c *Client) map[string]Use {
			s := c.must(t, "acme", "score", Spec{URL: "http://other.example.com/"})
			return map[string]Use{"acme": {Services: []ask.Service{s}}}
		},
		"after a time without the tenant": func(*Client) map[string]Use { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p := connected(t, Limits{}, nil)
				p.handle = p.answering(0, ok)
				s := c.must(t, "acme", "score", Spec{URL: "http://service.example.com/", Cache: time.Hour})
				before := map[string]Use{"acme": {Services: []ask.Service{s}}}
				c.Configure(Limits{}, before)
				c.Configure(Limits{}, next(c))
				before["acme"] = Use{TenantLimits{Rate: 7}, before["acme"].Services}
				c.Configure(Limits{}, before)
				for range 2 {
					if _, err := s.Ask(t.Context(), nil); err != nil {
						t.Error(err)
					}
				}
				if all := c.Stats(); len(all) != 1 || all[0].Requests != 1 || all[0].Cached != 1 {
					t.Errorf("the numbers are %+v", all)
				}
				if again := c.must(t, "acme", "score", Spec{URL: "http://service.example.com/", Cache: time.Hour}); again != s || s.tenant.limits.Load().Rate != 7 {
					t.Errorf("another service, or other limits: %+v", s.tenant.limits.Load())
				}
				p.end(c)
			})
		})
	}
}
