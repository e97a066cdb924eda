// Package telemetrytest provides a collector of traces for tests.
package telemetrytest

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// Span is a received span.
type Span struct {
	Name, Trace, ID string
	Parent          string // ID of the parent; "": the span begins the trace
	Failed          bool
	Attributes      map[string]string
	Resource        map[string]string // attributes of the sender
}

// Collector receives traces by OTLP over HTTP. Its methods may be called concurrently.
type Collector struct {
	*httptest.Server

	mu      sync.Mutex
	spans   []Span
	headers http.Header // of the last request
	failing bool
	paths   []string
}

// Start starts a collector that runs until the test ends.
func Start(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(c.receive))
	t.Cleanup(c.Close)
	return c
}

// Fail makes the collector refuse all requests, or accept them again.
func (c *Collector) Fail(failing bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failing = failing
}

// Spans returns the received spans, in the order of their ends, and the header of the last
// request.
func (c *Collector) Spans() ([]Span, http.Header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans), c.headers
}

// Paths returns the paths of the requests.
func (c *Collector) Paths() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.paths)
}

// String returns the spans for the output of a failed test.
func (c *Collector) String() string {
	spans, _ := c.Spans()
	var b strings.Builder
	for _, s := range spans {
		fmt.Fprintf(&b, "%s %s<-%s %q failed %v %v\n", s.Trace[:8], s.ID, s.Parent, s.Name, s.Failed, s.Attributes)
	}
	return b.String()
}

func (c *Collector) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request collect.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &request)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headers = r.Header.Clone()
	c.paths = append(c.paths, r.URL.Path)
	switch {
	case c.failing:
		http.Error(w, "failing", http.StatusBadRequest)
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, from := range request.ResourceSpans {
		for _, scope := range from.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, Span{Name: s.Name, Trace: hex.EncodeToString(s.TraceId), ID: hex.EncodeToString(s.SpanId), Parent: hex.EncodeToString(s.ParentSpanId),
					Failed: s.Status.GetCode() == otlp.Status_STATUS_CODE_ERROR, Attributes: texts(s.Attributes), Resource: texts(from.Resource.GetAttributes())})
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func texts(attributes []*common.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range attributes {
		switch v := a.Value.GetValue().(type) {
		case *common.AnyValue_StringValue:
			all[a.Key] = v.StringValue
		case *common.AnyValue_IntValue:
			all[a.Key] = fmt.Sprint(v.IntValue)
		default:
			all[a.Key] = a.Value.String()
		}
	}
	return all
}
