// Package extism measures the filter of package bench in Moot's sandbox against the
// same filter in Extism's, with its timeout on: by turns, in one process. It has a
// go.mod of its own and nothing but this comparison in it:
//
//	go test -run '^$' -bench .
//
// Extism's side is made as cheap as it can be: it is given the message alone, not an
// event in JSON, answers with one byte, and uses one plugin without a pool or a
// memory limit.
package extism
