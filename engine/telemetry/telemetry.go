// Package telemetry traces what a node does: verbs, the hooks that they come to,
// and what is asked of Redis for them. Traces go to a collector by OTLP.
//
// A trace begins with a verb. What a message comes to when it is delivered, on any
// node, is a trace of its own that begins with its hook. Some traces are taken, whole, as [Config.Sample] says. No text of a message, no
// token and no address of a client is in it.
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
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/mootchat/moot/engine/dial"
)

// Config says where traces go.
type Config struct {
	Endpoint string            // http:// or https://, of the collector; without a path, /v1/traces
	Headers  map[string]string // sent with each request
	Sample   float64           // share of the traces that are taken, up to 1
	Version  string            // of the program
	Node     string            // by name
	Log      *slog.Logger
}

// Traces makes them. What waits to be sent is bounded: where the collector is slow
// or away, traces are lost, and nothing else.
type Traces struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	client   *http.Client
}

const (
	path       = "/v1/traces"
	exportTime = 5 * time.Second // that one request may take
)

// Open begins. It does not fail where the collector is away.
func Open(ctx context.Context, c Config) (*Traces, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("telemetry.endpoint: %w", err)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = path
	}
	web := client(u)
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.String()), otlptracehttp.WithHeaders(c.Headers),
		otlptracehttp.WithHTTPClient(web), otlptracehttp.WithTimeout(exportTime), otlptracehttp.WithRetry(otlptracehttp.RetryConfig{}))
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	about := resource.NewSchemaless(attribute.String("service.name", "moot"), attribute.String("service.version", c.Version),
		attribute.String("service.instance.id", c.Node))
	limits := sdk.NewSpanLimits()
	limits.AttributeValueLengthLimit = longest
	provider := sdk.NewTracerProvider(sdk.WithResource(about), sdk.WithRawSpanLimits(limits), sdk.WithSampler(sdk.ParentBased(beginnings{sdk.TraceIDRatioBased(c.Sample)})),
		sdk.WithBatcher(&teller{SpanExporter: exporter, log: c.Log}))
	return &Traces{provider, provider.Tracer("github.com/mootchat/moot"), web}, nil
}

// client sends traces to a collector, and to no other host that it may redirect to: the
// headers may hold a password.
func client(to *url.URL) *http.Client {
	guard := &dial.Guard{Host: to.Hostname()}
	return &http.Client{Transport: guard.Transport(), Timeout: exportTime, CheckRedirect: func(next *http.Request, before []*http.Request) error {
		if next.URL.Host != to.Host || next.URL.Scheme != to.Scheme || len(before) > 3 {
			return errors.New("the collector redirects to another server: name that one")
		}
		return nil
	}}
}

// Close sends what waits and ends, for as long as ctx lasts.
func (t *Traces) Close(ctx context.Context) error {
	defer t.client.CloseIdleConnections()
	return t.provider.Shutdown(ctx)
}

// Redis has what is asked of a client be part of the traces: which commands, and how
// long they took, not what they say.
func (t *Traces) Redis(client redis.UniversalClient) error {
	return redisotel.InstrumentTracing(client, redisotel.WithTracerProvider(t.provider),
		redisotel.WithDBStatement(false), redisotel.WithCallerEnabled(false), redisotel.WithDialFilter(true))
}

// beginnings decides about traces that begin. What a node asks of Redis by itself,
// again and again, is no beginning.
type beginnings struct{ sdk.Sampler }

// ShouldSample implements sdk.Sampler.
func (b beginnings) ShouldSample(p sdk.SamplingParameters) sdk.SamplingResult {
	if p.Kind == trace.SpanKindClient {
		return sdk.SamplingResult{Decision: sdk.Drop}
	}
	return b.Sampler.ShouldSample(p)
}

// teller logs when traces cannot be sent, and when they can again.
type teller struct {
	sdk.SpanExporter
	log  *slog.Logger
	fail atomic.Bool
}

// ExportSpans implements sdk.SpanExporter.
func (t *teller) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := t.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err != nil && t.fail.CompareAndSwap(false, true):
		t.log.Warn("traces cannot be sent, and are lost until they can: see telemetry.endpoint", "error", err)
	case err == nil && t.fail.CompareAndSwap(true, false):
		t.log.Info("traces can be sent again")
	}
	return nil // it is told
}
