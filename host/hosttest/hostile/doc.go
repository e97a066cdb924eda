// Package hostile attacks the host with modules: none can hang or crash the process, starve another tenant, or read
// what it was not given.
//
// It has only tests. An attack is an encoded module (see package asm), a description of what it tries, and the expected
// outcome: the error of Load, the kind of its failures in Stats and log, or no failure. The host serves a good tenant
// as well, whose module must answer after each call. After each attack, all memory of the guests must be free.
//
// The files: contract and bombs (modules that are refused), start, loops, memory, results, hostcalls, spam, wasi,
// secrets, damage (any bytes); collector (Go's runtime beside guests, and leaks), chat (with engine and clients),
// latency (what other tenants notice).
package hostile
