package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/mootchat/moot/engine/millis"
)

// ErrNoModule is the error of Trials for a module that the tenant does not have.
var ErrNoModule = errors.New("the tenant has no such module")

// Trials calls modules with events that did not happen. Its methods may be called concurrently.
type Trials interface {
	// Try calls a module of the tenant in a new instance with an empty store. The answer has no effect. The error is an
	// *engine.VerbError if the event or the config is invalid or the module refuses the config, and ErrNoModule if the
	// tenant does not have the module.
	Try(ctx context.Context, tenant, module string, t Trial) (Tried, error)
}

// Trial is an event, and the config of the module for it.
type Trial struct {
	Event  map[string]any `json:"event,omitempty" doc:"As in the test files of moot module test: hook, room, message, connection, ... Without it the module is only started."`
	Config any            `json:"config,omitempty" doc:"Any JSON; default: the config of the first entry of the module in the chain of the tenant."`
}

// Tried is the result of a trial.
type Tried struct {
	Config any             `json:"config" doc:"The config of the module."`
	Hooks  []string        `json:"hooks" doc:"The hooks of the module."`
	Answer any             `json:"answer,omitempty" doc:"As in the test files of moot module test: verdict, reason, message, ... Missing without an event."`
	Took   millis.Duration `json:"took" format:"duration-ms" doc:"The time of the call."`
	Fuel   uint64          `json:"fuel" doc:"About the number of instructions."`
	Memory int             `json:"memory" doc:"Memory of the instance after the call, in bytes."`
	Calls  int             `json:"calls" doc:"Calls of the module; many receivers take few calls."`
}

type tried struct{ Body Tried }

func (s *Server) trialOperations() {
	if s.cfg.Trials == nil {
		return
	}
	op := s.operation("tryModule", http.MethodPost, tenantPath+"/modules/{module}/trials", 200, "Call a module with an event that did not happen")
	op.Metadata = map[string]any{loadsModules: true, trying: true}
	op.Description = fmt.Sprintf("At most %d trials with a key are in progress at a time; more are answered with 429 and Retry-After.", maxTrials)
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
