//go:build !wasm

package moot

import "embed"

// Source is this package as source, and its test kit: moot module new puts them into a
// project, which then builds with nothing to download.
//
//go:embed go.mod *.go moottest/*.go
var Source embed.FS
