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

// guard lets through to the API, the metrics and the health checks who may ask.
// Host is looked at so that a page in an operator's browser, whose own name was
// made to mean this server, gets nothing from it.
func (s *Server) guard(api http.Handler) http.Handler {
	keys := newKeyring(s.cfg.Key, s.cfg.TenantKeys, s.cfg.RequestsPerSecond)
	wrong := newFailures(time.Now)
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		write(w, fault(http.StatusForbidden, CodeCrossOrigin, "cross-origin requests are not answered"))
	}))
	mux := http.NewServeMux()
	mux.Handle("GET /health/live", http.HandlerFunc(s.live))
	mux.Handle("GET /health/ready", s.ready(keys, wrong))
	mux.Handle("GET /metrics", s.metrics())
	mux.Handle("/api/", s.authorize(keys, wrong, api))
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
		if !s.knows(r.Host) && !strings.HasPrefix(r.URL.Path, "/health/") {
			write(w, fault(http.StatusMisdirectedRequest, CodeWrongHost, "this server is not asked by the name %.100q: add it to admin.hosts, or use an IP address", r.Host))
			return
		}
		inner.ServeHTTP(w, r)
	})
}

// knows says whether the server may be asked as host: as localhost, by an IP
// address, or by a name that the configuration has.
func (s *Server) knows(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	return host == "localhost" || slices.Contains(s.cfg.Hosts, host)
}

// authorize finds the key of a request, and who has it.
func (s *Server) authorize(keys keyring, wrong *failures, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k, f := keyOf(keys, wrong, w, r)
		if f != nil {
			write(w, f)
			return
		}
		if wait := k.pay(1); wait > 0 {
			tooMany(w, wait, "too many requests with this key: at most %d a second", s.cfg.RequestsPerSecond)
			return
		}
		began := time.Now()
		seen := &status{ResponseWriter: w, code: http.StatusOK}
		next.ServeHTTP(seen, r.WithContext(withKey(r.Context(), k)))
		if r.Method != http.MethodGet {
			s.log.Info("server API", "by", k.scope.String(), "method", r.Method, "path", r.URL.Path, "status", seen.code, "took", time.Since(began))
		}
	})
}

// keyOf is the key that the request shows. Addresses that show many wrong ones
// are not listened to for a while.
func keyOf(keys keyring, wrong *failures, w http.ResponseWriter, r *http.Request) (*key, *Fault) {
	address := addressOf(r)
	if wait := wrong.wait(address); wait > 0 {
		setRetryAfter(w, wait)
		return nil, fault(http.StatusTooManyRequests, CodeRateLimited, "too many wrong keys from this address")
	}
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		if k := keys.find(strings.TrimSpace(text)); k != nil {
			return k, nil
		}
		wrong.count(address)
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="moot"`)
	return nil, fault(http.StatusUnauthorized, CodeUnauthorized, "the API wants the header `Authorization: Bearer KEY` with the admin.key or a tenant's key of the configuration")
}

func tooMany(w http.ResponseWriter, wait time.Duration, format string, args ...any) {
	setRetryAfter(w, wait)
	write(w, fault(http.StatusTooManyRequests, CodeRateLimited, format, args...))
}

func setRetryAfter(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", seconds(wait))
}

// seconds is a time in the form of Retry-After.
func seconds(wait time.Duration) string {
	return strconv.Itoa(max(1, int((wait+time.Second-1)/time.Second)))
}

// within refuses operations that the key does not reach: those of other tenants,
// and those of no tenant but where the operation is for every key.
//
// What they wait for, they wait for in bounded time.
func (s *Server) within(ctx huma.Context, next func(huma.Context)) {
	f := s.refusal(ctx)
	if f == nil && ctx.Operation().Metadata[listing] == true {
		k := keyIn(ctx.Context())
		defer k.busy.Add(-1)
		f = s.tooManyListings(ctx, k)
	}
	if f != nil {
		ctx.SetHeader("Content-Type", "application/json")
		ctx.SetStatus(f.Status)
		_ = s.api.Marshal(ctx.BodyWriter(), "application/json", f) // who asked may have gone
		return
	}
	ctx = huma.WithContext(ctx, cluster.ForOperator(ctx.Context()))
	if ctx.Operation().Metadata[streams] == true {
		next(ctx)
		return
	}
	wait := patience
	if ctx.Operation().Metadata[loadsModules] == true {
		wait += loading
	}
	limited, cancel := context.WithTimeout(ctx.Context(), wait)
	defer cancel()
	next(huma.WithContext(ctx, limited))
}

func (s *Server) refusal(ctx huma.Context) *Fault {
	who, ok := scopeOf(ctx.Context())
	tenant := ctx.Param("tenant")
	everyKey := ctx.Operation().Metadata[forEveryKey] == true
	switch {
	case !ok || who.tenant != "" && !everyKey && who.tenant != tenant:
		return fault(http.StatusForbidden, CodeForbidden, "this key reaches /api/tenants/%s alone", who.tenant)
	case tenant != "" && !s.cfg.Engine.HasTenant(tenant):
		return fault(http.StatusNotFound, CodeNoTenant, "no such tenant: %.63q", tenant)
	}
	return nil
}

// tooManyListings begins a listing, and refuses it where the key asks for too many.
func (s *Server) tooManyListings(ctx huma.Context, k *key) *Fault {
	if k.busy.Add(1) > MostListings {
		ctx.SetHeader("Retry-After", "1")
		return fault(http.StatusTooManyRequests, CodeRateLimited, "%d listings with this key are under way: wait for one to end", MostListings)
	}
	if wait := k.pay(min(ListingPrice, k.pace.Burst()) - 1); wait > 0 {
		ctx.SetHeader("Retry-After", seconds(wait))
		return fault(http.StatusTooManyRequests, CodeRateLimited, "too many listings with this key: each counts as %d requests, of which there may be %d a second", ListingPrice, s.cfg.RequestsPerSecond)
	}
	return nil
}

// A listing costs ListingPrice of its key's rate, and a key has at most
// MostListings under way at once.
const (
	ListingPrice = 5
	MostListings = 8
)

// listing marks operations that give pages, or ask all nodes.
const listing = "listing"

// forEveryKey marks operations of no tenant that tenants' keys may ask too: what
// they answer is of the key's tenant only.
const forEveryKey = "every key"

// loadsModules marks operations that take their time.
const loadsModules = "loads modules"

// status remembers what was answered.
type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

// Unwrap serves http.ResponseController.
func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }
