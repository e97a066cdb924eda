package cluster

import "context"

type forOperator struct{}

// ForOperator marks a ctx: operations with it are for an operator, and use none of the
// resources that chat needs, such as its connections to Redis.
func ForOperator(ctx context.Context) context.Context {
	return context.WithValue(ctx, forOperator{}, true)
}

// IsForOperator reports whether ForOperator marked ctx.
func IsForOperator(ctx context.Context) bool { return ctx.Value(forOperator{}) != nil }
