package engine

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/mootchat/moot/engine/cluster"
)

// Questions of operators, beyond the rules of chat: the engine carries them from node to
// node without knowing their meaning.

// Operator answers the questions of operators of other nodes. The text of the error
// reaches the node that asked. It may be called concurrently.
type Operator func(ctx context.Context, question json.RawMessage) (json.RawMessage, error)

// callOperator calls the node's Operator.
const callOperator = "operator"

// errNoOperator is the answer of a node without an Operator.
var errNoOperator = errors.New("the node answers no operators")

// AskNode returns the answer of the Operator of a node, which may be this one. Errors:
// the text of the Operator's error, ErrNoNode, ctx's error, with the name of the node.
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

// HasTenant reports whether the settings in use have the tenant.
func (e *Engine) HasTenant(name string) bool { return e.settings.Load().tenants[name] != nil }

// Accepting returns nil while clients are let in, else the reason why not.
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
