package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/mootchat/moot/engine/api"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/cluster/memory"
)

// slowRooms delays the listing of rooms until the test sends on goOn or closes it.
type slowRooms struct {
	cluster.Rooms
	begun chan context.Context
	goOn  chan struct{}
}

func (r *slowRooms) List(ctx context.Context, tenant string, q cluster.RoomQuery) ([]string, bool, error) {
	r.begun <- ctx
	<-r.goOn
	return r.Rooms.List(ctx, tenant, q)
}

// TestListingsOfAKeyAreBounded checks that a key has at most MaxListings listings in progress, and that other requests of the
// key and listings of other keys are answered meanwhile. It also checks that the context marks requests of operators.
func TestListingsOfAKeyAreBounded(t *testing.T) {
	c := memory.New().Node("one")
	slow := &slowRooms{c.Rooms, make(chan context.Context), make(chan struct{})}
	c.Rooms = slow
	n := start(t, c)
	const path = "/api/tenants/acme/rooms"
	var all sync.WaitGroup
	for range api.MaxListings {
		all.Go(func() {
			if status, answer := n.request("GET", path+"?counts=true", "", withKey(acmeKey)); status != http.StatusOK {
				t.Errorf("a listing: %d %s", status, answer)
			}
		})
		if ctx := <-slow.begun; !cluster.IsForOperator(ctx) {
			t.Error("the cluster is not told that an operator asks")
		}
	}
	for range 40 - api.MaxListings {
		n.refused(path, acmeKey)
	}
	if status, answer := n.request("GET", path+"/den", "", withKey(acmeKey)); status != http.StatusOK {
		t.Errorf("a room: %d %s", status, answer)
	}
	all.Go(func() {
		if status, answer := n.request("GET", path, ""); status != http.StatusOK {
			t.Errorf("a listing of the admin's: %d %s", status, answer)
		}
	})
	<-slow.begun
	close(slow.goOn)
	all.Wait()
	go func() { <-slow.begun }()
	if status, answer := n.request("GET", path, "", withKey(acmeKey)); status != http.StatusOK {
		t.Errorf("a listing after the others: %d %s", status, answer)
	}
}

// refused sends a request that must be refused with Retry-After.
func (n *node) refused(path, key string) {
	n.t.Helper()
	r := httptest.NewRequest("GET", "http://127.0.0.1:9090"+path, nil)
	r.Header.Set("Authorization", "Bearer "+key)
	w := httptest.NewRecorder()
	n.api.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || code(w.Body.String()) != api.CodeRateLimited {
		n.t.Errorf("one listing too many: %d, Retry-After %q, %s", w.Code, w.Header().Get("Retry-After"), w.Body)
	}
}

// TestTrialsOfAKeyAreBounded checks that a key has at most MaxTrials trials in progress, so that waiting trials take bounded
// memory, and that other requests of the key and trials of other keys are answered meanwhile.
func TestTrialsOfAKeyAreBounded(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan struct{})
	end := sync.OnceFunc(func() { close(ended) })
	defer end()
	var inProgress, most atomic.Int32
	most.Store(api.MaxTrials)
	n := alone(t, func(c *api.Config) {
		c.Trials = trialsFunc(func() (api.Tried, error) {
			defer inProgress.Add(-1)
			if inProgress.Add(1) > most.Load() {
				return api.Tried{}, nil // too many
			}
			begun <- struct{}{}
			<-ended
			return api.Tried{}, nil
		})
	})
	const path = "/api/tenants/acme/modules/m/trials"
	body := `{"event":{"hook":"say","x":[` + strings.Repeat("{},", 200_000) + `{}]}}`
	var all sync.WaitGroup
	try := func(key string) {
		all.Go(func() {
			if status, answer := n.request("POST", path, body, withKey(key)); status != http.StatusOK {
				t.Errorf("a trial: %d %s", status, answer)
			}
		})
		<-begun
	}
	for range api.MaxTrials {
		try(acmeKey)
	}
	for range 100 {
		if status, answer := n.request("POST", path, body, withKey(acmeKey)); status != http.StatusTooManyRequests || code(answer) != api.CodeRateLimited {
			t.Errorf("one trial too many: %d %s", status, answer)
			break
		}
	}
	if status, answer := n.request("GET", "/api/tenants/acme/rooms/den", "", withKey(acmeKey)); status != http.StatusOK {
		t.Errorf("a room: %d %s", status, answer)
	}
	most.Add(1)
	try(adminKey)
	end()
	all.Wait()
	try(acmeKey)
	all.Wait()
}

// TestListingsCostMoreThanOtherRequests checks that each listing counts as ListingPrice requests of its key.
func TestListingsCostMoreThanOtherRequests(t *testing.T) {
	for _, perSecond := range []int{1, 30} { // the burst is one listing, or twelve
		synctest.Test(t, func(t *testing.T) {
			n := alone(t, func(c *api.Config) { c.RequestsPerSecond = perSecond })
			for i := range max(1, 2*perSecond/api.ListingPrice) {
				if status, answer := n.request("GET", "/api/tenants/acme/rooms", "", withKey(acmeKey)); status != http.StatusOK {
					t.Fatalf("listing %d at %d requests a second: %d %s", i, perSecond, status, answer)
				}
			}
			n.refused("/api/tenants/acme/rooms", acmeKey)
			if status, answer := n.request("GET", "/api/tenants/default/rooms/lobby", ""); status != http.StatusOK {
				t.Fatalf("a request with another key: %d %s", status, answer)
			}
		})
	}
}
