package api_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mootchat/moot/engine/api"
)

// computing returns a node that calls f for each computation of its answer at path.
func computing(t *testing.T, path string, f func()) *node {
	var asked atomic.Bool // the first answer asks the nodes of the cluster, this one included, about their readiness
	call := func() {
		if asked.Load() {
			f()
		}
	}
	n := alone(t, func(c *api.Config) {
		if path == "/metrics" {
			c.Certificates = func() map[string]time.Time { call(); return nil }
		} else {
			c.Checks = []api.Check{{Name: "slow", Ready: func(context.Context) error { call(); return nil }}}
		}
	})
	n.request("GET", path, "")
	asked.Store(true)
	return n
}

// TestConcurrentScrapesShareOne checks that all requests during a computation of metrics or readiness
// share one further computation.
func TestConcurrentScrapesShareOne(t *testing.T) {
	for _, path := range []string{"/metrics", "/health/ready"} {
		synctest.Test(t, func(t *testing.T) {
			var computed atomic.Int64
			goOn := make(chan struct{})
			n := computing(t, path, func() { computed.Add(1); <-goOn })
			const requests = 50
			var all sync.WaitGroup
			for range requests {
				all.Go(func() {
					if status, answer := n.request("GET", path, ""); status != http.StatusOK || !strings.Contains(answer, "engine") && !strings.Contains(answer, "moot_open 1") {
						t.Errorf("%s: %d %.200s", path, status, answer)
					}
				})
			}
			synctest.Wait()
			if running := computed.Load(); running != 1 {
				t.Errorf("%s: %d computations at a time", path, running)
			}
			close(goOn)
			all.Wait()
			if computed.Load() > 2 {
				t.Errorf("%s: %d requests caused %d computations", path, requests, computed.Load())
			}
		})
	}
}

// TestScrapesHaveABoundedCost checks that continuous requests for metrics and readiness spend at most
// a tenth of the time in computations.
func TestScrapesHaveABoundedCost(t *testing.T) {
	for _, path := range []string{"/metrics", "/health/ready"} {
		synctest.Test(t, func(t *testing.T) {
			const each = 5 * time.Millisecond
			var worked time.Duration
			n := computing(t, path, func() { worked += each; time.Sleep(each) })
			start := time.Now()
			for range 20 {
				if status, answer := n.request("GET", path, ""); status != http.StatusOK {
					t.Fatalf("%s: %d %s", path, status, answer)
				}
			}
			if took := time.Since(start); worked > took/9 {
				t.Errorf("%s: %v of %v", path, worked, took)
			}
		})
	}
}

// TestARequestThatEndsHoldsUpNoOther checks that another request is answered after a request ends
// while it waits for the pause.
func TestARequestThatEndsHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := alone(t, func(c *api.Config) {
			c.Certificates = func() map[string]time.Time { time.Sleep(time.Second); return nil }
		})
		n.request("GET", "/metrics", "") // a pause of a second follows
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { n.request("GET", "/metrics", "", func(r *http.Request) { *r = *r.WithContext(ctx) }) })
		synctest.Wait()
		all.Go(func() {
			if status, answer := n.request("GET", "/metrics", ""); status != http.StatusOK || !strings.Contains(answer, "moot_open 1") {
				t.Errorf("%d %.200s", status, answer)
			}
		})
		synctest.Wait()
		cancel()
		all.Wait()
	})
}
