package cluster

import "context"

type forOperator struct{}

// ForOperator marks a ctx: what is asked of the cluster with it is for an operator, and
// takes nothing that chat needs, such as its connections to Redis.
func ForOperator(ctx context.Context) context.Context {
	return context.WithValue(ctx, forOperator{}, true)
}

// IsForOperator says whether ForOperator marked ctx.
func IsForOperator(ctx context.Context) bool { return ctx.Value(forOperator{}) != nil }
