// Package sdk embeds the sources of the SDKs. moot module new copies them into a project,
// which then builds without downloads.
package sdk

import "embed"

// Files are the sources of the SDKs by their paths in this folder, except those of the Go SDK:
// it is a module of its own, and embeds its sources itself.
//
//go:embed c/moot.h zig/moot.zig assemblyscript/lib/moot.ts script/moot.d.ts rust/Cargo.toml rust/src
var Files embed.FS
