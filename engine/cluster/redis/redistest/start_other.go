//go:build !linux

package redistest

import "syscall"

// attributes is nil: only Linux can end a server with the process that started it.
func attributes() *syscall.SysProcAttr { return nil }
