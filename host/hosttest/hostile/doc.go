// Package hostile attacks the host with modules. No module may hang or crash the process, slow down another tenant, or
// read data that the contract does not give it.
//
// The package has only tests. An attack is an encoded module (see package asm), a description of its aim, and the
// expected outcome. The outcome is the error of Load, the kind of the failures in Stats and log, or no failure. The
// host also serves a good tenant, whose module must answer after each call. After each attack, all memory of the guests
// must be free.
//
// The files are: contract and bombs (modules that are refused), start, loops, memory, results, hostcalls, spam, wasi,
// secrets, damage (arbitrary bytes), collector (Go's runtime beside guests, and leaks), chat (with engine and clients),
// and latency (the effect on other tenants).
package hostile
