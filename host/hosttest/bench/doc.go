// Package bench measures what the sandbox costs, against what it would cost to do
// without it or with another.
//
// The cases of a row run by turns in one process, A B A B, in rounds of a few
// milliseconds, as long as -benchtime says. Each is charged the processor time
// that the process used, not what a clock on the wall says; a ratio is taken within each
// round, and what is told is the median of all rounds. So what else a machine
// does moves all cases alike. Garbage is collected between turns and charged to
// nobody, which favours those who make it.
//
//	go test -run '^$' -bench . ./host/hosttest/bench
//
// prints a Markdown table. Guests are put together by hand (see package asm), but for
// one in Go. Package extism beside this one has a module of its own, so that
// the product does not depend on what it is compared with.
package bench
