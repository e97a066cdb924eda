// Package api is the HTTP interface of a node for operators and programs: the server API under /api, which the
// OpenAPI document at /api/openapi.json describes; /metrics; /health/live and /health/ready.
//
// The server API requires a key. A key has a role, and reaches everything or the paths /api/tenants/NAME of its tenants.
// The API gives the same answer for a resource that a key does not reach and for one that does not exist.
package api

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"golang.org/x/sync/singleflight"

	"github.com/mootchat/moot/engine"
)

// Config is the configuration of a Server.
type Config struct {
	Engine            *engine.Engine
	Rules             Rules         // nil: no reload and no rollback
	Modules           Modules       // nil: no modules
	Decisions         Decisions     // nil: no decisions are kept
	Values            Values        // nil: modules store no values
	Recorder          Recorder      // nil: no recordings
	Trials            Trials        // nil: no trials
	Events            Events        // nil: the API has no operations for sinks
	Asks              Asks          // nil: rules ask nothing
	Console           http.Handler  // the page at /, which asks for a key itself; nil: no page
	Version           string        // of the program
	Keys              []Key         // replaced by SetKeys
	Hosts             []string      // accepted names in Host, in lower case, besides localhost and IP addresses
	RequestsPerSecond int           // of each key, burst twice that; 0: 100
	AcceptFailures    func() uint64 // number of clients for which a listener had no file descriptor; nil: unknown
	PendingClosed     func() uint64 // number of connections without a client that were closed in place of new ones; nil: unknown
	Checks            []Check       // of /health/ready, besides those of the engine and the cluster

	// Each tenant in MetricsFor has metric series of its own. Up to MetricsTenants other tenants, the first ones with
	// activity, also have their own. The tenant "other" is the sum of the remaining ones. MetricsTenants 0: 100; below 0: none.
	MetricsTenants int
	MetricsFor     []string

	// Certificates returns the expiry of the certificate of each listener with TLS, by the setting of the listener,
	// such as "http". It may be nil.
	Certificates func() map[string]time.Time
	// RoundTrips returns the round trips of the node to Redis. It may be nil.
	RoundTrips func() []RoundTrip

	Log *slog.Logger // nil: slog.Default()
}

// Server is the server API of a node. Its methods may be called concurrently.
type Server struct {
	cfg     Config
	log     *slog.Logger
	started time.Time
	api     huma.API
	handler http.Handler
	streams streamCount
	keys    *keyring
	history *history
	desks   desks

	seen    atomic.Pointer[nodesSeen]
	looking singleflight.Group // of seen
}

// New returns a server, which answers requests through Serve or Handler.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, log: cfg.Log, started: time.Now()}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.cfg.RequestsPerSecond = cmp.Or(cfg.RequestsPerSecond, 100)
	s.keys = newKeyring(s.cfg.RequestsPerSecond, cfg.Keys...)
	s.cfg.Keys = nil
	s.history = &history{read: s.measure}
	mux := http.NewServeMux()
	s.api = humago.New(mux, describe(cfg.Version))
	s.api.OpenAPI().OnAddOperation = append(s.api.OpenAPI().OnAddOperation, showRole)
	s.operations()
	document, err := json.Marshal(s.api.OpenAPI())
	if err != nil {
		panic("api: the OpenAPI document: " + err.Error()) // the document consists of constants
	}
	mux.HandleFunc("GET /api/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(document) // the client may have gone
	})
	mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) { write(w, errNoEndpoint) })
	s.handler = s.guard(mux)
	return s
}

// Handler returns the handler of all paths.
func (s *Server) Handler() http.Handler { return s.handler }

// Limits of requests and connections.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 15 * time.Second
	writeTimeout  = 60 * time.Second
	idleTimeout   = 2 * time.Minute
	headerBytes   = 16 << 10
	maxSockets    = 512
)

// Serve answers requests on l until ctx ends; requests in progress then have one more second. Meanwhile it measures the node for
// the history. Serve closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	web := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytes, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ConnContext: onSocket,
	}
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(&limited{Listener: l}) }()
	ctx, stop := context.WithCancel(ctx)
	var measuring sync.WaitGroup
	measuring.Go(func() { s.history.run(ctx) })
	defer measuring.Wait()
	defer stop()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if web.Shutdown(last) != nil {
		_ = web.Close() // slow requests are aborted
	}
	<-ended
	return nil
}

const description = "The server API of Moot. Every error has the shape {\"error\":{\"code\",\"message\"}}. " +
	"Every time and duration is a number of milliseconds that may have a fraction: " +
	"a time, with the format `unix-ms`, counts from 1970-01-01 UTC; a duration has the format `duration-ms`."

// describe returns the configuration of huma: the header of the OpenAPI document, and JSON as the only format.
func describe(version string) huma.Config {
	c := huma.DefaultConfig("Moot", version)
	c.Info.Description = description
	c.OpenAPIPath, c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", "", nil
	c.RejectUnknownQueryParameters = true
	c.Transformers = []huma.Transformer{reshape}
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"key": {Type: "http", Scheme: "bearer"}}
	c.Security = []map[string][]string{{"key": {}}}
	return c
}
