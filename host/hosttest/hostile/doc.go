// Package hostile is the proof, by attack, that no module can hang or crash the
// process, starve another tenant, or read what it was not given.
//
// It is tests alone. An attack is a module put together by hand (see package asm),
// a word on what it tries, and what comes of it: the error of Load, the kind of
// its failures in Stats and log, or nothing at all. Each runs against a host that
// serves a good tenant too; the good module is asked again after every call, and in the end all of the
// guests' memory must be free.
//
// The chapters: contract and bombs (what is not loaded), start, loops, memory,
// results, hostcalls, spam, wasi, secrets, damage (any bytes at all); then the
// whole of it: collector (Go's runtime beside guests, and what is left), chat
// (engine and clients), latency (what others notice).
package hostile
