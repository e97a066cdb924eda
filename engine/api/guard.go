package api

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/engine/cluster"
)

// guard checks each request before it reaches the API, the metrics, the health checks or the console. It checks
// Host so that a page in an operator's browser cannot reach the server by a name that resolves to it (DNS
// rebinding).
func (s *Server) guard(api http.Handler) http.Handler {
	wrong := newFailures(time.Now)
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		write(w, fault(http.StatusForbidden, CodeCrossOrigin, "cross-origin requests are refused"))
	}))
	mux := http.NewServeMux()
	mux.Handle("GET /health/live", http.HandlerFunc(s.live))
	mux.Handle("GET /health/ready", s.ready(wrong))
	mux.Handle("GET /metrics", s.metrics())
	mux.Handle("/api/", s.authorize(wrong, api))
	if s.cfg.Console != nil {
		mux.Handle("/", s.cfg.Console)
	} else {
		mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { write(w, errNoEndpoint) })
	}
	inner := origins.Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		if !s.accepts(r.Host) && !strings.HasPrefix(r.URL.Path, "/health/") {
			write(w, fault(http.StatusMisdirectedRequest, CodeWrongHost, "unknown host %.100q: add it to admin.hosts, or use an IP address", r.Host))
			return
		}
		inner.ServeHTTP(w, r)
	})
}

// accepts reports whether a Host is accepted: localhost, an IP address, or a name in admin.hosts.
func (s *Server) accepts(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	return host == "localhost" || slices.Contains(s.cfg.Hosts, host)
}

// authorize finds the key of a request. It refuses a request that has no valid key or exceeds the rate of its key.
// It logs each write with the name of the key.
func (s *Server) authorize(wrong *failures, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k, f := s.keyOf(wrong, w, r)
		if f != nil {
			write(w, f)
			return
		}
		if wait := k.pay(1); wait > 0 {
			tooMany(w, wait, "too many requests with this key: at most %d per second", s.cfg.RequestsPerSecond)
			return
		}
		began := time.Now()
		seen := &status{ResponseWriter: w, code: http.StatusOK}
		next.ServeHTTP(seen, r.WithContext(withKey(r.Context(), k)))
		if r.Method != http.MethodGet {
			s.log.Info("server API", "by", k.name, "role", string(k.role), "method", r.Method, "path", r.URL.Path, "status", seen.code, "took", time.Since(began))
		}
	})
}

// keyOf returns the key of a request. It refuses addresses that have sent many wrong keys, for a limited time, except with a
// key that they have sent before: so other clients behind the same address do not lock out those with a key.
func (s *Server) keyOf(wrong *failures, w http.ResponseWriter, r *http.Request) (*key, *Fault) {
	address := addressOf(r)
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	bearer := strings.EqualFold(scheme, "Bearer")
	var k *key
	if bearer {
		k = s.keys.find(strings.TrimSpace(text))
	}
	if wait := wrong.wait(address); wait > 0 && (k == nil || !k.wasUsedBy(address)) {
		setRetryAfter(w, wait)
		return nil, fault(http.StatusTooManyRequests, CodeRateLimited, "too many wrong keys from this address")
	}
	if k != nil {
		k.usedBy(address)
		markSocket(r.Context(), k)
		return k, nil
	}
	if bearer {
		wrong.count(address)
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="moot"`)
	return nil, fault(http.StatusUnauthorized, CodeUnauthorized, "the API requires the header `Authorization: Bearer KEY` with admin.key, or a key of admin.keys or admin.tenantKeys")
}

func tooMany(w http.ResponseWriter, wait time.Duration, format string, args ...any) {
	setRetryAfter(w, wait)
	write(w, fault(http.StatusTooManyRequests, CodeRateLimited, format, args...))
}

func setRetryAfter(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", seconds(wait))
}

// seconds formats a time for Retry-After.
func seconds(wait time.Duration) string {
	return strconv.Itoa(max(1, int((wait+time.Second-1)/time.Second)))
}

// within refuses operations that the key does not reach: those of other tenants, those of no tenant unless the operation
// is for every key, and those that need another role. For all other operations it limits the time, the listings and the trials before their bodies are read.
func (s *Server) within(ctx huma.Context, next func(huma.Context)) {
	f := s.refusal(ctx)
	if f == nil && ctx.Operation().Metadata[listing] == true {
		k := keyIn(ctx.Context())
		defer k.busy.Add(-1)
		f = s.tooManyListings(ctx, k)
	}
	if f == nil && ctx.Operation().Metadata[trying] == true {
		k := keyIn(ctx.Context())
		defer k.tries.Add(-1)
		if k.tries.Add(1) > maxTrials {
			ctx.SetHeader("Retry-After", "1")
			f = fault(http.StatusTooManyRequests, CodeRateLimited, "%d trials with this key are in progress: wait for one to end", maxTrials)
		}
	}
	if f != nil {
		ctx.SetHeader("Content-Type", "application/json")
		ctx.SetStatus(f.Status)
		_ = s.api.Marshal(ctx.BodyWriter(), "application/json", f) // the client may have gone
		return
	}
	ctx = huma.WithContext(ctx, cluster.ForOperator(ctx.Context()))
	if ctx.Operation().Metadata[streams] == true {
		next(ctx)
		return
	}
	wait := requestTimeout
	if ctx.Operation().Metadata[loadsModules] == true {
		wait += loadTimeout
	}
	limited, cancel := context.WithTimeout(ctx.Context(), wait)
	defer cancel()
	next(huma.WithContext(ctx, limited))
}

func (s *Server) refusal(ctx huma.Context) *Fault {
	k := keyIn(ctx.Context())
	tenant, operation := ctx.Param("tenant"), ctx.Operation()
	everyKey := operation.Metadata[forEveryKey] == true
	least := leastRole(operation.OperationID)
	switch {
	case k == nil:
		return fault(http.StatusForbidden, CodeForbidden, "the request has no key")
	case !everyKey && !k.reaches(tenant):
		return fault(http.StatusForbidden, CodeForbidden, "this key reaches only /api/tenants/NAME of %s", k.shown())
	case k.role.rank() < least.rank():
		return fault(http.StatusForbidden, CodeForbidden, "this key has the role %s; %s needs %s", k.role, operation.OperationID, least)
	case tenant != "" && !s.cfg.Engine.HasTenant(tenant):
		return fault(http.StatusNotFound, CodeNoTenant, "no such tenant: %.63q", tenant)
	}
	return nil
}

// tooManyListings counts a listing of the key and refuses it if the key has reached a limit.
func (s *Server) tooManyListings(ctx huma.Context, k *key) *Fault {
	if k.busy.Add(1) > maxListings {
		ctx.SetHeader("Retry-After", "1")
		return fault(http.StatusTooManyRequests, CodeRateLimited, "%d listings with this key are running: wait for one to end", maxListings)
	}
	if wait := k.pay(min(listingPrice, k.pace.Burst()) - 1); wait > 0 {
		ctx.SetHeader("Retry-After", seconds(wait))
		return fault(http.StatusTooManyRequests, CodeRateLimited, "too many listings with this key: each counts as %d of its %d requests per second", listingPrice, s.cfg.RequestsPerSecond)
	}
	return nil
}

// A listing counts as listingPrice requests of its key. A key may have at most maxListings listings in progress.
const (
	listingPrice = 5
	maxListings  = 8
)

// listing marks operations that return pages or ask all nodes.
const listing = "listing"

// forEveryKey marks operations without a tenant in the path that keys of tenants may call. They answer for the tenants of the key.
const forEveryKey = "every key"

// trying marks trials. A decoded event takes many times the memory of its JSON, and it stays in memory while the trial waits.
const trying = "trying"

// maxTrials is the number of trials that a key may have in progress.
const maxTrials = 4

// loadsModules marks operations with a longer timeout.
const loadsModules = "loads modules"

// status records the status of an answer.
type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

// Unwrap returns the inner writer, for http.ResponseController.
func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }
