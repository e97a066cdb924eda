// Package density measures the cost of tenants without clients. It starts the server with hundreds of tenants, each
// with three rules in Go, and measures the memory of the process.
package density
