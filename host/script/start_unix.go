//go:build unix && !linux

package script

import "syscall"

// attributes returns those of a translator: a process group of its own, so that an interrupt from the terminal does not
// reach it. The translator ends with this process because its input ends.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
