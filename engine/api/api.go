// Package api is what operators and other programs ask of a node over HTTP: the
// server API under /api, described by the OpenAPI document at /api/openapi.json;
// /metrics; /health/live and /health/ready.
//
// The API asks for a key: the admin key, which may do everything, or a tenant's,
// which reaches what lies under /api/tenants/NAME alone. What a key may not reach
// looks the same whether it is there or not.
package api

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/singleflight"

	"github.com/mootchat/moot/engine"
)

// Config is what a Server is made of.
type Config struct {
	Engine            *engine.Engine
	Rules             Rules             // nil: there is nothing to reload
	Modules           Modules           // nil: there are none
	Decisions         Decisions         // nil: none are kept
	Values            Values            // nil: modules keep none
	Recorder          Recorder          // nil: nothing can be recorded
	Trials            Trials            // nil: modules cannot be tried
	Console           http.Handler      // the page at /, which asks for a key itself; nil: there is none
	Version           string            // of the program
	Key               string            // of the admin; not empty
	TenantKeys        map[string]string // by tenant; each is a key of its own
	Hosts             []string          // names it may be asked by, in lower case, besides localhost and IP addresses
	RequestsPerSecond int               // of each key, burst twice that; 0: 100
	AcceptFailures    func() uint64     // how often a listener had no file descriptor for a client; nil: not counted
	Checks            []Check           // of /health/ready, besides the engine's own

	// Metrics give every tenant in MetricsFor series of its own, and up to MetricsTenants
	// of the others, those that were active first; what is left is the tenant "other".
	// MetricsTenants 0: 100, below 0: none.
	MetricsTenants int
	MetricsFor     []string

	// Certificates gives the end of the certificate of each listener with TLS, by the
	// listener's setting, such as "http"; nil: there are none.
	Certificates func() map[string]time.Time
	// RoundTrips gives what the node asked of Redis; nil: nothing.
	RoundTrips func() []RoundTrip

	Log *slog.Logger // nil: slog.Default()
}

// Server answers operators. Its methods may be called concurrently.
type Server struct {
	cfg     Config
	log     *slog.Logger
	started time.Time
	api     huma.API
	handler http.Handler
	streams streamCount

	seen    atomic.Pointer[nodesSeen]
	looking singleflight.Group // of seen
}

// New makes a server; Serve has it answer.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, log: cfg.Log, started: time.Now()}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.cfg.RequestsPerSecond = cmp.Or(cfg.RequestsPerSecond, 100)
	mux := http.NewServeMux()
	s.api = humago.New(mux, describe(cfg.Version))
	s.operations()
	document, err := json.Marshal(s.api.OpenAPI())
	if err != nil {
		panic("api: the OpenAPI document: " + err.Error()) // it is made of constants
	}
	mux.HandleFunc("GET /api/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(document) // who asked may have gone
	})
	mux.HandleFunc("/api/", func(w http.ResponseWriter, _ *http.Request) { write(w, errNoEndpoint) })
	s.handler = s.guard(mux)
	return s
}

// Handler is the server without a listener.
func (s *Server) Handler() http.Handler { return s.handler }

// Bounds of what one who asks may take, and of how many may ask at once.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 15 * time.Second
	writeTimeout  = 60 * time.Second
	idleTimeout   = 2 * time.Minute
	headerBytes   = 16 << 10
	mostSockets   = 512
)

// Serve answers on l until ctx ends; requests under way then have a second. It
// closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	web := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytes, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(netutil.LimitListener(&perAddress{Listener: l}, mostSockets)) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if web.Shutdown(last) != nil {
		_ = web.Close() // who is slow is cut off
	}
	<-ended
	return nil
}

const description = "The server API of Moot. Every error has the shape {\"error\":{\"code\",\"message\"}}. " +
	"Every time and duration is a number of milliseconds that may have a fraction: " +
	"a time, with the format `unix-ms`, counts from 1970-01-01 UTC; a duration has the format `duration-ms`."

// describe is the beginning of the OpenAPI document. Nothing but JSON is spoken.
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
