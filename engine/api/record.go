package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Recorder records what this node's modules are asked and answer. Its methods may be
// called concurrently.
type Recorder interface {
	// Record passes each call that matches q to f, as a line of JSON with its newline,
	// until ctx ends or f fails; it returns the error of f. f must not change the line:
	// other recordings share it. The lines that wait for f are bounded, per recording
	// and per q.By. Further calls are left out, and a line {"lost":N} has their number.
	Record(ctx context.Context, q RecordQuery, f func(line []byte) error) error
}

// RecordQuery says what is recorded; an empty field fits all.
type RecordQuery struct {
	Tenant, Room, Module string
	Text                 bool   // what was said is not redacted
	By                   string // whose key
	Admin                bool   // it is the admin's
}

// streams marks operations that answer for as long as they are listened to.
const streams = "streams"

// lineTimeout is how long a reader may take for a line before its recording ends, and
// heartbeat how often an empty one is sent: who has gone is noticed.
const (
	lineTimeout = 10 * time.Second
	heartbeat   = time.Second
)

func (s *Server) recordOperations() {
	if s.cfg.Recorder == nil {
		return
	}
	op := s.operation("record", http.MethodGet, "/api/tenants/{tenant}/record", 200,
		"Record what this node's modules are asked and answer, a line of JSON each, until the request ends")
	op.Description = "An empty line says that the server is there. Where the reader is slow, calls beyond 4 MiB that wait for it, " +
		"8 MiB for all recordings with its key, or 32 MiB on the node, of which 8 are kept for the admin key, are left out: a line {\"lost\":N} in their place says how many. " +
		"A reader that takes longer than 10 s for a line is disconnected. " +
		fmt.Sprintf("A key may record %d times at once, all tenants' keys %d times on the node; more are answered with 429 and Retry-After.", mostStreams, mostTenantStreams)
	op.Metadata = map[string]any{streams: true}
	huma.Register(s.api, op, func(ctx context.Context, in *struct {
		Tenant string `path:"tenant" maxLength:"63"`
		Room   string `query:"room" maxLength:"200"`
		Module string `query:"module" maxLength:"63" doc:"By name."`
		Text   bool   `query:"text" doc:"What was said as it was: without it every letter is an x."`
	}) (*huma.StreamResponse, error) {
		who, _ := scopeOf(ctx)
		q := RecordQuery{Tenant: in.Tenant, Room: in.Room, Module: in.Module, Text: in.Text, By: who.String(), Admin: who.tenant == ""}
		if f := s.streams.begin(who); f != nil {
			return nil, huma.ErrorWithHeaders(f, http.Header{"Retry-After": {"1"}})
		}
		return &huma.StreamResponse{Body: func(c huma.Context) {
			defer s.streams.end(who)
			s.record(c, q)
		}}, nil
	})
}

// record writes lines as they come, and heartbeats between them, until the request ends
// or its reader takes too long.
func (s *Server) record(c huma.Context, q RecordQuery) {
	c.SetHeader("Content-Type", "application/jsonl")
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	to := lineWriter{to: c.BodyWriter()}
	if to.write([]byte("\n")) != nil {
		return
	}
	beats := make(chan struct{})
	go func() {
		defer close(beats)
		defer cancel()
		to.beat(ctx)
	}()
	_ = s.cfg.Recorder.Record(ctx, q, to.write) // it ends with ctx, or since the reader has gone
	cancel()
	<-beats
}

// lineWriter writes lines to a client that may be slow. Its methods may be called
// concurrently.
type lineWriter struct {
	mu   sync.Mutex
	to   io.Writer
	last time.Time // a line was written
}

// write fails when the line has not been taken within lineTimeout.
func (w *lineWriter) write(line []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	web, _ := w.to.(http.ResponseWriter)
	if web != nil {
		_ = http.NewResponseController(web).SetWriteDeadline(time.Now().Add(lineTimeout)) // without one, the server's holds
	}
	if _, err := w.to.Write(line); err != nil {
		return err
	}
	w.last = time.Now()
	if web != nil {
		return http.NewResponseController(web).Flush()
	}
	return nil
}

// beat writes an empty line wherever none was written for a heartbeat, until ctx ends
// or the client has gone.
func (w *lineWriter) beat(ctx context.Context) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
		}
		w.mu.Lock()
		quiet := time.Since(w.last) >= heartbeat
		w.mu.Unlock()
		if quiet && w.write([]byte("\n")) != nil {
			return
		}
	}
}
