//go:build unix && !linux

package script

import "syscall"

// attributes: a group of its own, so that a terminal's interrupt is this process's alone to
// hear. The translator ends with this process by the end of its input.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
