// Package density measures what tenants cost that are configured and silent: it starts the program with hundreds of them,
// each with three rules in Go, and reads from outside how much memory it has.
package density
