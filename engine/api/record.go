package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Recorder records what this node's modules are asked and answer. Its methods may be
// called concurrently.
type Recorder interface {
	// Record gives each call that fits q, as a line of JSON, to f, until ctx ends or f
	// fails, whose error it returns.
	Record(ctx context.Context, q RecordQuery, f func(line []byte) error) error
}

// RecordQuery says what is recorded; an empty field fits all.
type RecordQuery struct {
	Tenant, Room, Module string
	Text                 bool // what was said is not redacted
}

// streams marks operations that answer for as long as they are listened to.
const streams = "streams"

// lineTimeout is how long a reader may take for a line, and heartbeat how often an
// empty one is sent: who has gone is noticed.
const (
	lineTimeout = 10 * time.Second
	heartbeat   = time.Second
)

func (s *Server) recordOperations() {
	if s.cfg.Recorder == nil {
		return
	}
	op := s.operation("record", http.MethodGet, "/api/tenants/{tenant}/record", 200,
		"Record what this node's modules are asked and answer, a line of JSON each, until the request ends; an empty line says that the server is there")
	op.Metadata = map[string]any{streams: true}
	huma.Register(s.api, op, func(ctx context.Context, in *struct {
		Tenant string `path:"tenant" maxLength:"63"`
		Room   string `query:"room" maxLength:"200"`
		Module string `query:"module" maxLength:"63" doc:"By name."`
		Text   bool   `query:"text" doc:"What was said as it was: without it every letter is an x."`
	}) (*huma.StreamResponse, error) {
		q := RecordQuery{Tenant: in.Tenant, Room: in.Room, Module: in.Module, Text: in.Text}
		who, _ := scopeOf(ctx)
		if f := s.streams.begin(who); f != nil {
			return nil, f
		}
		return &huma.StreamResponse{Body: func(c huma.Context) {
			defer s.streams.end(who)
			s.record(c, q)
		}}, nil
	})
}

func (s *Server) record(c huma.Context, q RecordQuery) {
	c.SetHeader("Content-Type", "application/jsonl")
	ctx, cancel := context.WithCancel(c.Context())
	defer cancel()
	to := c.BodyWriter()
	web, _ := to.(http.ResponseWriter)
	write := func(line []byte) error {
		if web != nil {
			_ = http.NewResponseController(web).SetWriteDeadline(time.Now().Add(lineTimeout)) // without one, the server's holds
		}
		if _, err := to.Write(append(line, '\n')); err != nil {
			return err
		}
		if web != nil {
			return http.NewResponseController(web).Flush()
		}
		return nil
	}
	lines := make(chan []byte)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.cfg.Recorder.Record(ctx, q, func(line []byte) error { // it ends with ctx
			select {
			case lines <- line:
			case <-ctx.Done():
			}
			return nil
		})
	}()
	defer func() { cancel(); <-ended }()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for err := write(nil); err == nil; {
		select {
		case <-ctx.Done():
			return
		case line := <-lines:
			err = write(line)
		case <-beat.C:
			err = write(nil)
		}
	}
}
