//go:build !wasm

package moot

import "embed"

// Source is the source of this package and its test kit: moot module new copies them
// into a project, which then builds without downloads.
//
//go:embed *.go moottest/*.go
var Source embed.FS
