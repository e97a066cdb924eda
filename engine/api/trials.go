package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/engine/millis"
)

// ErrNoModule is what Trials returns for a module that the tenant does not have.
var ErrNoModule = errors.New("the tenant has no such module")

// Trials asks modules about events that did not happen. Its methods may be called
// concurrently.
type Trials interface {
	// Try asks a module of the tenant, in an instance of its own with an empty
	// store: nothing comes of it. What is wrong with the question, or with the
	// module under the config it is to have, is an *engine.VerbError; a module
	// that the tenant does not have is ErrNoModule.
	Try(ctx context.Context, tenant, module string, t Trial) (Tried, error)
}

// Trial is an event, and the config that the module is to have.
type Trial struct {
	Event  map[string]any `json:"event,omitempty" doc:"As in the files of moot module test: hook, room, message, connection, ... Left out: the module is started, and asked nothing."`
	Config any            `json:"config,omitempty" doc:"Any JSON; left out: that of the module's first entry in the tenant's chain."`
}

// Tried is what a module said.
type Tried struct {
	Config any             `json:"config" doc:"That the module had."`
	Hooks  []string        `json:"hooks" doc:"That it has."`
	Answer any             `json:"answer,omitempty" doc:"As in the files of moot module test: verdict, reason, message, ... Missing where nothing was asked."`
	Took   millis.Duration `json:"took" format:"duration-ms" doc:"The time of the call."`
	Fuel   uint64          `json:"fuel" doc:"Roughly instructions."`
	Memory int             `json:"memory" doc:"Bytes that the instance has afterwards."`
	Calls  int             `json:"calls" doc:"Of the module: many receivers are a few calls."`
}

type tried struct{ Body Tried }

func (s *Server) trialOperations() {
	if s.cfg.Trials == nil {
		return
	}
	op := s.operation("tryModule", http.MethodPost, tenantPath+"/modules/{module}/trials", 200, "Ask a module about an event that did not happen")
	op.Metadata = map[string]any{loadsModules: true}
	huma.Register(s.api, op, func(ctx context.Context, in *struct {
		InModule
		Body Trial
	}) (*tried, error) {
		t, err := s.cfg.Trials.Try(ctx, in.Tenant, in.Module, in.Body)
		if errors.Is(err, ErrNoModule) {
			return nil, fault(http.StatusNotFound, CodeNotFound, "no such module in tenant %s: %q", in.Tenant, in.Module)
		}
		if err != nil {
			return nil, s.faultOf(err)
		}
		return &tried{t}, nil
	})
}
