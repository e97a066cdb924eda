// Package telemetry traces verbs, the hooks that they call, and the commands that they send
// to Redis. It sends the traces to a collector by OTLP.
//
// A trace begins with a verb. The delivery of a message on a node is a trace of its own,
// which begins with the hook say. [Config.Sample] selects which traces are recorded; a
// recorded trace is complete. Traces contain no text of a message, no token and no address
// of a client.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/extra/redisotel/v9"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/mootchat/moot/engine/dial"
)

// Config configures Traces.
type Config struct {
	Endpoint string            // URL of the collector; the default path is /v1/traces
	Headers  map[string]string // of each request
	Sample   float64           // share of the traces that are recorded, 0 to 1
	Version  string            // of the program
	Node     string            // name of the node
	Log      *slog.Logger
}

// Traces records spans. A bounded number of spans waits to be sent. If the collector is
// slow or unreachable, spans are dropped.
type Traces struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	client   *http.Client
}

const (
	path          = "/v1/traces"
	exportTimeout = 5 * time.Second // of one request
)

// Open starts Traces; Close ends it. It does not connect to the collector.
func Open(ctx context.Context, c Config) (*Traces, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("telemetry.endpoint: %w", err)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = path
	}
	web := client(u)
	exporter, err := otlptrace.New(ctx, &collector{u.String(), c.Headers, web})
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	source := resource.NewSchemaless(attribute.String("service.name", "moot"), attribute.String("service.version", c.Version),
		attribute.String("service.instance.id", c.Node))
	limits := sdk.NewSpanLimits()
	limits.AttributeValueLengthLimit = maxAttribute
	provider := sdk.NewTracerProvider(sdk.WithResource(source), sdk.WithRawSpanLimits(limits), sdk.WithSampler(sdk.ParentBased(roots{sdk.TraceIDRatioBased(c.Sample)})),
		sdk.WithBatcher(&loggingExporter{SpanExporter: exporter, log: c.Log}))
	return &Traces{provider, provider.Tracer("github.com/mootchat/moot"), web}, nil
}

// client returns an HTTP client for the collector. It does not follow redirects to other
// hosts, because the headers may contain a password.
func client(to *url.URL) *http.Client {
	guard := &dial.Guard{Host: to.Hostname()}
	return &http.Client{Transport: guard.Transport(), Timeout: exportTimeout, CheckRedirect: func(next *http.Request, before []*http.Request) error {
		if next.URL.Host != to.Host || next.URL.Scheme != to.Scheme || len(before) > 3 {
			return errors.New("the collector redirects to another server: set telemetry.endpoint to that server")
		}
		return nil
	}}
}

// Close sends the waiting spans and stops. It gives up when ctx ends.
func (t *Traces) Close(ctx context.Context) error {
	defer t.client.CloseIdleConnections()
	return t.provider.Shutdown(ctx)
}

// Redis adds the commands of a client to the traces. A span has the name and the
// duration of a command, but no keys and values.
func (t *Traces) Redis(client redis.UniversalClient) error {
	return redisotel.InstrumentTracing(client, redisotel.WithTracerProvider(t.provider),
		redisotel.WithDBStatement(false), redisotel.WithCallerEnabled(false), redisotel.WithDialFilter(true))
}

// roots selects the traces to record. A command to Redis never begins a trace, because
// nodes send commands regularly, also outside of verbs.
type roots struct{ sdk.Sampler }

// ShouldSample implements sdk.Sampler.
func (r roots) ShouldSample(p sdk.SamplingParameters) sdk.SamplingResult {
	if p.Kind == trace.SpanKindClient {
		return sdk.SamplingResult{Decision: sdk.Drop}
	}
	return r.Sampler.ShouldSample(p)
}

// loggingExporter logs when spans cannot be sent, and when sending works again.
type loggingExporter struct {
	sdk.SpanExporter
	log    *slog.Logger
	failed atomic.Bool
}

// ExportSpans implements sdk.SpanExporter.
func (e *loggingExporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err != nil && e.failed.CompareAndSwap(false, true):
		e.log.Warn("traces cannot be sent and are lost: check telemetry.endpoint and the collector", "error", err)
	case err == nil && e.failed.CompareAndSwap(true, false):
		e.log.Info("traces can be sent again")
	}
	return nil // it is logged
}
