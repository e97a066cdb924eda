package cluster

import "context"

type forOperator struct{}

// ForOperator returns a ctx for the operations of an operator. They use none of the resources
// that chat needs, such as its connections to Redis.
func ForOperator(ctx context.Context) context.Context {
	return context.WithValue(ctx, forOperator{}, true)
}

// IsForOperator reports whether ctx was made by ForOperator.
func IsForOperator(ctx context.Context) bool { return ctx.Value(forOperator{}) != nil }
