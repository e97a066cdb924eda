// Package extism compares the filter of package bench in Moot's sandbox with the same
// filter in Extism's sandbox, with its timeout on. The two run alternately in one
// process. This comparison is a separate Go module:
//
//	go test -run '^$' -bench .
//
// Extism's side is as cheap as possible. The plugin gets only the message, not an
// event in JSON, and answers with one byte. There is one plugin, without a pool or a
// memory limit.
package extism
