package engine

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/mootchat/moot/engine/cluster"
)

// What operators ask of nodes, beyond the rules of chat: the engine carries the
// questions from node to node, and does not know what they mean.

// Operator answers what operators of other nodes ask of this one. The error's
// text reaches who asked. It may be called concurrently.
type Operator func(ctx context.Context, question json.RawMessage) (json.RawMessage, error)

// callOperator has the node's Operator answer.
const callOperator = "operator"

// errNoOperator is the answer of a node whose program has none.
var errNoOperator = errors.New("the node answers no operators")

// AskNode has the Operator of a node, perhaps this one, answer. Errors: the text
// of what it said, ErrNoNode, ctx's error, naming the node.
func (e *Engine) AskNode(ctx context.Context, node string, question json.RawMessage) (json.RawMessage, error) {
	return e.ask(ctx, node, call{Do: callOperator, Value: question})
}

func (e *Engine) answerOperator(ctx context.Context, question json.RawMessage) (json.RawMessage, error) {
	if e.operator == nil {
		return nil, errNoOperator
	}
	return e.operator(cluster.ForOperator(ctx), question)
}

// Self is this node's name.
func (e *Engine) Self() string { return e.cluster.Nodes.Self() }

// Nodes are the names of the nodes that are alive, in their order. This one is among
// them, also before the others have heard of it.
func (e *Engine) Nodes(ctx context.Context) ([]string, error) {
	nodes, err := e.cluster.Nodes.List(ctx)
	if err != nil {
		return nil, err
	}
	if nodes = slices.Clone(nodes); !slices.Contains(nodes, e.Self()) {
		nodes = append(nodes, e.Self())
	}
	slices.Sort(nodes)
	return nodes, nil
}

// HasTenant says whether the settings in use have the tenant.
func (e *Engine) HasTenant(name string) bool { return e.settings.Load().tenants[name] != nil }

// Accepting returns nil while clients are let in, else why they are not.
func (e *Engine) Accepting() error {
	select {
	case <-e.ready:
	default:
		return errors.New("the node is starting")
	}
	if e.closing.Load() {
		return errors.New("the node is shutting down")
	}
	return nil
}
