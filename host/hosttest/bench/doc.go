// Package bench compares the cost of the sandbox with the cost of no sandbox, and of another sandbox.
//
// The cases of a row run alternately in one process, A B A B, in rounds of a few milliseconds, for -benchtime.
// Their cost is the CPU time of the process, not the real time. A ratio is computed in each round, and the table shows
// the median of all rounds. Therefore other work on the machine affects all cases equally. Garbage is collected between
// the cases and is not counted, which favors cases that produce garbage.
//
//	go test -run '^$' -bench . ./host/hosttest/bench
//
// This command prints a Markdown table. Guests are encoded with package asm, except for one in Go. The package extism
// in a subfolder is a separate Go module, so that the server does not depend on it.
package bench
