// Package hostile is the proof, by attack, that no module can hang or crash the
// process, starve another tenant, or read what it was not given.
//
// It is tests alone. An attack is a module put together by hand (see package asm),
// a word on what it tries, and what comes of it: the error of Load, the kind of
// its failures in Stats and log, or nothing at all. The chapters of attacks are
// tables; [each of them] is run against a host that serves a good tenant too, and the
// good one is asked again after every attack.
//
// [each of them]: https://pkg.go.dev/testing#T.Run
package hostile
