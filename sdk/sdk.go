// Package sdk has the sources of the SDKs, so that moot module new can put them into a
// project: it then builds with nothing to download.
package sdk

import "embed"

// Files are those of the SDKs, by their paths here. That of Go is a module of its own,
// and has its sources itself.
//
//go:embed c/moot.h zig/moot.zig assemblyscript/lib/moot.ts script/moot.d.ts rust/Cargo.toml rust/src
var Files embed.FS
