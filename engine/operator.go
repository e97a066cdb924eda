package engine

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/mootchat/moot/engine/cluster"
)

// The engine carries questions of operators from node to node without knowing their
// meaning.

// Operator answers questions of operators on other nodes. The text of its error reaches the
// node that asked. It may be called concurrently.
type Operator func(ctx context.Context, question json.RawMessage) (json.RawMessage, error)

// callOperator is the call for the node's Operator.
const callOperator = "operator"

// errNoOperator is the error of a node without an Operator.
var errNoOperator = errors.New("the node answers no operators")

// AskNode returns the answer of the Operator of a node, which may be this one. It returns
// an error with the text of the Operator's error, ErrNoNode or the error of ctx, together
// with the name of the node.
func (e *Engine) AskNode(ctx context.Context, node string, question json.RawMessage) (json.RawMessage, error) {
	return e.ask(ctx, node, call{Do: callOperator, Value: question})
}

func (e *Engine) answerOperator(ctx context.Context, question json.RawMessage) (json.RawMessage, error) {
	if e.operator == nil {
		return nil, errNoOperator
	}
	return e.operator(cluster.ForOperator(ctx), question)
}

// Self returns this node's name.
func (e *Engine) Self() string { return e.cluster.Nodes.Self() }

// Nodes returns the names of the living nodes, sorted. This node is always among them.
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

// HasTenant reports whether the current settings have the tenant.
func (e *Engine) HasTenant(name string) bool { return e.settings.Load().tenants[name] != nil }

// Accepting returns nil while the engine accepts clients, else the reason why it does not.
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
