package telemetry

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/mootchat/moot/engine"
	"github.com/mootchat/moot/engine/ask"
	"github.com/mootchat/moot/engine/cluster"
	"github.com/mootchat/moot/engine/hook"
	"github.com/mootchat/moot/engine/wire"
)

// Attributes of spans.
const (
	keyTenant     = attribute.Key("moot.tenant")
	keyRoom       = attribute.Key("moot.room")
	keyConnection = attribute.Key("moot.connection")
	keyTransport  = attribute.Key("moot.transport")
	keyAction     = attribute.Key("moot.action")
	keyRefused    = attribute.Key("moot.refused") // the reason that the client received
	keyOutcome    = attribute.Key("moot.outcome")
	keyModule     = attribute.Key("moot.module") // the module that denied, dropped or failed
	keyMembers    = attribute.Key("moot.members")
	keyBytes      = attribute.Key("moot.bytes")
	keyAsk        = attribute.Key("moot.ask") // the name of an ask
	keyCached     = attribute.Key("moot.cached")
	keyStatus     = attribute.Key("http.response.status_code")
)

// maxAttribute limits an attribute, in bytes, because a client chooses the room name
// that it sends.
const maxAttribute = 200

// Begin implements engine.Tracer.
func (t *Traces) Begin(ctx context.Context, who *hook.Profile, r *wire.Request) (context.Context, func(error)) {
	name := "verb" // clients must not be able to add names of spans
	if wire.FindVerb(r.Verb) != nil {
		name = r.Verb
	}
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer))
	if span.IsRecording() {
		span.SetAttributes(keyTenant.String(who.Tenant), keyTransport.String(who.Transport), keyConnection.String(who.ID))
		if r.Room != "" {
			span.SetAttributes(keyRoom.String(r.Room))
		}
		if r.Action != "" {
			span.SetAttributes(keyAction.String(r.Action))
		}
	}
	return ctx, func(err error) {
		fail(span, err)
		span.End()
	}
}

// fail marks a span that ended with an error. A refused request of a client is not a
// failure of the node.
func fail(span trace.Span, err error) {
	switch {
	case err == nil || !span.IsRecording():
	case engine.IsRefusal(err):
		span.SetAttributes(keyRefused.String(err.Error()))
	default:
		span.SetStatus(codes.Error, err.Error())
	}
}

// Middleware returns next with a span for each call of Decide and Deliver.
func (t *Traces) Middleware(next hook.Middleware) hook.Middleware {
	return &middleware{next, t.tracer}
}

type middleware struct {
	hook.Middleware
	tracer trace.Tracer
}

// Decide implements hook.Middleware.
func (m *middleware) Decide(ctx context.Context, ev *hook.Event) hook.Verdict {
	ctx, span := m.tracer.Start(ctx, "hook "+ev.Hook.String())
	defer span.End()
	v := m.Middleware.Decide(ctx, ev)
	if span.IsRecording() {
		about(span, ev)
		span.SetAttributes(keyOutcome.String(v.Outcome.String()))
		if v.Module != "" {
			span.SetAttributes(keyModule.String(v.Module))
		}
		if v.Outcome == hook.Failed {
			span.SetStatus(codes.Error, "a module failed")
		}
	}
	return v
}

// Deliver implements hook.Middleware.
func (m *middleware) Deliver(ctx context.Context, ev *hook.Event, members []hook.Member) hook.Delivery {
	ctx, span := m.tracer.Start(ctx, "hook "+ev.Hook.String())
	defer span.End()
	if span.IsRecording() {
		about(span, ev)
		span.SetAttributes(keyMembers.Int(len(members)))
	}
	return m.Middleware.Deliver(ctx, ev, members)
}

func about(span trace.Span, ev *hook.Event) {
	span.SetAttributes(keyTenant.String(ev.Tenant))
	if ev.Room != "" {
		span.SetAttributes(keyRoom.String(ev.Room))
	}
	if ev.Action != "" {
		span.SetAttributes(keyAction.String(ev.Action))
	}
}

// Ask begins the span of a question of a rule to an external service. The caller calls end with the result.
func (t *Traces) Ask(ctx context.Context, tenant, name string) (asking context.Context, end func(ask.Answer, error)) {
	ctx, span := t.tracer.Start(ctx, "ask", trace.WithSpanKind(trace.SpanKindClient))
	return ctx, func(a ask.Answer, err error) {
		defer span.End()
		if !span.IsRecording() {
			return
		}
		span.SetAttributes(keyTenant.String(tenant), keyAsk.String(name))
		if err == nil {
			span.SetAttributes(keyStatus.Int(a.Status), keyCached.Bool(a.Cached))
			return
		}
		outcome := "ended" // the client has disconnected, or the time of its request is over
		if _, busy := errors.AsType[*ask.BusyError](err); busy {
			outcome = "busy"
		}
		if f, ok := errors.AsType[*ask.Failure](err); ok {
			outcome = string(f.Kind)
			span.SetStatus(codes.Error, outcome)
		}
		span.SetAttributes(keyOutcome.String(outcome))
	}
}

// Broker returns next with a span for each published message and each amendment. The span
// measures the time until the message has its position in the room.
func (t *Traces) Broker(next cluster.Broker) cluster.Broker { return &broker{next, t.tracer} }

type broker struct {
	cluster.Broker
	tracer trace.Tracer
}

// Publish implements cluster.Broker.
func (b *broker) Publish(ctx context.Context, room cluster.RoomID, payload []byte, keep cluster.Retention) error {
	ctx, end := b.span(ctx, "publish", room, payload)
	err := b.Broker.Publish(ctx, room, payload, keep)
	end(err)
	return err
}

// PublishOnce implements cluster.Broker.
func (b *broker) PublishOnce(ctx context.Context, room cluster.RoomID, id string, payload []byte, keep cluster.Retention) (cluster.Position, error) {
	ctx, end := b.span(ctx, "publish", room, payload)
	at, err := b.Broker.PublishOnce(ctx, room, id, payload, keep)
	end(err)
	return at, err
}

// Amend implements cluster.Broker.
func (b *broker) Amend(ctx context.Context, room cluster.RoomID, a cluster.Amendment, keep cluster.Retention) error {
	name := "edit"
	if a.Retract {
		name = "retract"
	}
	ctx, end := b.span(ctx, "publish "+name, room, a.Payload)
	err := b.Broker.Amend(ctx, room, a, keep)
	if errors.Is(err, cluster.ErrNoMessage) { // the request is refused
		end(nil)
	} else {
		end(err)
	}
	return err
}

// span starts the span of a published message or amendment.
func (b *broker) span(ctx context.Context, name string, room cluster.RoomID, payload []byte) (context.Context, func(error)) {
	ctx, span := b.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindProducer))
	if span.IsRecording() {
		span.SetAttributes(keyTenant.String(room.Tenant), keyRoom.String(room.Room), keyBytes.Int(len(payload)))
	}
	return ctx, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}
