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

// Recorder records the calls to modules of this node, with their answers. Its methods may be called concurrently.
type Recorder interface {
	// Record calls f with a line of JSON, newline included, for each call that q selects, until ctx ends or f fails;
	// it returns the error of f. f must not change the line, which other recordings share. The number of lines that wait
	// for f is limited per recording and per q.By. A line {"lost":N} stands for the N calls that exceed the limit.
	Record(ctx context.Context, q RecordQuery, f func(line []byte) error) error
}

// RecordQuery selects calls to record. An empty field selects all.
type RecordQuery struct {
	Tenant, Room, Module string
	Text                 bool   // texts of messages are not redacted
	By                   string // the name of the key
	Admin                bool   // the key reaches all tenants
}

// streams marks operations that write their answer until the client closes the connection.
const streams = "streams"

// lineTimeout is the time that a client has to read a line before its recording ends. heartbeat is the interval of empty
// lines, which let the server detect a lost client.
const (
	lineTimeout = 10 * time.Second
	heartbeat   = time.Second
)

func (s *Server) recordOperations() {
	if s.cfg.Recorder == nil {
		return
	}
	op := s.operation("record", http.MethodGet, "/api/tenants/{tenant}/record", 200,
		"Record the calls to modules of this node with their answers, as lines of JSON, until the request ends")
	op.Description = "An empty line is a sign of life. For a slow client, calls are left out beyond 4 MiB that wait for it, 8 MiB for all recordings " +
		"with its key, or 32 MiB on the node, of which 8 MiB are reserved for keys that reach all tenants; a line {\"lost\":N} in their place has their number. " +
		"A client that takes longer than 10 s to read a line is disconnected. " +
		fmt.Sprintf("A key may have %d recordings at once, the keys of all tenants together %d on the node; more are refused with 429 and Retry-After.", maxStreams, maxTenantStreams)
	op.Metadata = map[string]any{streams: true}
	huma.Register(s.api, op, func(ctx context.Context, in *struct {
		Tenant string `path:"tenant" maxLength:"63"`
		Room   string `query:"room" maxLength:"200"`
		Module string `query:"module" maxLength:"63" doc:"The name of the module."`
		Text   bool   `query:"text" doc:"With the texts of messages; else every letter is an x."`
	}) (*huma.StreamResponse, error) {
		k := keyIn(ctx)
		q := RecordQuery{Tenant: in.Tenant, Room: in.Room, Module: in.Module, Text: in.Text, By: k.name, Admin: k.ofAll()}
		if f := s.streams.begin(k); f != nil {
			return nil, huma.ErrorWithHeaders(f, http.Header{"Retry-After": {"1"}})
		}
		return &huma.StreamResponse{Body: func(c huma.Context) {
			defer s.streams.end(k)
			s.record(c, q, k.gone)
		}}, nil
	})
}

// record writes lines and heartbeats until the request ends, its key is removed, or the client takes too long to read a line.
func (s *Server) record(c huma.Context, q RecordQuery, gone <-chan struct{}) {
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
		to.beat(ctx, gone)
	}()
	_ = s.cfg.Recorder.Record(ctx, q, to.write) // it returns when ctx ends or the client is gone
	cancel()
	<-beats
}

// lineWriter writes lines to a client that may be slow. Its methods may be called concurrently.
type lineWriter struct {
	mu   sync.Mutex
	to   io.Writer
	last time.Time // time of the last line
}

// write fails when the client does not read the line within lineTimeout.
func (w *lineWriter) write(line []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	web, _ := w.to.(http.ResponseWriter)
	if web != nil {
		_ = http.NewResponseController(web).SetWriteDeadline(time.Now().Add(lineTimeout)) // replaces the write timeout of the server
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

// beat writes an empty line when none was written for a heartbeat, until ctx ends, gone is closed, or the client has gone.
func (w *lineWriter) beat(ctx context.Context, gone <-chan struct{}) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-gone:
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
