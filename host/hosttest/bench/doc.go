// Package bench measures the cost of the sandbox, compared with no sandbox and with another one.
//
// The cases of a row run alternately in one process, A B A B, in rounds of a few milliseconds, for -benchtime. Their
// cost is the CPU time of the process, not the real time. A ratio is computed in each round, and the table shows the
// median of all rounds, so other work on the machine affects all cases alike. Garbage is collected between the cases
// and not counted, which favours those that produce it.
//
//	go test -run '^$' -bench . ./host/hosttest/bench
//
// prints a Markdown table. Guests are encoded with package asm, except for one in Go. Package extism beside this one is
// a Go module of its own, so that the product does not depend on it.
package bench
