// Package density measures the cost of tenants, with and without clients that chat. It starts the
// server with hundreds or thousands of tenants, each with three rules in Go, and measures the process from outside.
//
// The tests are bounds that hold on any machine. The benchmarks are the table of 100, 1,000 and 10,000 tenants, reloads and
// wakes beside messages, and the configuration of this repository:
//
//	go test -run '^$' -bench . -benchtime 1x -timeout 1h ./host/hosttest/density
//
// The environment variable TENANTS selects other numbers of tenants, such as 100,1000.
package density
